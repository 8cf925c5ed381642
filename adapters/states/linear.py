"""State embeddings: normalised states (B, T, S) -> token groups (B, T, n, D)."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn


class LinearState(nn.Module):
    """One token, one linear map: what the Decision Transformer and the tokenized-action paper use."""

    tokens = 1

    def __init__(self, state_size: int, width: int, hidden: int = 0) -> None:
        super().__init__()
        self.linear = nn.Linear(state_size, width)
        nn.init.normal_(self.linear.weight, std=0.02)
        nn.init.zeros_(self.linear.bias)

    def forward(self, states: Tensor) -> Tensor:
        """(B, T, S) -> (B, T, 1, D)."""
        return self.linear(states)[:, :, None]


class MLPState(nn.Module):
    """One token from two hidden layers with GELU: room to translate one body into another's terms."""

    tokens = 1

    def __init__(self, state_size: int, width: int, hidden: int = 256) -> None:
        super().__init__()
        self.fc_1 = nn.Linear(state_size, hidden)
        self.fc_2 = nn.Linear(hidden, hidden)
        self.proj = nn.Linear(hidden, width)

    def forward(self, states: Tensor) -> Tensor:
        """(B, T, S) -> (B, T, 1, D)."""
        return self.proj(F.gelu(self.fc_2(F.gelu(self.fc_1(states)))))[:, :, None]
