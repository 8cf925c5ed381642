"""Two processes train as one does: with the same losses and weights."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests import two_processes as two
from transfer.data.windows import WindowSampler
from transfer.runtime.distributed import check_shares, connected, own_device, rank, size

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def together_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Output of two processes; `stopped` is by one process, and two resume it as `resumed`."""
    out = tmp_path_factory.mktemp("two")
    two.stop(out / "stopped")
    done = subprocess.run(
        [sys.executable, "-m", "tests.two_processes", str(out)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return out


@pytest.fixture(scope="module")
def alone_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Output of one process."""
    out = tmp_path_factory.mktemp("one")
    for kind in ("pretraining", "frozen", "mlp"):
        two.train(kind, out / kind)
    return out


def test_the_processes_hold_unequal_numbers_of_real_steps() -> None:
    """With equal numbers, dividing by the count of one process would be right by chance."""
    sampler = WindowSampler(two.episodes(), two.CONFIG.context, two.CONFIG.batch_size, 0)
    steps = range(two.CONFIG.steps)
    counts = [[int(sampler.batch(step, block, 2).mask.sum()) for block in range(2)] for step in steps]
    assert all(first != second for first, second in counts)


@pytest.mark.parametrize("kind", ["pretraining", "frozen", "mlp"])
def test_two_processes_follow_the_curve_of_one(kind: str, together_folder: Path, alone_folder: Path) -> None:
    expected = torch.tensor(two.curve(alone_folder / kind))
    assert expected.shape == (two.CONFIG.steps, 2) and (expected[1:, 0] != expected[:-1, 0]).all()
    torch.testing.assert_close(torch.tensor(two.curve(together_folder / kind)), expected, rtol=1e-5, atol=0)


@pytest.mark.parametrize("kind", ["pretraining", "frozen", "mlp"])
def test_two_processes_end_with_the_weights_of_one(kind: str, together_folder: Path, alone_folder: Path) -> None:
    expected = two.weights(alone_folder / kind)
    torch.testing.assert_close(two.weights(together_folder / kind), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("kind", two.KINDS)
def test_both_processes_end_with_the_same_bytes_and_one_reports(kind: str, together_folder: Path) -> None:
    folder = together_folder / kind
    torch.testing.assert_close(two.weights(folder, 1), two.weights(folder), rtol=0, atol=0)
    assert two.curve(folder) and two.curve(folder, 1) == []


def test_two_processes_go_on_with_what_one_began(together_folder: Path, alone_folder: Path) -> None:
    expected = torch.tensor(two.curve(alone_folder / "pretraining"))[4:]  # the last state is of step 4
    torch.testing.assert_close(torch.tensor(two.curve(together_folder / "resumed")), expected, rtol=1e-5, atol=0)
    trained = two.weights(alone_folder / "pretraining")
    torch.testing.assert_close(two.weights(together_folder / "resumed"), trained, rtol=0, atol=1e-5)


def test_processes_that_do_not_fit_together_are_told(together_folder: Path) -> None:
    for process in range(2):
        differ, shares = json.loads((together_folder / "errors" / f"errors-{process}.json").read_text())
        assert "what is trained differs between processes" in differ and "'seed': 1" in differ
        assert "batch_size=5 cannot be shared equally by 2 processes. Set batch_size=4" in shares


def test_a_single_process_needs_no_connection() -> None:
    with connected():
        assert (rank(), size(), own_device("cuda:1")) == (0, 1, "cuda:1")
        check_shares(7)
