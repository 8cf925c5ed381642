"""A state embedding of two hidden layers."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

HIDDEN = 256  # width of both hidden layers


class MLPState(nn.Module):
    """One token from two hidden layers with GELU, for bodies whose states need more than a linear map."""

    tokens = 1

    def __init__(self, state_size: int, width: int) -> None:
        super().__init__()
        self.fc_1 = nn.Linear(state_size, HIDDEN)
        self.fc_2 = nn.Linear(HIDDEN, HIDDEN)
        self.proj = nn.Linear(HIDDEN, width)

    def forward(self, states: Tensor) -> Tensor:
        """(B, T, S) -> (B, T, 1, D)."""
        return self.proj(F.gelu(self.fc_2(F.gelu(self.fc_1(states)))))[:, :, None]
