"""A state embedding of one linear map."""

from __future__ import annotations

from torch import Tensor

from transfer.adapters.states.state import StateGroup
from transfer.models.steps.group import Shared
from transfer.runtime.layers.linear import small_linear


class LinearState(StateGroup):
    """One token from one linear map, as in the Decision Transformer and the tokenized-action paper."""

    def __init__(self, state_size: int, width: int) -> None:
        super().__init__()
        self.linear = small_linear(state_size, width)
        self._arguments = {"state_size": state_size, "width": width}

    def embed(self, values: Tensor, shared: Shared, first: int = 0) -> Tensor:
        """(B, T, S) -> (B, T, 1, D)."""
        return self.linear(values)[:, :, None]
