"""The return to go."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from transfer.data.batch import Steps
from transfer.data.episodes import Episodes
from transfer.models.steps.group import Condition
from transfer.models.steps.scales import Scales


def returns_to_go(episodes: Episodes, seed: int) -> NDArray[np.float32]:
    """The column "returns": undiscounted return from each step to the end of its episode, (N,), raw."""
    return episodes.returns_to_go


class ReturnGroup(Condition):
    """The return to go over the span of the reference scores, see `transfer.models.steps.scales`."""

    def values(self, steps: Steps, scales: Scales) -> Tensor:
        """(B, T, 1)."""
        return scales.scale_returns(steps.column("returns"), steps.times)[..., None]
