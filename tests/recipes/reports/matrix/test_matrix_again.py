"""The report of a matrix is made again from its tables alone, and tables that were edited are refused."""

import csv
import io
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from transfer.recipes.programs.show import summary
from transfer.recipes.reports.matrix.paper_rows import PaperRow

TABLES = {"cells.csv", "episodes.csv", "curves.csv", "calibration.csv", "config.toml", "paper.csv"}
PAPER = [PaperRow({"mode": "full", "trunk.width": "64"}, "105.3", "derived", "hopper, 1000 bins"), PaperRow({}, "", "")]


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


@pytest.fixture(scope="module")
def written(making_matrix_in, tmp_path_factory: pytest.TempPathFactory):
    """A matrix of two pairs and two widths, with gaps, probes and a paper's numbers; without its run folders."""
    matrix = making_matrix_in(tmp_path_factory.mktemp("matrix"))
    for source in ("hopper", "ant"):
        for width in (64, 256):
            label = matrix.point(source=source, trunk__width=width)
            for mode, score in (("embeddings", 40.0), ("random-trunk:embeddings", 10.0), ("full", 60.0)):
                probes = [{"step": step, "mean_score": score * step / 20, "episodes": 2} for step in (10, 20)]
                scores = [score + width / 100, score + 1 / 3]
                if (source, width, mode) != ("ant", 64, "full"):
                    matrix.cells(label, mode, scores, probes=probes)
                else:
                    matrix.gap(label, mode, 0, "failed: ValueError: no")
    matrix.gap(matrix.point(source="swimmer", trunk__width=64), "embeddings", 1)
    matrix.write(paper=PAPER)
    for point in matrix.points:
        shutil.rmtree(matrix.folder / point.label, ignore_errors=True)
    return matrix


@pytest.fixture
def kept(written, tmp_path: Path) -> Path:
    """A copy of its folder."""
    return Path(shutil.copytree(written.folder, tmp_path / "m"))


def test_the_report_is_made_again_byte_for_byte(kept: Path, transfer) -> None:
    before = content(kept)
    plots = {name for name in before if name.endswith(".png")}
    assert set(before) == TABLES | {"report.md", "report.csv"} | plots
    assert plots == {
        "report-heat-map.png",
        "report-heat-map-ratio.png",
        "report-trunk.width.png",
        "report-training.png",
    }
    for name in (*plots, "report.md", "report.csv"):
        (kept / name).unlink()
    result = transfer("report", kept)
    assert result.exit_code == 0, result.output
    assert result.stdout.encode() == before["report.md"] and content(kept) == before
    assert transfer("report", kept, "--format", "csv").stdout.encode() == before["report.csv"]


def test_a_results_folder_of_it_has_the_same_files(kept: Path, transfer, tmp_path: Path) -> None:
    result = transfer("report", kept, "--out", tmp_path / "docs" / "x")
    assert result.exit_code == 0, result.output
    assert content(tmp_path / "docs" / "x") == content(kept)
    assert transfer("report", tmp_path / "docs" / "x", "--out", tmp_path / "y").exit_code == 0
    assert content(tmp_path / "y") == content(kept)
    assert transfer("report", kept, "--out", tmp_path / "y").exit_code == 0  # replaced by the same
    assert content(tmp_path / "y") == content(kept)


def test_show_tells_what_it_holds(kept: Path) -> None:
    found = summary(kept)
    assert found["kind"] == "results" and len(found["cells"]) == 22
    assert found["unfinished"] == ["ant-walker2d-dt-0-64/full/0", "swimmer-walker2d-dt-0-64/embeddings/1"]


def test_a_matrix_is_reported_alone(kept: Path, make_cell, transfer, refused) -> None:
    run = make_cell("full", 0, [1.0], run="other")
    refused(transfer("report", kept, run), "is a matrix", "transfer report", "apart")


def test_results_are_not_lost_and_a_paper_that_is_gone_leaves(matrix, transfer, refused, tmp_path: Path) -> None:
    label = matrix.point()
    matrix.cells(label, "full", [1.0, 2.0])
    matrix.write(paper=PAPER)
    assert transfer("report", matrix.folder, "--out", tmp_path / "x").exit_code == 0
    matrix.write()
    assert not (matrix.folder / "paper.csv").exists() and (tmp_path / "x" / "paper.csv").exists()
    assert transfer("report", matrix.folder, "--out", tmp_path / "x").exit_code == 0
    assert content(tmp_path / "x") == content(matrix.folder)
    shutil.rmtree(matrix.folder / label / "full" / "1")
    matrix.write()
    refused(transfer("report", matrix.folder, "--out", tmp_path / "x"), "would be lost", "'full' seed 1")


Edit = Callable[[str], str]


def without(*fields: str) -> Edit:
    def edit(text: str) -> str:
        return "".join(line for line in text.splitlines(keepends=True) if not all(one in line for one in fields))

    return edit


def other(old: str, new: str) -> Edit:
    return lambda text: text.replace(old, new, 1)


EDITS: dict[str, tuple[str, Edit]] = {
    "a reason": ("cells.csv", other("failed: ValueError: no", "not finished")),
    "a gap is gone": ("cells.csv", without("swimmer")),
    "a size": ("cells.csv", other("hopper,walker2d,dt,0,", "hopper,walker2d,dt,9,")),
    "an axis": ("cells.csv", other('""trunk.width"": 64', '""trunk.width"": 65')),
    "a source": ("cells.csv", other("hopper,walker2d,dt", "humanoid,walker2d,dt")),
    "a probe": ("curves.csv", other(",20.0", ",21.0")),
    "a number of the paper": ("paper.csv", other("105.3", "10.53")),
    "the settings": ("config.toml", other("hopper", "ant")),
}


@pytest.mark.parametrize("edit", EDITS)
def test_an_edit_is_noticed(edit: str, kept: Path, transfer, refused) -> None:
    name, change = EDITS[edit]
    text = (kept / name).read_text()
    assert change(text) != text
    (kept / name).write_text(change(text))
    refused(transfer("report", kept), "cells.csv, line ", "checksum", "config.toml", "git checkout")


def test_a_cell_that_is_gone_from_all_tables_is_noticed(kept: Path, transfer, refused) -> None:
    for name in ("cells.csv", "episodes.csv", "curves.csv"):
        (kept / name).write_text(without("hopper-walker2d-dt-0-64,full,1,")((kept / name).read_text()))
    refused(transfer("report", kept), "checksum")


def edited(folder: Path, change: Callable[[list[dict[str, str]]], None]) -> None:
    lines = list(csv.DictReader(io.StringIO((folder / "cells.csv").read_text())))
    change(lines)
    with (folder / "cells.csv").open("w", newline="") as stream:
        writer = csv.DictWriter(stream, lines[0])
        writer.writeheader()
        writer.writerows(lines)


def test_damage_is_told_by_its_line(kept: Path, transfer, refused) -> None:
    text = (kept / "cells.csv").read_text()
    gap = next(place for place, line in enumerate(text.splitlines()) if "failed" in line) - 1
    cases: dict[str, Callable[[list[dict[str, str]]], None]] = {
        "nothing beside a reason is needed": lambda lines: lines[gap].update(environment="walker2d"),
        "axes is empty": lambda lines: lines[0].update(axes=""),
        "stands in line": lambda lines: lines.append(lines[gap]),
        "size is": lambda lines: lines[gap].update(size="many"),
    }
    for words, change in cases.items():
        edited(kept, change)
        refused(transfer("report", kept), "cells.csv, line ", words, "git checkout")
        (kept / "cells.csv").write_text(text)
    assert transfer("report", kept).exit_code == 0


def test_a_missing_config_is_told(kept: Path, transfer, refused) -> None:
    (kept / "config.toml").unlink()
    refused(transfer("report", kept), "config.toml is missing", "matrix")


def test_ordinary_tables_have_none_of_the_new_columns(make_cell, transfer, tmp_path: Path) -> None:
    assert transfer("report", make_cell("full", 0, [1.0]), "--out", tmp_path / "x").exit_code == 0
    head = (tmp_path / "x" / "cells.csv").read_text().splitlines()[0].split(",")
    assert not {"source_bodies", "target_body", "method", "size", "axes", "reason"} & set(head)
