"""A matrix from its settings to its report: cells done once, gaps with their reasons, going on after a stop."""

import csv
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

from tests.processes import command, until
from transfer.errors import TransferError
from transfer.recipes.cells import train
from transfer.recipes.matrix.points import load_matrix
from transfer.recipes.runs.cells import begun

Transfer = Callable[..., Result]
Refused = Callable[..., None]
Lasting = Callable[[Path], dict[str, bytes]]
MATRIX = """extends = "base"
[matrix]
sources = [["hopper/medium"], [["hopper/medium"], ["walker2d/medium"]]]
targets = ["walker2d/expert"]
modes = ["embeddings", "mlp"]
seeds = [0, 1]
"""
ONE, TWO = "hopper-to-walker2d", "hopper+walker2d-to-walker2d"

pytestmark = pytest.mark.usefixtures("workplace")


@pytest.fixture(scope="module")
def file(workplace: Path) -> Path:
    (workplace / "many.toml").write_text(MATRIX, encoding="utf-8")
    return workplace / "many.toml"


@pytest.fixture(scope="module")
def options(tiny: list[str]) -> list[str]:
    """Without the number of jobs."""
    return [one for one in tiny if not one.startswith("--jobs")]


@pytest.fixture(scope="module")
def done(workplace: Path, file: Path, options: list[str], transfer: Transfer) -> Result:
    result = transfer("run", file, *options, "--jobs", "1", "--name", "done")
    assert result.exit_code == 0, result.output
    return result


@pytest.fixture
def made(done: Result, workplace: Path) -> Path:
    """The folder of a matrix that one process made; tests read it."""
    return workplace / "runs" / "done"


def cells(folder: Path) -> dict[tuple[str, str, str], dict[str, str]]:
    """The lines of cells.csv."""
    lines = csv.DictReader((folder / "cells.csv").read_text(encoding="utf-8").splitlines())
    return {(line["run"], line["mode"], line["seed"]): line for line in lines}


def test_every_point_is_an_ordinary_run(made: Path, transfer: Transfer) -> None:
    assert {one.name for one in made.iterdir() if one.is_dir()} == {ONE, TWO}
    for label in (ONE, TWO):
        assert sorted(begun(made / label)) == [
            f"{mode}/{seed}" for mode in ("embeddings", "mlp", "trunk") for seed in (0, 1)
        ]
        assert transfer("report", made / label).exit_code == 0
    assert len(cells(made)) == 4 + 4 + 2 + 4  # embeddings, mlp, the trunk of one source and that of two


def test_cells_of_one_identity_are_trained_once(done: Result, made: Path) -> None:
    assert done.stderr.count("mlp seed 0 trains") == done.stderr.count(f"{ONE}: mlp seed 1 trains") == 1
    assert f"{TWO}/mlp/0: taken from " in done.stderr
    one, two = (made / label / "mlp/0" for label in (ONE, TWO))
    assert (one / "results.json").read_bytes() == (two / "results.json").read_bytes()
    assert (one / "mlp/mlp.safetensors").samefile(two / "mlp/mlp.safetensors")


def test_another_matrix_takes_what_both_have(made: Path, file: Path, options: list[str], transfer: Transfer) -> None:
    more = ["--jobs", "1", "--name", "more", "--set", "matrix.modes=embeddings,full"]
    result = transfer("run", file, *options, *more)
    assert result.exit_code == 0, result.output
    assert result.stderr.count(": taken from ") == 8  # four trunks and embeddings on them
    assert "pretrain seed 0 trains" not in result.stderr and result.stderr.count("full seed 0 trains") == 2
    for label in (ONE, TWO):
        folder = made.parent / "more" / label / "embeddings/1"
        assert (folder / "results.json").read_bytes() == (made / label / "embeddings/1/results.json").read_bytes()


def test_several_processes_make_the_same_bytes(
    made: Path, file: Path, options: list[str], transfer: Transfer, lasting: Lasting, tmp_path: Path
) -> None:
    result = transfer("run", file, *options, "--jobs", "2", "--name", "done", "--runs-dir", tmp_path)
    assert result.exit_code == 0, result.output
    for label in (ONE, TWO):
        assert lasting(tmp_path / "done" / label) == lasting(made / label)
    assert (tmp_path / "done" / "episodes.csv").read_bytes() == (made / "episodes.csv").read_bytes()


def test_a_driver_that_was_killed_goes_on_to_the_same_bytes(
    made: Path, file: Path, options: list[str], transfer: Transfer, lasting: Lasting, tmp_path: Path
) -> None:
    begin = ["run", str(file), *options, "--jobs", "2", "--name", "done", "--runs-dir", str(tmp_path)]
    process = command(*begin)
    until(lambda: list(tmp_path.glob("done/*/embeddings/*/checkpoint")) or process.poll() is not None)
    assert process.poll() is None
    process.send_signal(signal.SIGKILL)
    process.communicate()
    result = transfer(*begin, "--resume")
    assert result.exit_code == 0, result.output
    for label in (ONE, TWO):
        assert lasting(tmp_path / "done" / label) == lasting(made / label)


def test_seeds_and_points_may_be_added(
    made: Path, file: Path, options: list[str], transfer: Transfer, tmp_path: Path
) -> None:
    shutil.copytree(made, tmp_path / "done")
    go = ["run", file, *options, "--jobs", "1", "--name", "done", "--runs-dir", tmp_path, "--resume"]
    kept = (tmp_path / "done" / ONE / "embeddings/0/results.json").read_bytes()
    result = transfer(
        *go, "--set", "matrix.seeds=[0, 1, 2]", "--set", 'matrix.targets=["walker2d/expert", "hopper/expert"]'
    )
    assert result.exit_code == 0, result.output
    assert (tmp_path / "done" / "hopper-to-hopper/mlp/2/results.json").is_file()
    assert (tmp_path / "done" / ONE / "embeddings/0/results.json").read_bytes() == kept
    assert f"{ONE}: embeddings seed 0: finished before, kept" in result.stderr


@pytest.mark.parametrize(
    ("sets", "words"),
    [
        (["--set", 'matrix.targets=["hopper/expert"]'], ["runs of another definition", ONE, "--name"]),
        (["--set", "adapt.lr=0.5"], ["other settings", "adapt.lr", "--resume"]),
        (["--threads", "2"], ["other settings", "run.threads"]),
    ],
)
def test_a_folder_of_another_matrix_is_refused(
    sets: list[str],
    words: list[str],
    made: Path,
    file: Path,
    options: list[str],
    transfer: Transfer,
    refused: Refused,
    tmp_path: Path,
) -> None:
    shutil.copytree(made, tmp_path / "done")
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "done").rglob("*")}
    refused(transfer("run", file, *options, *sets, "--name", "done", "--runs-dir", tmp_path, "--resume"), *words)
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "done").rglob("*")} == before


def test_folders_that_hold_something_else_are_refused(
    made: Path, run: Path, file: Path, options: list[str], transfer: Transfer, refused: Refused
) -> None:
    go = ["run", file, *options, "--name"]
    refused(transfer(*go, "done"), "holds a matrix already", "--resume")
    refused(transfer(*go, run.name, "--resume"), "holds a single run")
    (made.parent / "other").mkdir(exist_ok=True)
    (made.parent / "other" / "mine").touch()
    refused(transfer(*go, "other"), "holds something else")
    single = transfer("run", "hopper-to-walker2d", *options, "--name", "done", "--resume")
    refused(single, "It holds the runs of a matrix")


def test_unknown_data_are_refused_with_their_point_before_anything_is_written(
    file: Path, options: list[str], transfer: Transfer, refused: Refused, tmp_path: Path
) -> None:
    sets = ["--set", 'matrix.sources=[["hopper/medum"]]', "--runs-dir", tmp_path / "runs"]
    refused(transfer("run", file, *options, *sets), "Did you mean 'hopper/medium'")
    assert not (tmp_path / "runs").exists()


def test_a_cell_that_fails_is_a_gap_with_its_reason_and_the_others_are_reported(
    file: Path, options: list[str], transfer: Transfer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    adapt = train.adapt

    def failing(*given: object, **options: object) -> object:
        if given[2] == "embeddings" and options["seed"] == 1:
            raise TransferError("the loss is nan at step 3")
        return adapt(*given, **options)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(train, "adapt", failing)
        result = transfer("run", file, *options, "--jobs", "1", "--name", "gaps", "--runs-dir", tmp_path)
    assert result.exit_code == 2 and f"gaps/{ONE}" not in result.stdout
    assert "2 cells have no results" in result.stderr and result.stderr.count("the loss is nan at step 3") == 2
    line = cells(tmp_path / "gaps")[ONE, "embeddings", "1"]
    assert line["reason"] == "failed: the loss is nan at step 3" and line["environment"] == ""
    assert "the loss is nan at step 3" in (tmp_path / "gaps" / "report.md").read_text()
    again = transfer("run", file, *options, "--jobs", "1", "--name", "gaps", "--runs-dir", tmp_path, "--resume")
    assert again.exit_code == 0 and "the loss is nan" not in (tmp_path / "gaps" / "report.md").read_text()


def test_a_dry_run_counts_cells_and_writes_nothing(
    made: Path, file: Path, options: list[str], transfer: Transfer, tmp_path: Path
) -> None:
    result = transfer("run", file, *options, "--name", "new", "--runs-dir", tmp_path / "runs", "--dry-run")
    assert result.exit_code == 0, result.output
    assert "2 runs, 12 cells, 0 of them finished; 10 trainings are left" in result.stdout  # an mlp a seed is shared
    assert "at most" in result.stdout and not (tmp_path / "runs").exists()
    there = transfer("run", file, *options, "--name", "done", "--dry-run")
    assert "2 runs, 12 cells, 12 of them finished; 0 trainings are left" in there.stdout
    alone = transfer("run", "hopper-to-walker2d", *options, "--modes", "embeddings,full", "--name", "x", "--dry-run")
    assert alone.exit_code == 0 and alone.stdout.startswith("3 cells, 0 of them finished; 3 trainings are left")


def test_a_matrix_computes_with_one_thread_a_cell_unless_told(made: Path, file: Path, options: list[str]) -> None:
    plain = [one.removeprefix("--set=") for one in options if one.startswith("--set=")]
    matrix = load_matrix(str(file), plain)
    assert matrix is not None and matrix.base.run.threads == "auto"
    kept = load_matrix(str(made))
    assert kept is not None and kept.base.run.threads == 1
    assert {point.config.run.threads for point in kept.points} == {1}
