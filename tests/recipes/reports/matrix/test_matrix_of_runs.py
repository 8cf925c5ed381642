"""A matrix of trained runs: nothing of their results is lost on the way into its tables."""

import csv
import shutil
from pathlib import Path

import pytest

from transfer.recipes.reports.matrix.coordinates import Coordinates
from transfer.recipes.reports.report import report
from transfer.recipes.reports.tables.matrix_folder import write_matrix_report


@pytest.fixture
def folder(run: Path, tmp_path: Path) -> Path:
    """A matrix of two points that hold one trained run, and of one that has not begun."""
    folder = tmp_path / "m"
    for label in ("a", "b"):
        shutil.copytree(run, folder / label)
    shutil.copy(run / "config.toml", folder)
    points = [Coordinates(label, "hopper", "walker2d", size=size) for label, size in (("a", 5), ("b", 0), ("c", 9))]
    modes = ("pretrain", "embeddings")
    write_matrix_report(folder, points, [(point.label, mode, 0) for point in points for mode in modes])
    return folder


def test_its_report_has_the_scores_of_the_runs(run: Path, folder: Path) -> None:
    wanted = {row.mode: row.score.mean for row in report([run]).rows}
    with (folder / "report.csv").open(newline="") as stream:
        found = list(csv.DictReader(stream))
    assert [(one["run"], one["mode"]) for one in found] == [(at, mode) for at in "abc" for mode in wanted]
    for one in found:
        if one["run"] == "c":
            assert one["score"] == "" and one["missing_reasons"] == "0: not finished"
        else:
            assert float(one["score"]) == wanted[one["mode"]] and int(one["peak_memory_bytes"]) > 2**20


def test_its_tables_have_the_training_loss_and_make_the_report_again(folder: Path, transfer, tmp_path: Path) -> None:
    with (folder / "curves.csv").open(newline="") as stream:
        lines = [(one["run"], one["mode"]) for one in csv.DictReader(stream) if one["name"] == "train/loss"]
    assert set(lines) == {(run, mode) for run in "ab" for mode in ("pretrain", "embeddings")}
    text = (folder / "report.md").read_bytes()
    for label in "ab":
        assert transfer("report", folder / label).exit_code == 0  # a point is an ordinary run
        shutil.rmtree(folder / label)
    assert transfer("report", folder).stdout.encode() == text
    assert transfer("report", folder, "--out", tmp_path / "x").exit_code == 0
    for name in ("report.md", "report.csv", "cells.csv", "curves.csv", "episodes.csv", "calibration.csv"):
        assert (tmp_path / "x" / name).read_bytes() == (folder / name).read_bytes()
