"""Readouts: hidden vectors at the positions that predict an action -> the action, and the loss.

`WholeRegression` reads one vector per step, the two spread readouts one vector per action dimension. Losses are
(sum, count) over real tokens, so padding and the split of a batch over processes never change their ratio. Actions are
scaled, -1 to 1. Spread readouts are handed the `Bins` of their adapter, None where it has none; only the one over bins
looks at them.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from transfer.adapters.tokenizers.bins import Bins


def _squared_error(predicted: Tensor, actions: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Sum over real steps and dimensions of (B, T, A) errors, and how many there were."""
    error = (predicted - actions).square() * mask[..., None]
    return error.sum(), mask.sum() * actions.shape[-1]


class WholeRegression(nn.Module):
    """A linear map to all A dimensions and tanh, trained on squared error (the Decision Transformer's head)."""

    def __init__(self, width: int, action_size: int) -> None:
        super().__init__()
        self.linear = nn.Linear(width, action_size)
        nn.init.normal_(self.linear.weight, std=0.02)
        nn.init.zeros_(self.linear.bias)

    def predict(self, hidden: Tensor) -> Tensor:
        """(..., 1, D) -> (..., A)."""
        return torch.tanh(self.linear(hidden[..., 0, :]))

    def loss(self, hidden: Tensor, actions: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Hidden (B, T, 1, D), actions (B, T, A), mask (B, T) -> (sum, count)."""
        return _squared_error(self.predict(hidden), actions, mask)


class SpreadRegression(nn.Module):
    """A shared map from D to one number and tanh, trained on squared error (the tokenized-action paper's head).

    With `per_dimension` each action dimension adds an offset of its own to the shared vector, zero at the start: the
    reading side of the index embedding. Without it this is the paper's head.
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
        """`weights`, `biases` and `centers` of `transfer.tables.ActionTables`."""
        own = self.weight.expand(action_size, -1) if self.rows is None else self.weight + self.rows
        return own[:, None], self.bias.expand(action_size, 1), None

    def loss(self, hidden: Tensor, actions: Tensor, mask: Tensor, bins: Bins | None = None) -> tuple[Tensor, Tensor]:
        """Hidden (B, T, A, D), actions (B, T, A), mask (B, T) -> (sum, count)."""
        return _squared_error(self.predict(hidden), actions, mask)


class SpreadCategorical(nn.Module):
    """Logits over each dimension's own bins, trained on cross-entropy; predicts the mean of the distribution.

    As in Gato, BeT and the Trajectory Transformer, which take the likeliest bin or draw one. Quantile bins are wide
    where data are rare, so under noise the likeliest bin is often a wide one far from the mode: on Walker2d one adapter
    scored 1 by the likeliest bin, 22 by drawing and 27 by the mean (20 episodes). Bins that a dimension does not use
    are masked out.
    """

    def __init__(self, width: int, action_size: int, per_dimension: bool, bins: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(bins, width).mul_(0.02))
        self.bias = nn.Parameter(torch.zeros(bins))
        self.rows = nn.Parameter(torch.zeros(action_size, bins, width)) if per_dimension else None

    def logits(self, hidden: Tensor, first: int, bins: Bins | None) -> Tensor:
        """(..., n, D) -> (..., n, V)."""
        assert bins is not None  # whoever reads over bins was built with a tokenizer
        n = hidden.shape[-2]
        logits = F.linear(hidden, self.weight, self.bias)
        if self.rows is not None:
            logits = logits + torch.einsum("...nd,nvd->...nv", hidden, self.rows[first : first + n])
        return logits.masked_fill(bins.unused()[first : first + n], float("-inf"))

    def predict(self, hidden: Tensor, first: int, bins: Bins | None) -> Tensor:
        """(..., n, D) at the positions that predict dimensions `first` to `first + n` -> (..., n)."""
        shares = self.logits(hidden, first, bins).softmax(-1)  # (..., n, V)
        assert bins is not None
        return (shares * bins.centers[first : first + hidden.shape[-2]]).sum(-1)

    def tables(self, action_size: int, bins: Bins | None) -> tuple[Tensor, Tensor, Tensor]:
        """`weights`, `biases` and `centers` of `transfer.tables.ActionTables`."""
        assert bins is not None
        weights = self.weight.expand(action_size, -1, -1)
        biases = self.bias.expand(action_size, -1).masked_fill(bins.unused(), float("-inf"))
        return weights if self.rows is None else weights + self.rows, biases, bins.centers

    def loss(self, hidden: Tensor, actions: Tensor, mask: Tensor, bins: Bins | None) -> tuple[Tensor, Tensor]:
        """Hidden (B, T, A, D), actions (B, T, A), mask (B, T) -> (sum, count)."""
        assert bins is not None
        ids, real = bins(actions), mask[..., None].expand_as(actions)
        return F.cross_entropy(self.logits(hidden, 0, bins)[real], ids[real], reduction="sum"), real.sum()
