"""The four action embeddings of "Decision Transformer With Tokenized Action Space" (Annett & Andersen), with readouts.

Actions are scaled here, -1 to 1 between the environment's bounds (see `transfer.scales`).

| class | tokens per step | a token stands for |
|---|---|---|
| `ActionEmbedding` | 1 | the whole action, by one linear map (the Decision Transformer) |
| `ActionTokenizedEmbedding` | 1 | the whole action, as a sum of one table row per dimension |
| `ActionSpreadEmbedding` | A | one action dimension, by a linear map of its value |
| `ActionTokenizedSpreadEmbedding` | A | one action dimension, by the table row of its bin |

`ranges` says how a token knows its dimension: "per-dimension" table rows (eq. 4), "shared+index" rows with a learned
vector per dimension, or not at all ("shared"). Where tokens know it, the readout of spread embeddings does too.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from transfer.adapter import READOUTS
from transfer.adapters.readouts.regression import SpreadCategorical, SpreadRegression, WholeRegression
from transfer.adapters.tokenizers.bins import Bins, BinTable, check_ranges
from transfer.adapters.tokenizers.tokenizer import Tokenizer
from transfer.errors import TransferError, unknown
from transfer.tables import ActionTables
from transfer.untouched import changes, originals


def _linear(inputs: int, width: int) -> nn.Linear:
    layer = nn.Linear(inputs, width)
    nn.init.normal_(layer.weight, std=0.02)
    nn.init.zeros_(layer.bias)
    return layer


class _Whole(nn.Module):
    """One token per step; the state token predicts the whole action."""

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
        """Hidden (B, T, 1, D), actions (B, T, A), mask (B, T) -> (sum, count) over real numbers."""
        return self.readout.loss(hidden, actions, mask)


class ActionEmbedding(_Whole):
    """One linear map of the whole action: the Decision Transformer baseline."""

    tokenized = False

    def __init__(self, width: int, action_size: int, tokenizer: Tokenizer | None, ranges: str, readout: str) -> None:
        super().__init__(width, action_size, readout)
        self.linear = _linear(action_size, width)

    def forward(self, actions: Tensor) -> Tensor:
        """(B, T, A) -> (B, T, 1, D)."""
        return self.linear(actions)[..., None, :]


class ActionTokenizedEmbedding(_Whole):
    """Table rows of all dimensions, summed into one token.

    A sum forgets which dimension a shared row came from, so the index of "shared+index" is a factor here.
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


class _Spread(nn.Module, ABC):
    """One token per action dimension; s predicts a^0 and the token of a^{i-1} predicts a^i (eq. 5 and 6)."""

    spread = True

    def __init__(self, width: int, action_size: int, tokenizer: Tokenizer | None, ranges: str, readout: str) -> None:
        super().__init__()
        check_ranges(ranges)
        if readout not in READOUTS:
            raise unknown("adapter.readout", readout, READOUTS)
        self.tokens = self.action_size = action_size
        self.bins = Bins(tokenizer) if tokenizer is not None else None
        self.index = nn.Parameter(torch.randn(action_size, width).mul_(0.02)) if ranges == "shared+index" else None
        knows = ranges != "shared"
        if readout == "categorical":
            if tokenizer is None:
                raise TransferError("adapter.readout 'categorical' needs a fitted tokenizer.")
            self.readout: SpreadCategorical | SpreadRegression = SpreadCategorical(
                width, action_size, knows, tokenizer.bins
            )
        else:
            self.readout = SpreadRegression(width, action_size, knows)

    @abstractmethod
    def _values(self, values: Tensor, first: int) -> Tensor:
        """Values (..., n) of dimensions `first` on -> tokens (..., n, D) that do not know their dimension yet."""

    @abstractmethod
    def _lines(self) -> tuple[Tensor, Tensor, Tensor | None]:
        """`edges`, `rows` and `slope` of `ActionTables` for the tokens of `_values`."""

    def tables(self) -> ActionTables | None:
        """The same tokens and values as tables, for kernels; None where anything is added to the parts of this file."""
        if any(changes(self, _KNOWN)) or any(x.dtype != torch.float32 for x in self.parameters()):
            return None
        edges, rows, slope = self._lines()
        rows = rows if self.index is None else rows + self.index[:, None]
        return ActionTables(edges, rows, slope, *self.readout.tables(self.action_size, self.bins))

    def encode(self, values: Tensor, first: int = 0) -> Tensor:
        """Values (..., n) of dimensions `first` to `first + n` -> bin ids (..., n)."""
        assert self.bins is not None  # whoever needs ids was built with a tokenizer
        ids: Tensor = self.bins(values, first)
        return ids

    def forward(self, values: Tensor, first: int = 0) -> Tensor:
        """Values (..., n) of dimensions `first` to `first + n` -> tokens (..., n, D)."""
        tokens = self._values(values, first)
        return tokens if self.index is None else tokens + self.index[first : first + values.shape[-1]]

    def predict(self, hidden: Tensor, first: int = 0) -> Tensor:
        """Hidden (..., n, D) at the positions that predict dimensions `first` to `first + n` -> values (..., n)."""
        return self.readout.predict(hidden, first, self.bins)

    def loss(self, hidden: Tensor, actions: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Hidden (B, T, A, D), actions (B, T, A), mask (B, T) -> (sum, count) over real numbers."""
        return self.readout.loss(hidden, actions, mask, self.bins)


class ActionSpreadEmbedding(_Spread):
    """One token per dimension: a linear map of its value, the same for all dimensions."""

    tokenized = False

    def __init__(self, width: int, action_size: int, tokenizer: Tokenizer | None, ranges: str, readout: str) -> None:
        super().__init__(width, action_size, tokenizer, ranges, readout)
        self.linear = _linear(1, width)

    def _values(self, values: Tensor, first: int) -> Tensor:
        return self.linear(values[..., None])

    def _lines(self) -> tuple[Tensor, Tensor, Tensor | None]:
        slope, bias = self.linear.weight[:, 0], self.linear.bias
        constant = (slope * 0 if bias is None else bias).expand(self.action_size, 1, -1)
        return constant.new_zeros(self.action_size, 0), constant, slope


class ActionTokenizedSpreadEmbedding(_Spread):
    """One token per dimension: the table row of its bin."""

    tokenized = True

    def __init__(self, width: int, action_size: int, tokenizer: Tokenizer, ranges: str, readout: str) -> None:
        super().__init__(width, action_size, tokenizer, ranges, readout)
        self.table = BinTable(tokenizer.bins, action_size, ranges, width)

    def _values(self, values: Tensor, first: int) -> Tensor:
        return self.table(self.encode(values, first), first)

    def _lines(self) -> tuple[Tensor, Tensor, Tensor | None]:
        assert self.bins is not None
        edges = self.bins.edges
        ids = torch.arange(edges.shape[1] + 1, device=edges.device)[:, None].expand(-1, self.action_size)  # (V, A)
        rows = self.table(ids)
        return edges, rows.transpose(0, 1), None


_KNOWN = originals(
    ActionSpreadEmbedding,
    ActionTokenizedSpreadEmbedding,
    SpreadRegression,
    SpreadCategorical,
    Bins,
    BinTable,
    nn.Embedding,
    nn.Linear,
)
