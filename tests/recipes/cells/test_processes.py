"""Cells in processes of their own: the bytes of one process, whatever dies on the way."""

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

from tests.processes import alive, command, trains, until, workers

Transfer = Callable[..., Result]
Lasting = Callable[[Path], dict[str, bytes]]

pytestmark = pytest.mark.usefixtures("workplace")


def test_several_processes_end_in_the_bytes_of_one(
    options: list[str], inline: Path, transfer: Transfer, lasting: Lasting, workplace: Path
) -> None:
    result = transfer(*options, "--jobs", "2", "--name", "two")
    assert result.exit_code == 0, result.output
    assert lasting(workplace / "runs" / "two") == lasting(inline)
    assert result.stdout == (workplace / "runs/two/report.md").read_text() + "\n"
    assert result.stderr.count("embeddings seed 1 trains") == 1 and "full seed 0: walker2d: return" in result.stderr


def test_a_worker_that_is_killed_is_replaced(
    options: list[str], inline: Path, lasting: Lasting, tmp_path: Path
) -> None:
    process = command(*options, "--jobs", "2", "--name", "walk", "--runs-dir", tmp_path)
    trains(tmp_path, process)
    os.kill(workers(process.pid)[0], signal.SIGKILL)
    output = process.communicate(timeout=900)[0]
    assert process.returncode == 0, output
    assert lasting(tmp_path / "walk") == lasting(inline)


def test_the_driver_is_killed_its_workers_end_and_the_command_goes_on(
    options: list[str], inline: Path, transfer: Transfer, lasting: Lasting, tmp_path: Path
) -> None:
    process = command(*options, "--jobs", "2", "--name", "walk", "--runs-dir", tmp_path)
    trains(tmp_path, process)
    left = workers(process.pid)
    process.kill()
    process.wait()
    assert left
    until(lambda: not any(map(alive, left)), 60)
    result = transfer(*options, "--jobs", "2", "--name", "walk", "--runs-dir", tmp_path, "--resume")
    assert result.exit_code == 0, result.output
    assert lasting(tmp_path / "walk") == lasting(inline)


def test_ctrl_c_ends_every_process_and_the_run_goes_on(
    options: list[str], inline: Path, transfer: Transfer, lasting: Lasting, tmp_path: Path
) -> None:
    process = command(*options, "--jobs", "2", "--name", "walk", "--runs-dir", tmp_path)
    trains(tmp_path, process)
    left = workers(process.pid)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal sends it
    output = process.communicate(timeout=300)[0]
    assert process.returncode == 130 and "Traceback" not in output, output
    assert "Interrupted. Go on with: transfer run" in output
    assert left and not any(map(alive, left))
    again = transfer(*options, "--jobs", "1", "--name", "walk", "--runs-dir", tmp_path, "--resume")
    assert again.exit_code == 0, again.output
    assert lasting(tmp_path / "walk") == lasting(inline)


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--jobs", "0"], ["--jobs 0", "a number of cells from 1"]),
        (["--jobs", "many"], ["--jobs many"]),
        (["--jobs", "2", "--ray"], ["--jobs 2 beside --ray"]),
        (["--storage", "x"], ["--storage is for --ray"]),
        (["--ray", "127.0.0.1:9"], ["nothing answers at 127.0.0.1:9", "ray start --head"]),
        (["--ray", "nowhere"], ["--ray nowhere", "HOST:PORT"]),
    ],
)
def test_bad_places_are_refused_before_anything_is_written(
    more: list[str],
    words: list[str],
    options: list[str],
    transfer: Transfer,
    refused: Callable[..., None],
    tmp_path: Path,
) -> None:
    refused(transfer(*options, *more, "--runs-dir", tmp_path / "runs"), *words)
    assert not (tmp_path / "runs").exists()


def test_several_jobs_beside_torchrun_are_refused(
    options: list[str],
    transfer: Transfer,
    refused: Callable[..., None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("transfer.recipes.cells.executors.choice.size", lambda: 2)
    refused(transfer(*options, "--jobs", "2", "--runs-dir", tmp_path / "runs"), "--jobs 2 beside torchrun")
    refused(transfer(*options, "--ray", "--runs-dir", tmp_path / "runs"), "--ray beside torchrun")
    assert not (tmp_path / "runs").exists()


def test_two_drivers_on_one_folder_are_refused(
    options: list[str], transfer: Transfer, refused: Callable[..., None], tmp_path: Path
) -> None:
    process = command(*options, "--jobs", "2", "--name", "walk", "--runs-dir", tmp_path)
    try:
        trains(tmp_path, process)
        second = transfer(*options, "--jobs", "2", "--name", "walk", "--runs-dir", tmp_path, "--resume")
        refused(second, "in use: another process is at work on this run")
    finally:
        process.kill()
        process.communicate()
