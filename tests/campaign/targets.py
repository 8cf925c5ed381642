"""What a policy is asked for, on every road: the raw return that comes of it, or that it is no target."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from tests.campaign.engine import Accepted, Refused, Trial
from tests.campaign.library_calls import RUN, Kit
from tests.campaign.sandbox import Place
from tests.campaign.shop import RUNS

CELL = RUN / "embeddings/0"
NAN, INF = float("nan"), float("inf")
RAW = (3000, 0, -5.5, 1e6, np.float32(10), np.int64(7), np.array(2.5), 4212.335081309546)
SCORES = (100, 0, -1.5, np.float32(50), 250.0)
NONE = (NAN, INF, -INF, 10**400, 1e31, -1e300, "100", "p95", True, [1.0], {}, 1j, np.array([1, 2]), b"1", object())
WORDS = ("p25", "p50", "p75", "p90", "p95", "max", "best")
NO_WORDS = ("", " ", *", nan inf -inf 1e400 1e31 p p33 p101 p-1 pnan P95 most 0x10 1,1 10,1e1".split())


def make(rng: random.Random, shop: Path) -> Trial:
    """A target by name, score or return, or none."""
    kind, right = rng.choice(("return", "score", "word")), rng.random() < 0.45
    if kind == "word":
        value: Any = rng.choice(WORDS if right else NO_WORDS)
        wanted: Callable[[], float] = lambda: by_name(value)  # noqa: E731
        return trial(f"--targets {value!r}", lambda place: command(place, value), wanted if right else None)
    if kind == "score":
        value = rng.choice(SCORES if right else NONE)
        road = rng.choice((lambda p: played(target=value), lambda p: policy(target=value)))
        return trial(f"target={value!r:.40}", road, (lambda: of_score(float(value))) if right else None)
    value = rng.choice(RAW if right else NONE)
    road = rng.choice((lambda p: played(target_return=value), lambda p: policy(target_return=value)))
    if right and type(value) in (int, float) and rng.random() < 0.5:
        road = lambda place: command(place, repr(value))  # noqa: E731
    elif not right and rng.random() < 0.2:
        road = lambda place: played(target=1.0, target_return=1.0)  # noqa: E731
        return trial("target and target_return", road, None)
    return trial(f"target_return={value!r:.40}", road, (lambda: float(value)) if right else None)


def trial(name: str, act: Callable[[Place], float], wanted: Callable[[], float] | None) -> Trial:
    """Refused, or this raw return is asked for."""

    def check(found: float) -> None:
        assert wanted is not None and found == wanted(), f"{found}, not {wanted and wanted()}"

    return Trial(name, act, Refused() if wanted is None else Accepted(check), RUNS)


def played(**target: Any) -> float:
    """What an evaluation says that it asked for."""
    from transfer import evaluate

    return float(evaluate(Kit().model, num_episodes=1, **target).target_return)


def policy(**target: Any) -> float:
    """What a policy says that it asks for."""
    return float(Kit().model.policy(**target).target_return)


def command(place: Place, words: str) -> float:
    """What `transfer eval` says that it asked for."""
    said = json.loads(place.transfer("eval", CELL, "--episodes", 1, "--json", "--targets", words))
    return float(said["evaluations"][0]["target_return"])


def by_name(word: str) -> float:
    """The return of a name, from the adapter's own file."""
    statistics = json.loads((CELL / "adapter/adapter.json").read_text(encoding="utf-8"))["statistics"]
    if word != "best":
        return float(statistics["return_quantiles"][word])
    measured = statistics["calibration"]
    best = max(measured["achieved"])
    return min(
        asked for asked, achieved in zip(measured["asked"], measured["achieved"], strict=True) if achieved == best
    )


def of_score(score: float) -> float:
    """D4RL's scale of Walker2d."""
    return 1.629008 + score * (4592.3 - 1.629008) / 100.0
