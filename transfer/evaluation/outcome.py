"""The outcome of an evaluation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from transfer.data.environment.spec import EnvironmentSpec


@dataclass(frozen=True, repr=False)
class Evaluation:
    """Returns, lengths and successes of N episodes of a policy.

    Attributes:
        returns: (N,) undiscounted return of each episode, raw.
        lengths: (N,) steps of each episode.
        seeds: (N,) environment seed of each episode.
        asked: what the policy was asked for, raw, as {"return": 3000.0}.
        decode: how action dimensions were chosen.
        env_spec: the environment and its table of reference scores.
        actions: (M, A) a sample of the actions taken, for histograms.
        successes: (N,) whether the environment reported success at least once, under a name of
            `transfer.data.environment.answers.SUCCESS`; None where it never reports it.
    """

    returns: NDArray[np.float64]
    lengths: NDArray[np.int64]
    seeds: NDArray[np.int64]
    asked: Mapping[str, float]
    decode: str
    env_spec: EnvironmentSpec
    actions: NDArray[np.float32]
    successes: NDArray[np.bool_] | None = None

    @property
    def target_return(self) -> float | None:
        """The raw return that was asked for; None where none was."""
        return self.asked.get("return")

    @property
    def success_rate(self) -> float | None:
        """Share of the episodes that succeeded, None where the environment does not report it."""
        return None if self.successes is None else float(self.successes.mean())

    @property
    def scores(self) -> NDArray[np.float64]:
        """Normalised score of each episode, 100 = reference expert."""
        return self.env_spec.reference.score(self.returns)

    def to_json(self) -> dict[str, Any]:
        """One entry of "evaluations" in a results file."""
        score, target = self.env_spec.reference.score, self.target_return
        return {
            "target_return": target,
            "target_score": None if target is None else float(score(target)),
            "decode": self.decode,
            "returns": self.returns.tolist(),
            "lengths": self.lengths.tolist(),
            "seeds": self.seeds.tolist(),
            "mean_return": float(self.returns.mean()),
            "mean_score": float(self.scores.mean()),
            "mean_length": float(self.lengths.mean()),
            "successes": None if self.successes is None else self.successes.tolist(),
            "success_rate": self.success_rate,
        }

    def __str__(self) -> str:
        spread = self.scores.std() if len(self.scores) > 1 else 0.0
        success = "" if self.success_rate is None else f"success {self.success_rate:.2f}, "
        asked = "".join(f", target {name} {value:.0f}" for name, value in self.asked.items())
        return (
            f"{self.env_spec.name}: {success}return {self.returns.mean():.1f}, {self.env_spec.reference.table} score "
            f"{self.scores.mean():.1f} (spread over episodes {spread:.1f}), length {self.lengths.mean():.0f}, "
            f"{len(self.returns)} episodes{asked}"
        )

    def __repr__(self) -> str:
        return f"<Evaluation {self}>"
