"""`transfer report RUN... --out FOLDER` loses nothing that lies in FOLDER, and what it writes can be read again."""

import errno
import shutil
from collections.abc import Callable
from contextlib import AbstractContextManager, closing
from pathlib import Path
from typing import BinaryIO

import pytest

from transfer.recipes.reports.report import report
from transfer.recipes.runs.cells import TABLES
from transfer.recipes.runs.folder import settle
from transfer.recipes.settings.config import load_config
from transfer.recipes.watching.boards import Board
from transfer.storage.files import writing


@pytest.fixture
def runs(make_cell) -> list[Path]:
    """Two runs, one of them with two seeds."""
    for seed in range(2):
        one = make_cell("full", seed, [1.0 + seed, 3.0], run="one")
    return [one, make_cell("mlp", 0, [2.0, 4.0], run="two")]


@pytest.fixture
def kept(runs: list[Path], transfer, tmp_path: Path) -> Path:
    """A results folder of the first run."""
    assert transfer("report", runs[0], "--out", tmp_path / "kept").exit_code == 0
    return tmp_path / "kept"


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def test_results_of_other_runs_are_not_written_over(runs: list[Path], kept: Path, transfer, refused) -> None:
    before = content(kept)
    for command in (["report", runs[1], "--out", kept], ["report", runs[1], runs[1] / "none", "--out", kept]):
        assert transfer(*command).exit_code == 2
    refused(transfer("report", runs[1], "--out", kept), "would be lost", "'full' seed 0 of run 'one' and 1 more")
    assert content(kept) == before
    assert transfer("report", kept, runs[1], "--out", kept).exit_code == 0
    assert {row.mode for row in report([kept]).rows} == {"full", "mlp"}


def test_a_run_that_has_more_now_replaces_its_results(runs: list[Path], kept: Path, make_cell, transfer) -> None:
    make_cell("embeddings", 0, [9.0], run="one")
    assert transfer("report", runs[0], "--out", kept).exit_code == 0
    assert {row.mode for row in report([kept]).rows} == {"full", "embeddings"}


def test_results_that_get_a_longer_name_are_not_lost(kept: Path, make_cell, transfer) -> None:
    other = make_cell("mlp", 0, [5.0], run="elsewhere/one")
    assert transfer("report", kept, other, "--out", kept).exit_code == 0
    assert {row.run for row in report([kept]).rows} == {"kept/one", "elsewhere/one"}


def test_settings_of_one_run_go_when_there_are_several(runs: list[Path], kept: Path, transfer) -> None:
    assert transfer("report", *runs, "--out", kept).exit_code == 0
    assert {path.name for path in kept.glob("*.toml")} == {"one.toml", "two.toml"}


@pytest.mark.parametrize("name", ["episodes.csv", "cells.csv", "config.toml", "report.md", "report.png"])
def test_a_file_of_somebody_else_is_kept(name: str, runs: list[Path], transfer, refused, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / name).write_bytes(b"\xffmine")
    refused(transfer("report", runs[0], "--out", tmp_path / "mine"), name, "holds something else", "--out")
    assert content(tmp_path / "mine") == {name: b"\xffmine"}


@pytest.mark.parametrize("name", ["episodes.csv", "report.png"])
def test_a_folder_or_a_link_in_place_of_a_file_is_kept(
    name: str, runs: list[Path], transfer, refused, tmp_path: Path
) -> None:
    (tmp_path / "mine" / name).mkdir(parents=True)
    refused(transfer("report", runs[0], "--out", tmp_path / "mine"), name, "holds something else")
    (tmp_path / "mine" / name).rmdir()
    (tmp_path / "mine" / name).symlink_to(tmp_path / "nowhere")
    refused(transfer("report", runs[0], "--out", tmp_path / "mine"), name, "holds something else")
    assert [path.name for path in (tmp_path / "mine").iterdir()] == [name]


def test_what_a_killed_command_wrote_is_completed(runs: list[Path], kept: Path, transfer) -> None:
    before = content(kept)
    for name in ("report.png", "report.md", "calibration.csv", "curves.csv"):
        (kept / name).unlink()
        assert transfer("report", runs[0], "--out", kept).exit_code == 0
        assert content(kept) == before


def test_a_disk_that_fills_up_leaves_every_file_as_it_was(
    runs: list[Path], kept: Path, transfer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path) -> AbstractContextManager[BinaryIO]:
        if path.name == "calibration.csv":
            raise OSError(errno.ENOSPC, "No space left on device")
        return writing(path)

    before = content(kept)
    monkeypatch.setattr("transfer.recipes.reports.tables.results_files.writing", full)
    for folder in (kept, kept.parent / "new"):
        result = transfer("report", kept, runs[1], "--out", folder)
        assert result.exit_code == 2 and "the disk is full" in result.stderr, result.output
    assert content(kept) == before and not (kept.parent / "new").exists()


def test_no_results_folder_is_made_inside_a_run(runs: list[Path], transfer, refused) -> None:
    for place in ("full/0", ""):
        refused(transfer("report", runs[1], "--out", runs[0] / place), "is a run folder or part of one")
    assert [path.name for path in runs[0].iterdir()] == ["full"]
    assert sorted(content(runs[0] / "full/0")) == ["results.json", "timing.json"]


def test_a_run_folder_is_a_run_whatever_table_lies_in_it(runs: list[Path], kept: Path, transfer, refused) -> None:
    run, before = runs[0], report(runs[:1]).markdown
    (run / "episodes.csv").write_text("my own,notes\n")
    assert report([run]).markdown == before
    with pytest.raises(Exception, match="holds something else"):  # as any folder without config.toml, not by its tables
        settle(run, load_config("hopper-to-walker2d"), resume=True)
    for name in TABLES:
        shutil.copy(kept / name, run)
    refused(transfer("report", run), "holds a run and the tables of a results folder", "cells.csv")


def log_twice(board: Board) -> None:
    for value in (4.0, 2.0):
        board.scalars(1, {"train/loss": value})


def log_no_number(board: Board) -> None:
    for step, value in enumerate((2.0, float("nan"), float("inf")), start=1):
        board.scalars(step, {"train/loss": value})


@pytest.mark.parametrize("log", [log_twice, log_no_number])
def test_losses_that_were_logged_are_read_again(
    log: Callable[[Board], None], runs: list[Path], transfer, tmp_path: Path
) -> None:
    with closing(Board(runs[1] / "mlp/0")) as board:
        log(board)
    assert transfer("report", runs[1], "--out", tmp_path / "out").exit_code == 0
    assert transfer("report", tmp_path / "out").exit_code == 0
    assert (tmp_path / "out/curves.csv").read_text().splitlines()[1:] == ["two,mlp,0,1,train/loss,2.0"]


def test_a_target_that_was_asked_for_twice_counts_once(make_cell, played, transfer, tmp_path: Path) -> None:
    run = make_cell("full", 0, [1.0], evaluations=[played([1.0, 2.0]), played([1.0, 2.0])])
    assert report([run]).rows[0].score.episodes == 2
    assert transfer("report", run, "--out", tmp_path / "kept").exit_code == 0
    assert report([tmp_path / "kept"]).markdown == report([run]).markdown


def test_a_folder_of_runs_or_results_names_one_of_them(make_cell, transfer, refused, tmp_path: Path) -> None:
    runs = [make_cell("full", 0, [1.0], run=f"runs/{name}") for name in "ba"]
    for run in runs:
        (run / "config.toml").write_text("")
    assert transfer("report", *runs, "--out", tmp_path / "results/few").exit_code == 0
    for folder, one in (("runs", "runs/a"), ("results", "results/few")):
        for command in ("report", "show", "eval"):
            refused(transfer(command, tmp_path / folder), f"name one of them, as {tmp_path / one}")
    refused(transfer("run", tmp_path / "results/few"), "It holds settings", "results/few/a.toml")
    listed = transfer("ls", "--runs-dir", tmp_path).stdout
    assert [listed.count(f"{tmp_path / one}\n") for one in ("runs/a", "runs/b", "results/few")] == [1, 1, 1]
