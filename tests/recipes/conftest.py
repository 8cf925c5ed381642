"""Run folders made of invented results, with the schema of real ones."""

import json
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from transfer.recipes.cli.commands import cli

REFERENCES = {
    "hopper": {"table": "D4RL", "minimum": -20.272305, "maximum": 3234.3},
    "walker2d": {"table": "D4RL", "minimum": 0.0, "maximum": 1000.0},
}
MakeCell = Callable[..., Path]
# A whole run in about a second.
TINY = {
    "trunk.width": 16,
    "trunk.depth": 1,
    "trunk.heads": 2,
    "trunk.dropout": 0.2,
    "adapter.state.kind": "linear",
    "adapter.action.bins": 8,
    "pretrain.steps": 10,
    "adapt.steps": 8,
    "eval.episodes": 2,
    "eval.envs": 2,
    "eval.calibrate": 1,
    **{f"{part}.{key}": 4 for part in ("pretrain", "adapt") for key in ("batch_size", "context", "save_every")},
    **{f"{part}.log_every": 2 for part in ("pretrain", "adapt")},
}


def results(mode: str, seed: int, returns: Sequence[float], **changes: Any) -> dict[str, Any]:
    environment = changes.pop("environment", "hopper" if mode == "pretrain" else "walker2d")
    trunk = {"frozen": True, "pretrained": "ab", "before": "ab", "after": "ab", "unchanged": True}
    if mode in ("full", "pretrain"):
        trunk |= {"frozen": False, "after": "cd", "unchanged": None}
    if mode == "mlp":
        trunk |= {"frozen": False, "pretrained": None, "before": None, "after": None, "unchanged": None}
    mean = sum(returns) / len(returns)
    reference = changes.get("reference", REFERENCES[environment])
    played = {
        "checkpoint": "last",
        "step": 3000,
        "target_return": 900.0,
        "target_score": 90.0,
        "decode": "autoregressive",
        "returns": list(returns),
        "lengths": [100] * len(returns),
        "seeds": [10000 + i for i in range(len(returns))],
        "mean_return": mean,
        "mean_score": 100 * (mean - reference["minimum"]) / (reference["maximum"] - reference["minimum"]),
        "mean_length": 100.0,
    }
    return {
        "format": 1,
        "mode": mode,
        "seed": seed,
        "inherit": "none",
        "trunk": trunk,
        "environment": environment,
        "dataset_ids": [f"bundled/{environment}/medium-v0", f"bundled/{environment}/expert-v0"],
        "content_hash": f"{environment}0123456789abcdef",
        "reference": REFERENCES[environment],
        "adapter": {"state": "mlp", "bins": 64},
        "training": {"steps": 3000, "lr": 0.001},
        "steps": 3000,
        "batch_size": 64,
        "lr": 0.001,
        "trained": {"numbers": 45_000, "total": 600_000, "share": 0.075, "bytes": 180_000, "tensors": 9, "parts": {}},
        "final_loss": 0.01,
        "evaluations": [played],
        "probes": [],
        "versions": {"embedding-swap": "0.1.0", "torch": "2.13.0"},
    } | changes


def cells_in(place: Path) -> MakeCell:
    """What the fixture `make_cell` is, for another folder."""

    def make(mode: str, seed: int, returns: Sequence[float], run: str = "walk", **changes: Any) -> Path:
        name = "trunk" if mode == "pretrain" else mode.replace(":", "-")
        folder = place / run / name / str(seed)
        folder.mkdir(parents=True)
        content = results(mode, seed, returns, **changes)
        (folder / "results.json").write_text(json.dumps(content), encoding="utf-8")
        (folder / "timing.json").write_text(json.dumps({"train_seconds": 60.0 + seed}), encoding="utf-8")
        return place / run

    return make


@pytest.fixture
def make_cell(tmp_path: Path) -> MakeCell:
    """make_cell("full", 0, [returns], run="a", **changes to results.json) -> the run's folder."""
    return cells_in(tmp_path)


@pytest.fixture(scope="session")
def making_cells_in() -> Callable[[Path], MakeCell]:
    """making_cells_in(folder) is `make_cell` for that folder."""
    return cells_in


@pytest.fixture(scope="session")
def played() -> Callable[..., dict[str, Any]]:
    """An evaluation entry with some keys replaced."""
    return lambda returns, **changes: results("full", 0, returns)["evaluations"][0] | changes


@pytest.fixture(scope="session")
def tiny() -> list[str]:
    """Options that make `transfer run` take a second."""
    return [*(f"--set={key}={value}" for key, value in TINY.items()), "--threads=1", "--jobs=1"]


@pytest.fixture(scope="module")
def workplace(tiny_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A working folder for the tests of one file, on a machine where the tiny datasets are at hand."""
    folder, before = tmp_path_factory.mktemp("workplace"), Path.cwd()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MINARI_DATASETS_PATH", str(tiny_data))
        patch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        os.chdir(folder)
        yield folder
        os.chdir(before)


@pytest.fixture
def own_data(tiny_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A datasets folder of the test's own with the tiny data in it."""
    root = tmp_path / "datasets"
    shutil.copytree(tiny_data, root)
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(root))
    return root


@pytest.fixture(scope="session")
def transfer() -> Callable[..., Result]:
    """transfer("run", "hopper-to-walker2d", ...) calls the command in this process."""
    return lambda *args: CliRunner().invoke(cli, [str(arg) for arg in args])


@pytest.fixture(scope="session")
def lasting() -> Callable[[Path], dict[str, bytes]]:
    """lasting(run): the content of every file of a run that must not depend on when and how often it was run."""

    def read(run: Path) -> dict[str, bytes]:
        files = [path for path in run.rglob("*") if path.is_file() and path.parent != run]
        kept = [path for path in files if path.name != "timing.json" and ".tfevents." not in path.name]
        return {path.relative_to(run).as_posix(): path.read_bytes() for path in sorted(kept)}

    return read


@pytest.fixture(scope="session")
def refused() -> Callable[..., None]:
    """refused(result, *words): the command ended as a mistake does, and its message has these words."""

    def check(result: Result, *words: str) -> None:
        assert result.exit_code == 2, result.output
        assert result.stdout == "" and "Traceback" not in result.stderr
        missing = [word for word in words if word not in result.stderr]
        assert not missing, result.stderr

    return check


@pytest.fixture(scope="module")
def run(workplace: Path, tiny: list[str], transfer: Callable[..., Result]) -> Path:
    """A finished run of mode embeddings; tests only read it, or copy it before they damage it."""
    result = transfer("run", "hopper-to-walker2d", *tiny, "--modes", "embeddings", "--name", "good")
    assert result.exit_code == 0, result.output
    return workplace / "runs" / "good"
