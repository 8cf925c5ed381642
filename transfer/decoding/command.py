"""The command of a return-conditioned policy: the return to go."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from transfer.data.environment.answers import LARGEST
from transfer.data.measured.dataset_statistics import Statistics
from transfer.errors import unknown
from transfer.models.acting import Step
from transfer.numbers import real


class ReturnToGo:
    """The target return less the rewards so far, in E episodes; a `transfer.models.acting.Command`.

    Args:
        asked: {"return": raw target return}.
        episodes: E.
    """

    def __init__(self, asked: Mapping[str, float], episodes: int) -> None:
        self.target, self.earned = asked["return"], np.zeros(episodes)

    def columns(self, step: Step) -> dict[str, Tensor]:
        """The returns to go (E,), raw float32; they are added up in float64."""
        self.earned += step.rewards.numpy()
        to_go = (self.target - self.earned).astype(np.float32)
        return {"returns": torch.from_numpy(to_go).to(step.states.device)}

    def select(self, rows: Tensor) -> None:
        """Keep the episodes of some indices, (R,) int64."""
        self.earned = self.earned[rows.cpu().numpy()]


def return_asked(statistics: Statistics, ask: Mapping[str, Any]) -> dict[str, float]:
    """The raw return that is asked for: the one named, else the best one known.

    Args:
        statistics: whose default is the calibration's best, else the 95th percentile of the dataset.
        ask: {"return": raw}, or nothing.

    Raises:
        TransferError: another name, no finite number below `LARGEST`, or no default.
    """
    for name in ask:
        if name != "return":
            raise unknown("thing to ask for", name, ["return"])
    given = ask.get("return")
    if given is None:
        return {"return": statistics.best_target}
    return {"return": real(given, "target_return", least=-LARGEST, most=LARGEST)}
