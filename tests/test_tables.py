"""The tables of the documentation and the reports in docs/results are those that their CSV files give."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

from transfer.recipes.reports.report import report
from transfer.recipes.runs.cells import is_results_folder

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = sorted(folder for folder in (ROOT / "docs" / "results").iterdir() if is_results_folder(folder))


@pytest.fixture(scope="module")
def tables() -> ModuleType:
    """docs/tables.py, and the package `benchmarks` that it uses, of this checkout: neither is installed."""
    init = ROOT / "benchmarks" / "__init__.py"
    found = {"benchmarks": (init, [str(init.parent)]), "tables_of_docs": (ROOT / "docs" / "tables.py", None)}
    for name, (file, places) in found.items():
        spec = importlib.util.spec_from_file_location(name, file, submodule_search_locations=places)
        assert spec is not None and spec.loader is not None
        sys.modules[name] = module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    return module


def test_every_table_is_what_the_results_give(tables: ModuleType) -> None:
    """Where this fails: `make tables`."""
    used = []
    for page in tables.PAGES:
        text = page.read_text(encoding="utf-8")
        assert tables.filled(text) == text, f"{page.name}: make tables"
        used += [found[2] for found in tables.TABLE.finditer(text)]
    assert sorted(used) == sorted(tables.TABLES)


def test_an_edited_table_is_made_anew_and_the_rest_is_kept(tables: ModuleType) -> None:
    text = (ROOT / "docs" / "RESULTS.md").read_text(encoding="utf-8")
    assert "| 64.5 |" in text
    assert tables.filled(text.replace("| 64.5 |", "| 99.9 |")) == text
    assert tables.filled("| 64.5 |") == "| 64.5 |"
    with pytest.raises(KeyError, match="none"):
        tables.filled("<!-- table: none (make tables) -->\n<!-- end of table -->")


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_a_report_is_what_its_folder_gives(folder: Path) -> None:
    """Where this fails: `transfer report docs/results/NAME`."""
    assert report([folder]).markdown == (folder / "report.md").read_text(encoding="utf-8")
    plots = list(folder.glob("report*.png"))
    assert plots and all(plot.read_bytes().startswith(b"\x89PNG") for plot in plots)


def test_there_are_results() -> None:
    known = "cpu few hammer lora methods quick short three-bodies unseen".split()
    assert sorted(folder.name for folder in FOLDERS) == known
