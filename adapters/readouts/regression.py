"""Readouts that predict actions as real numbers, trained on squared error."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from transfer.adapters.tokenizers.bins import Bins
from transfer.models.steps.group import Loss
from transfer.runtime.layers.linear import small_linear


def _squared_error(predicted: Tensor, actions: Tensor, weight: Tensor) -> Loss:
    """Squared errors (B, T, A), weighted by (B, T, A) or (B, T, 1)."""
    error = (predicted - actions).square() * weight
    return Loss(error.sum(), (weight > 0).sum() * (actions.shape[-1] // weight.shape[-1]))


class WholeRegression(nn.Module):
    """A linear map to all A dimensions and tanh, trained on squared error (the Decision Transformer's head)."""

    def __init__(self, width: int, action_size: int) -> None:
        super().__init__()
        self.linear = small_linear(width, action_size)

    def predict(self, hidden: Tensor) -> Tensor:
        """(..., 1, D) -> (..., A)."""
        return torch.tanh(self.linear(hidden[..., 0, :]))

    def loss(self, hidden: Tensor, actions: Tensor, weight: Tensor) -> Loss:
        """Of hidden (B, T, 1, D), actions (B, T, A) and weight (B, T, 1)."""
        return _squared_error(self.predict(hidden), actions, weight)


class SpreadRegression(nn.Module):
    """A shared linear map from D to one value and tanh, trained on squared error (the tokenized-action paper's head).

    With `per_dimension` each action dimension adds its own offset, zero at the start, to the shared weight vector. It
    is the counterpart of the index embedding; the paper's head has none.
    """

    def __init__(self, width: int, action_size: int, per_dimension: bool) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(width).mul_(0.02))
        self.bias = nn.Parameter(torch.zeros(1))
        self.rows = nn.Parameter(torch.zeros(action_size, width)) if per_dimension else None

    def predict(self, hidden: Tensor, first: int = 0, bins: Bins | None = None) -> Tensor:
        """(..., n, D) at the positions that predict dimensions `first` to `first + n` -> (..., n)."""
        weight = self.weight if self.rows is None else self.weight + self.rows[first : first + hidden.shape[-2]]
        return torch.tanh((hidden * weight).sum(-1) + self.bias)

    def tables(self, action_size: int, bins: Bins | None = None) -> tuple[Tensor, Tensor, None]:
        """`weights`, `biases` and `centers` of `transfer.decoding.tables.ActionTables`."""
        own = self.weight.expand(action_size, -1) if self.rows is None else self.weight + self.rows
        return own[:, None], self.bias.expand(action_size, 1), None

    def loss(self, hidden: Tensor, actions: Tensor, weight: Tensor, bins: Bins | None = None) -> Loss:
        """Of hidden (B, T, A, D), actions (B, T, A) and weight (B, T, A)."""
        return _squared_error(self.predict(hidden), actions, weight)
