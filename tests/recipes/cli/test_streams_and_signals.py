"""Streams that are closed, broken or full, and signals that ask to end."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

Transfer = Callable[..., Result]
ROOT = Path(__file__).resolve().parents[3]
MAIN = "hopper-to-walker2d"

pytestmark = pytest.mark.usefixtures("workplace")


def shell(line: str) -> subprocess.CompletedProcess[str]:
    """Run a line of a shell in which $T is the command; its last word on stdout is the exit code of the command."""
    env = {**os.environ, "T": f"{sys.executable} -m transfer.recipes", "PYTHONPATH": str(ROOT)}
    return subprocess.run(["bash", "-c", line], env=env, capture_output=True, text=True, check=True, timeout=120)


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("$T ls | head -1; echo ${PIPESTATUS[0]}", 0),
        ("$T ls >&-; echo $?", 0),
        ("$T data ls 2>&- <&- | cat; echo ${PIPESTATUS[0]}", 0),
        ("$T run nope 2>&-; echo $?", 2),
        ("PYTHONIOENCODING=ascii $T ls | cat; echo ${PIPESTATUS[0]}", 0),
        ("$T ls > /dev/full; echo $?", 2),
        ("PYTHONUNBUFFERED=1 $T ls > /dev/full; echo $?", 2),
    ],
)
def test_streams_that_nobody_reads(line: str, code: int) -> None:
    done = shell(line)
    assert done.stdout.split()[-1] == str(code), done
    assert "Traceback" not in done.stderr and "Exception ignored" not in done.stderr, done.stderr
    assert ("the disk is full" in done.stderr) == ("ls > /dev/full" in line)


@pytest.mark.parametrize("streams", ["2>&-", "2>&1 >/dev/null | head -1"])
def test_a_run_works_without_progress(streams: str, tiny: list[str], tmp_path: Path) -> None:
    options = " ".join([*tiny, "--modes mlp --set eval.calibrate=0"])
    done = shell(f"$T run {MAIN} {options} --runs-dir {tmp_path} {streams}; echo ${{PIPESTATUS[0]}}")
    assert done.stdout.split()[-1] == "0", done
    assert (tmp_path / MAIN / "report.md").is_file() and (tmp_path / MAIN / "mlp/0/results.json").is_file()


@pytest.mark.parametrize(("name", "code"), [("SIGTERM", 143), ("SIGHUP", 129)])
def test_a_signal_that_asks_to_end_is_an_interruption(
    name: str, code: int, tiny: list[str], transfer: Transfer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = ["run", MAIN, *tiny, "--modes", "mlp", "--runs-dir", tmp_path]
    with monkeypatch.context() as patch:
        log = "transfer.recipes.cells.recorder.Recorder.log"
        patch.setattr(log, lambda *_: os.kill(os.getpid(), getattr(signal, name)))
        stopped = transfer(*options)
    assert stopped.exit_code == code and f"Interrupted by {name}. Go on with: transfer run {MAIN}" in stopped.stderr
    assert stopped.stderr.rstrip().endswith("--resume")
    assert signal.getsignal(getattr(signal, name)) is signal.SIG_DFL
    assert transfer(*options, "--resume").exit_code == 0


def test_a_signal_that_the_caller_ignores_stays_ignored(
    tiny: list[str], transfer: Transfer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def hang_up(*_: Any) -> None:
        os.kill(os.getpid(), signal.SIGHUP)

    monkeypatch.setattr("transfer.recipes.cells.play.Player._log_actions", hang_up)
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does
    try:
        result = transfer("run", MAIN, *tiny, "--modes", "mlp", "--runs-dir", tmp_path)
        assert result.exit_code == 0, result.output
    finally:
        signal.signal(signal.SIGHUP, before)
