"""The horizon: steps to the end of an episode."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from transfer.data.batch import Steps
from transfer.data.episodes import Episodes
from transfer.models.steps.group import Condition
from transfer.models.steps.scales import Scales


def steps_to_go(episodes: Episodes, seed: int) -> NDArray[np.float32]:
    """The column "horizon": steps from each step to the end of its episode, itself included, (N,)."""
    return episodes.steps_left.astype(np.float32)


class HorizonGroup(Condition):
    """Steps to the end of the episode, over the most that an episode of the environment has."""

    def values(self, steps: Steps, scales: Scales) -> Tensor:
        """(B, T, 1)."""
        return steps.column("horizon")[..., None] / scales.env_spec.max_episode_steps
