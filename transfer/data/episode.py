"""One episode of a dataset."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Episode:
    """One trajectory, over the memory of its `Episodes`.

    Attributes:
        states: (T, S) float32, before each action.
        actions: (T, A) float32.
        rewards: (T,) float32, after each action.
    """

    states: FloatArray
    actions: FloatArray
    rewards: FloatArray

    def __len__(self) -> int:
        """T."""
        return len(self.rewards)

    @property
    def total_reward(self) -> float:
        """The undiscounted return, added up in float64."""
        return float(self.rewards.sum(dtype=np.float64))

    def __repr__(self) -> str:
        return f"Episode({counted(len(self), 'step')}, return {self.total_reward:.4g})"


def counted(number: int, what: str) -> str:
    """A count for people, as "1 step" or "2,000 steps"."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"
