"""The base class of state embeddings."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from transfer.data.batch import Steps
from transfer.data.episodes import Episodes
from transfer.models.steps.group import Group
from transfer.models.steps.scales import Scales


class StateGroup(Group):
    """The normalised state as one token."""

    tokens = 1

    @classmethod
    def fit(cls, episodes: Episodes, scales: Scales, width: int) -> dict[str, Any]:
        """The sizes of the embedding."""
        return {"state_size": episodes.state_size, "width": width}

    _arguments: dict[str, Any]

    def arguments(self) -> dict[str, Any]:
        """The sizes of the embedding."""
        return dict(self._arguments)

    def values(self, steps: Steps, scales: Scales) -> Tensor:
        """(B, T, S) in standard deviations from the mean."""
        return scales.scale_states(steps.states)
