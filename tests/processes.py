"""The command in processes of its own, for tests that kill and interrupt it."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PATIENCE = 600.0  # seconds: machines that test may be slow


def command(*arguments: object) -> subprocess.Popen[str]:
    """The command in a session of its own; stderr is read with stdout."""
    return subprocess.Popen(
        [sys.executable, "-m", "transfer.recipes.cli.commands", *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def until(found: Callable[[], object], seconds: float = PATIENCE) -> None:
    """Wait until something is found; fails when that takes too long."""
    end = time.monotonic() + seconds
    while not found():
        assert time.monotonic() < end, f"nothing happened in {seconds:.0f} s"
        time.sleep(0.02)


def trains(folder: Path, process: subprocess.Popen[str]) -> None:
    """Wait until a cell anywhere in a folder has a saved state; fails when the process ends before."""
    until(lambda: list(folder.rglob("checkpoint/state.json")) or process.poll() is not None)
    assert process.poll() is None, process.communicate()[0]


def alive(pid: int) -> bool:
    """Whether a process runs; one that ended and was not reaped has no command."""
    try:
        return bool(Path(f"/proc/{pid}/cmdline").read_text())
    except OSError:
        return False


def workers(pid: int) -> list[int]:
    """The processes that do cells for a driver; its pools start one that watches shared memory as well."""
    tasks = Path(f"/proc/{pid}/task").glob("*/children")
    children = [int(child) for task in tasks for child in task.read_text().split()]
    return [child for child in children if "spawn_main" in Path(f"/proc/{child}/cmdline").read_text()]
