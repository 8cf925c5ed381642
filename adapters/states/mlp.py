"""A state embedding of two hidden layers."""

from __future__ import annotations

from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from transfer.adapters.states.state import StateGroup
from transfer.data.episodes import Episodes
from transfer.models.steps.group import Shared
from transfer.models.steps.scales import Scales
from transfer.numbers import MOST_WIDTH, whole

HIDDEN = 256


class MLPState(StateGroup):
    """One token from two hidden layers with GELU, for bodies whose states need more than a linear map."""

    def __init__(self, state_size: int, width: int, hidden: int) -> None:
        super().__init__()
        self._arguments = {"state_size": state_size, "width": width, "hidden": hidden}
        self.fc_1 = nn.Linear(state_size, hidden)
        self.fc_2 = nn.Linear(hidden, hidden)
        self.proj = nn.Linear(hidden, width)

    @classmethod
    def check(cls, *, hidden: int = HIDDEN) -> None:
        """Raise TransferError unless `hidden` is a width."""
        whole(hidden, "adapter.state.hidden", 1, MOST_WIDTH)

    @classmethod
    def fit(cls, episodes: Episodes, scales: Scales, width: int, *, hidden: int = HIDDEN) -> dict[str, Any]:
        """The sizes of the embedding; `hidden` is the width of its hidden layers."""
        return {**super().fit(episodes, scales, width), "hidden": hidden}

    def embed(self, values: Tensor, shared: Shared, first: int = 0) -> Tensor:
        """(B, T, S) -> (B, T, 1, D)."""
        return self.proj(F.gelu(self.fc_2(F.gelu(self.fc_1(values)))))[:, :, None]
