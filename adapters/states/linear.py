"""A state embedding of one linear map."""

from __future__ import annotations

from torch import Tensor, nn

from transfer.adapters.small_linear import small_linear


class LinearState(nn.Module):
    """One token from one linear map, as in the Decision Transformer and the tokenized-action paper."""

    tokens = 1

    def __init__(self, state_size: int, width: int) -> None:
        super().__init__()
        self.linear = small_linear(state_size, width)

    def forward(self, states: Tensor) -> Tensor:
        """(B, T, S) -> (B, T, 1, D)."""
        return self.linear(states)[:, :, None]
