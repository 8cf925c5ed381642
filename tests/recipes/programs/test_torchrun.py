"""`torchrun -m transfer.recipes run`: the same run by several processes, of which one writes."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

from tests.run_files import cell, results

Transfer = Callable[..., Result]
ROOT = Path(__file__).resolve().parents[3]
RUN = [
    "--import=mine",
    "run",
    "hopper-to-walker2d",
    "--modes=embeddings",
    "--device=cpu",
    "--set=run.precision=float32",
]
TORCHRUN = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "-m", "transfer.recipes"]

MINE = """import atexit, os, pathlib
rank = os.environ.get("RANK", "alone")
pathlib.Path(f"imported-{rank}").touch()

def leave():
    names = [task.read_text().strip() for task in pathlib.Path("/proc/self/task").glob("*/comm")]
    pathlib.Path(f"left-{rank}").write_text(" ".join(names))

if rank != "alone":
    atexit.register(leave)
"""

pytestmark = pytest.mark.usefixtures("workplace")


def torchrun(*arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, *TORCHRUN, *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True)


def files(run: Path) -> list[str]:
    """Every file of a run; event files are named after the moment and the process."""
    names = [path.relative_to(run).as_posix() for path in run.rglob("*") if path.is_file()]
    return sorted(name.partition(".tfevents")[0] for name in names)


@pytest.fixture(autouse=True)
def mine(workplace: Path) -> Path:
    """A module of the user's own in the working folder, which leaves the rank of who imports it, and threads."""
    (workplace / "mine.py").write_text(MINE)
    return workplace


def test_two_processes_make_the_run_of_one(workplace: Path, tiny: list[str], transfer: Transfer) -> None:
    two = torchrun(*RUN, *tiny, "--name=two")
    assert two.returncode == 0, two.stdout + two.stderr
    alone = transfer(*RUN, *tiny, "--name=one")
    assert alone.exit_code == 0, alone.output
    one, shared = workplace / "runs" / "one", workplace / "runs" / "two"
    assert files(shared) == files(one)
    assert two.stdout == (shared / "report.md").read_text(encoding="utf-8") + "\n"
    assert two.stderr.count("embeddings seed 0 trains") == two.stderr.count("Written to") == 1
    for mode in ("pretrain", "embeddings"):
        assert results(shared, mode)["final_loss"] == pytest.approx(results(one, mode)["final_loss"], rel=1e-5)
        assert json.loads((cell(shared, mode) / "timing.json").read_text())["processes"] == 2
    assert results(shared, "embeddings")["trunk"]["unchanged"] is True
    assert {path.name for path in workplace.glob("imported-*")} >= {"imported-0", "imported-1"}
    for rank in (0, 1):  # a thread of gloo that outlives the interpreter may abort the process
        assert "gloo" not in (workplace / f"left-{rank}").read_text()


def test_a_mistake_ends_all_processes_and_leaves_nothing(workplace: Path, tiny: list[str]) -> None:
    done = torchrun(*RUN, *tiny, "--set=adapt.batch_size=3", "--name=odd")
    assert done.returncode != 0 and done.stdout == ""
    assert done.stderr.count("Error: adapt.batch_size=3 cannot be shared equally by 2 processes") == 1, done.stderr
    assert "exitcode  : 2" in done.stderr and str(ROOT / "recipes") not in done.stderr  # torchrun's traceback alone
    assert not (workplace / "runs" / "odd").exists()


def test_other_commands_refuse_several_processes(
    transfer: Transfer, refused: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    refused(transfer("ls"), "torchrun started 2 processes", "Start it alone: transfer ls")
