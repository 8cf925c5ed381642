"""Run folders made of invented results, with the schema of real ones."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

REFERENCES = {
    "hopper": {"table": "D4RL", "minimum": -20.272305, "maximum": 3234.3},
    "walker2d": {"table": "D4RL", "minimum": 0.0, "maximum": 1000.0},
}
MakeCell = Callable[..., Path]


def results(mode: str, seed: int, returns: Sequence[float], **changes: Any) -> dict[str, Any]:
    environment = changes.pop("environment", "hopper" if mode == "pretrain" else "walker2d")
    trunk = {"frozen": True, "pretrained": "ab", "before": "ab", "after": "ab", "unchanged": True}
    if mode in ("full", "pretrain"):
        trunk |= {"frozen": False, "after": "cd", "unchanged": None}
    if mode == "mlp":
        trunk |= {"frozen": False, "pretrained": None, "before": None, "after": None, "unchanged": None}
    mean = sum(returns) / len(returns)
    span = REFERENCES[environment]["maximum"] - REFERENCES[environment]["minimum"]
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
        "mean_score": 100 * (mean - REFERENCES[environment]["minimum"]) / span,
        "mean_length": 100.0,
    }
    return {
        "format": 1,
        "mode": mode,
        "seed": seed,
        "environment": environment,
        "dataset_ids": [f"bundled/{environment}/medium-v0", f"bundled/{environment}/expert-v0"],
        "content_hash": f"{environment}0123456789abcdef",
        "reference": REFERENCES[environment],
        "steps": 3000,
        "trained": {"numbers": 45_000, "total": 600_000, "share": 0.075, "bytes": 180_000, "tensors": 9, "parts": {}},
        "trunk": trunk,
        "final_loss": 0.01,
        "evaluations": [played],
        "probes": [],
        "versions": {"embedding-swap": "0.1.0", "torch": "2.13.0"},
    } | changes


@pytest.fixture
def make_cell(tmp_path: Path) -> MakeCell:
    """make_cell("full", 0, [returns], run="a", **changes to results.json) -> the run's folder."""

    def make(mode: str, seed: int, returns: Sequence[float], run: str = "walk", **changes: Any) -> Path:
        name = "trunk" if mode == "pretrain" else mode.replace(":", "-")
        folder = tmp_path / run / name / str(seed)
        folder.mkdir(parents=True)
        content = results(mode, seed, returns, **changes)
        (folder / "results.json").write_text(json.dumps(content), encoding="utf-8")
        (folder / "timing.json").write_text(json.dumps({"train_seconds": 60.0 + seed}), encoding="utf-8")
        return tmp_path / run

    return make


@pytest.fixture
def played() -> Callable[..., dict[str, Any]]:
    """An evaluation entry with some keys replaced."""
    return lambda returns, **changes: results("full", 0, returns)["evaluations"][0] | changes
