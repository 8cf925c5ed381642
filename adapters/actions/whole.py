"""Action embeddings with one token per step: the state token predicts the whole action."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from transfer.adapters.actions.action import RANGES, ActionGroup, bins_of, check_choice, fitted
from transfer.adapters.actions.bin_table import BinTable
from transfer.adapters.readouts.regression import WholeRegression
from transfer.adapters.tokenizers.tables import check_kind
from transfer.data.episodes import Episodes
from transfer.models.steps.group import Loss, Shared
from transfer.models.steps.scales import Scales
from transfer.runtime.layers.linear import small_linear

if TYPE_CHECKING:
    from transfer.adapters.tokenizers.tokenizer import Tokenizer


class _Whole(ActionGroup):
    """One token per step. The hidden vector at the state token predicts the whole action."""

    spread = False
    tokens = 1

    def __init__(self, width: int, action_size: int) -> None:
        super().__init__()
        self.action_size = action_size
        self.readout = WholeRegression(width, action_size)

    def predict(self, hidden: Tensor, shared: Shared, first: int = 0) -> Tensor:
        """Hidden (..., 1, D) at the state token -> actions (..., A)."""
        return self.readout.predict(hidden)

    def loss(self, hidden: Tensor, values: Tensor, weight: Tensor, shared: Shared) -> Loss:
        """Squared error of hidden (B, T, 1, D) and actions (B, T, A)."""
        return self.readout.loss(hidden, values, weight)


class ActionEmbedding(_Whole):
    """One linear map of the whole action: the Decision Transformer baseline."""

    tokenized = False

    def __init__(self, width: int, action_size: int) -> None:
        super().__init__(width, action_size)
        self._options, self.bins = {"width": width, "action_size": action_size}, None
        self.linear = small_linear(action_size, width)

    @classmethod
    def fit(cls, episodes: Episodes, scales: Scales, width: int) -> dict[str, Any]:
        """The sizes of the embedding."""
        return {"width": width, "action_size": episodes.action_size}

    def embed(self, values: Tensor, shared: Shared, first: int = 0) -> Tensor:
        """(B, T, A) -> (B, T, 1, D)."""
        return self.linear(values)[..., None, :]


class ActionTokenizedEmbedding(_Whole):
    """The table rows of all dimensions, summed into one token.

    The index of "shared+index" multiplies the rows here: after a sum, an added index would be the same for all actions.
    """

    tokenized = True

    def __init__(self, width: int, action_size: int, tokenizer: dict[str, Any], ranges: str) -> None:
        super().__init__(width, action_size)
        check_choice("ranges", ranges, RANGES)
        self._options = {"width": width, "action_size": action_size, "tokenizer": None, "ranges": ranges}
        self.bins = bins_of(tokenizer, action_size)
        self.table = BinTable(self.bins.centers.shape[1], action_size, ranges, width)
        self.index = nn.Parameter(torch.randn(action_size, width)) if ranges == "shared+index" else None

    @classmethod
    def check(cls, *, tokenizer: str, bins: int, ranges: str) -> None:
        """Raise TransferError for an unsound value of an option."""
        check_kind(tokenizer, bins)
        check_choice("ranges", ranges, RANGES)

    @classmethod
    def fit(
        cls,
        episodes: Episodes,
        scales: Scales,
        width: int,
        *,
        tokenizer: str | Tokenizer = "quantile",
        bins: int = 64,
        ranges: str = "shared+index",
    ) -> dict[str, Any]:
        """Sizes and tokenizer.

        Args:
            episodes: the training data.
            scales: measured on them.
            width: D.
            tokenizer: "quantile", "uniform" or "mu-law", or a fitted one.
            bins: V, bins per action dimension.
            ranges: "per-dimension" (the paper's eq. 4), "shared" or "shared+index".
        """
        stored = fitted(tokenizer, bins, episodes, scales)
        return {"width": width, "action_size": episodes.action_size, "tokenizer": stored, "ranges": ranges}

    def embed(self, values: Tensor, shared: Shared, first: int = 0) -> Tensor:
        """(B, T, A) -> (B, T, 1, D)."""
        assert self.bins is not None
        rows = self.table(self.bins(values))  # (B, T, A, D)
        return (rows if self.index is None else rows * self.index).sum(-2, keepdim=True)
