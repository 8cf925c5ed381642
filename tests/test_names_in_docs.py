"""Names in README.md, docs/ and docstrings: dotted names, functions, links and options are those of today."""

import ast
import importlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PAGES = [
    ROOT / "README.md",
    ROOT / "CHANGELOG.md",
    *sorted((ROOT / "docs").glob("*.md")),
    ROOT / "docs/results/README.md",
]
FOLDERS = ("transfer", "adapters", "envs", "recipes", "benchmarks", "docs")
SOURCES = [path for folder in FOLDERS for path in sorted((ROOT / folder).rglob("*.py"))]
FORMER = {"transfer.trunk"}  # in the changelog
OF_OTHERS = {"--nproc-per-node", "--logdir"}


def quoted(path: Path) -> Iterator[str]:
    """What stands between backquotes in a file."""
    yield from re.findall(r"`([^`\n]+)`", path.read_text(encoding="utf-8"))


def known() -> set[str]:
    """Functions and classes of the repository."""
    trees = (ast.parse(path.read_text(encoding="utf-8")) for path in SOURCES)
    return {n.name for tree in trees for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.ClassDef)}


def resolves(name: str) -> bool:
    """Whether a dotted name is a module, or something in one."""
    parts = name.split(".")
    for count in range(len(parts), 0, -1):
        try:
            owner = importlib.import_module(".".join(parts[:count]))
        except ImportError:
            continue
        for part in parts[count:]:
            if not hasattr(owner, part):
                return part in getattr(owner, "__annotations__", {})
            owner = getattr(owner, part)
        return True
    return False


def anchors(page: Path) -> set[str]:
    """The anchors of the headings of a page, as GitHub makes them."""
    heads = re.findall(r"(?m)^#+ (.*)$", page.read_text(encoding="utf-8"))
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


def test_dotted_names_are_there() -> None:
    names = {(one, path) for path in [*PAGES, *SOURCES] for one in quoted(path) if re.fullmatch(r"[a-z]+(\.\w+)+", one)}
    ours = {(name, path) for name, path in names if name.startswith(("transfer.", "benchmarks."))}
    assert len(ours) > 50
    assert [
        f"{path.relative_to(ROOT)}: {name}" for name, path in ours if not resolves(name) and name not in FORMER
    ] == []
    bare = [name for name, _ in names if name.startswith(("adapters.", "envs.", "recipes.", "reports."))]
    assert bare == [], "write transfer.adapters and so on"


def test_functions_that_pages_call_are_there() -> None:
    calls = {match[1] for page in PAGES for one in quoted(page) if (match := re.match(r"(?:\w+\.)*(\w+)\(", one))}
    assert len(calls) > 3
    assert calls - known() - {"call"} == set()  # call(): an example of what a file must not hold


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page: Path) -> None:
    for target, anchor in re.findall(r"\]\((?!http)([^)#]*)(?:#([^)]*))?\)", page.read_text(encoding="utf-8")):
        place = (page.parent / target).resolve() if target else page
        assert place.exists(), target
        if anchor:
            assert anchor in anchors(place / "README.md" if place.is_dir() else place), anchor


def test_options_on_pages_are_those_of_the_commands() -> None:
    code = "\n".join(path.read_text(encoding="utf-8") for path in SOURCES)
    shown = {one for page in PAGES for one in re.findall(r"(?<![\w-])--[a-z][a-z-]*", page.read_text(encoding="utf-8"))}
    assert len(shown) > 20
    assert {one for one in shown - OF_OTHERS if f'"{one}"' not in code and 'f"--{name}"' not in code} == set()
