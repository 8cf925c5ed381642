"""A readout over the bins of each action dimension, trained on cross-entropy."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from transfer.adapters.tokenizers.bins import Bins
from transfer.models.steps.group import Loss


class SpreadCategorical(nn.Module):
    """Logits over each dimension's own bins, trained on cross-entropy; predicts the mean of the distribution.

    Gato, BeT and the Trajectory Transformer have the same head but take the likeliest bin or sample one. Quantile bins
    are wide where data are rare, so the likeliest bin is often a wide one far from the mode: on Walker2d one adapter
    scored 1 with the likeliest bin, 22 with sampling and 27 with the mean (20 episodes). Unused bins are masked.
    """

    def __init__(self, width: int, action_size: int, per_dimension: bool, bins: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(bins, width).mul_(0.02))
        self.bias = nn.Parameter(torch.zeros(bins))
        self.rows = nn.Parameter(torch.zeros(action_size, bins, width)) if per_dimension else None

    def logits(self, hidden: Tensor, first: int, bins: Bins | None) -> Tensor:
        """(..., n, D) -> (..., n, V)."""
        assert bins is not None  # the action embedding checks that there is a tokenizer
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
        """`weights`, `biases` and `centers` of `transfer.decoding.tables.ActionTables`."""
        assert bins is not None
        weights = self.weight.expand(action_size, -1, -1)
        biases = self.bias.expand(action_size, -1).masked_fill(bins.unused(), float("-inf"))
        return weights if self.rows is None else weights + self.rows, biases, bins.centers

    def loss(self, hidden: Tensor, actions: Tensor, weight: Tensor, bins: Bins | None) -> Loss:
        """Of hidden (B, T, A, D), actions (B, T, A) and weight (B, T, A)."""
        assert bins is not None
        logits = self.logits(hidden, 0, bins).flatten(0, -2)  # (B*T*A, V)
        error = F.cross_entropy(logits, bins(actions).flatten(), reduction="none").view_as(actions)
        error = error.masked_fill(weight == 0, 0)  # infinite where padding falls into an unused bin
        return Loss((error * weight).sum(), (weight > 0).sum())
