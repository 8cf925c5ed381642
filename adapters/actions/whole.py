"""Action embeddings with one token per step: the state token predicts the whole action."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from transfer.adapters.actions.bin_table import BinTable
from transfer.adapters.readouts.regression import WholeRegression
from transfer.adapters.small_linear import small_linear
from transfer.adapters.tokenizers.bins import Bins
from transfer.adapters.tokenizers.tokenizer import Tokenizer
from transfer.errors import TransferError


class _Whole(nn.Module):
    """One token per step. The hidden vector at the state token predicts the whole action."""

    spread = False

    def __init__(self, width: int, action_size: int, readout: str) -> None:
        super().__init__()
        if readout != "regression":
            raise TransferError(
                f"adapter.readout '{readout}' needs one token per action dimension, {type(self).__name__} has one per "
                "action. Choose readout 'regression' or a spread embedding."
            )
        self.tokens, self.action_size = 1, action_size
        self.readout = WholeRegression(width, action_size)

    def predict(self, hidden: Tensor) -> Tensor:
        """Hidden (..., 1, D) at the state token -> actions (..., A)."""
        return self.readout.predict(hidden)

    def loss(self, hidden: Tensor, actions: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Hidden (B, T, 1, D), actions (B, T, A), mask (B, T) -> (sum, count) without padding."""
        return self.readout.loss(hidden, actions, mask)


class ActionEmbedding(_Whole):
    """One linear map of the whole action: the Decision Transformer baseline."""

    tokenized = False

    def __init__(self, width: int, action_size: int, tokenizer: Tokenizer | None, ranges: str, readout: str) -> None:
        super().__init__(width, action_size, readout)
        self.linear = small_linear(action_size, width)

    def forward(self, actions: Tensor) -> Tensor:
        """(B, T, A) -> (B, T, 1, D)."""
        return self.linear(actions)[..., None, :]


class ActionTokenizedEmbedding(_Whole):
    """The table rows of all dimensions, summed into one token.

    The index of "shared+index" multiplies the rows here: after a sum, an added index would be the same for all actions.
    """

    tokenized = True

    def __init__(self, width: int, action_size: int, tokenizer: Tokenizer, ranges: str, readout: str) -> None:
        super().__init__(width, action_size, readout)
        self.bins = Bins(tokenizer)
        self.table = BinTable(tokenizer.bins, action_size, ranges, width)
        self.index = nn.Parameter(torch.randn(action_size, width)) if ranges == "shared+index" else None

    def forward(self, actions: Tensor) -> Tensor:
        """(B, T, A) -> (B, T, 1, D)."""
        rows = self.table(self.bins(actions))  # (B, T, A, D)
        return (rows if self.index is None else rows * self.index).sum(-2, keepdim=True)
