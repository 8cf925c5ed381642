"""Edits of a results folder that leave it well-formed are noticed by the checksums of its cells."""

import csv
from collections.abc import Callable
from pathlib import Path

import pytest

from transfer.recipes.reports.report import report
from transfer.recipes.runs.cells import TABLES

CONFIG = '[adapt]\nmodes = ["full"]\n[run]\nseeds = [0, 1]\n'
CALIBRATION = {"asked": [500.0, 600.0], "achieved": [450.5, 300.25], "success": None, "episodes": 10}
PROBES = [{"step": 10, "mean_score": 50.0, "episodes": 2}]
Edit = Callable[[str], str]


@pytest.fixture
def folder(make_cell, transfer, tmp_path: Path) -> Path:
    """A results folder with something in each of its files."""
    for seed in range(2):
        run = make_cell("full", seed, [400.0, 410.0, 420.0], run="one", probes=PROBES, calibration=CALIBRATION)
    (run / "config.toml").write_text(CONFIG)
    assert transfer("report", run, "--out", tmp_path / "kept").exit_code == 0
    return tmp_path / "kept"


def last_line_gone(text: str) -> str:
    return "".join(text.splitlines(keepends=True)[:-1])


def two_lines_swapped(text: str) -> str:
    first, second, third, *rest = text.splitlines(keepends=True)
    return "".join([first, third, second, *rest])


def other(old: str, new: str) -> Edit:
    return lambda text: text.replace(old, new)


EDITS: dict[str, tuple[str, Edit]] = {
    "a return": ("episodes.csv", other(",410.0,", ",999.0,")),
    "a target": ("episodes.csv", other(",900.0,", ",901.0,")),
    "a checkpoint": ("episodes.csv", lambda text: text.replace(",last,", ",again,", 1)),
    "an episode is gone": ("episodes.csv", last_line_gone),
    "the order of episodes": ("episodes.csv", two_lines_swapped),
    "the return of score 100": ("cells.csv", other(",1000.0,", ",2000.0,")),
    "the number of parameters": ("cells.csv", other(",45000,", ",45,")),
    "no environment": ("cells.csv", other(",walker2d,", ",,")),
    "other data": ("cells.csv", other("walker2d0123456789abcdef", "another")),
    "another checksum": ("cells.csv", lambda text: text.replace(text.splitlines()[1][-64:], "0" * 64)),
    "a probe": ("curves.csv", other(",50.0", ",60.0")),
    "a probe is gone": ("curves.csv", last_line_gone),
    "an achieved return": ("calibration.csv", other(",450.5,", ",450.6,")),
    "a target is gone": ("calibration.csv", last_line_gone),
    "settings of another run": ("config.toml", other("[0, 1]", "[0, 1, 2]")),
}


@pytest.mark.parametrize("edit", EDITS)
def test_an_edit_is_noticed(edit: str, folder: Path, transfer, refused) -> None:
    name, change = EDITS[edit]
    text = (folder / name).read_text()
    assert change(text) != text
    (folder / name).write_text(change(text))
    before = (folder / "report.md").read_bytes()
    for command in (["report", folder], ["report", folder, "--out", folder.parent / "out"], ["show", folder]):
        refused(transfer(*command), "cells.csv, line ", "cell 'full' seed", "checksum", "config.toml", "git checkout")
    assert (folder / "report.md").read_bytes() == before and not (folder.parent / "out").exists()


def test_the_same_values_in_other_words_are_the_same(folder: Path) -> None:
    before = report([folder]).markdown
    for name, old, new in (("episodes.csv", ",410.0,", ",4.1e2,"), ("episodes.csv", ",420.0,", ",420,")):
        (folder / name).write_text((folder / name).read_text().replace(old, new))
    (folder / "config.toml").write_text(f"# a comment\n{CONFIG}", newline="\r\n")
    for name in TABLES:  # cells of a run in another order
        with (folder / name).open(newline="") as stream:
            head, *lines = csv.reader(stream)
        with (folder / name).open("w", newline="") as stream:
            csv.writer(stream).writerows(
                [head, *sorted(lines, key=lambda line: line[head.index("seed")], reverse=True)]
            )
    assert report([folder]).markdown == before


def test_a_file_too_large_to_be_read_is_not_written(
    make_cell, transfer, refused, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("transfer.recipes.reports.tables.results_files.LARGEST_FILE", 200)
    refused(
        transfer("report", make_cell("full", 0, [1.0] * 9), "--out", tmp_path / "kept"), "no more than 200 are read"
    )
    assert not (tmp_path / "kept").exists()
