"""Action embeddings with one token per action dimension. Each dimension is predicted from the ones before it."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from transfer.adapters.actions.bin_table import BinTable
from transfer.adapters.readouts.categorical import SpreadCategorical
from transfer.adapters.readouts.regression import SpreadRegression
from transfer.adapters.small_linear import small_linear
from transfer.adapters.tokenizers.bins import Bins
from transfer.adapters.tokenizers.tokenizer import Tokenizer
from transfer.decoding.tables import ActionTables
from transfer.decoding.untouched import changes, originals
from transfer.errors import TransferError, unknown
from transfer.models.adapter import RANGES, READOUTS


class _Spread(nn.Module, ABC):
    """One token per action dimension: s predicts a^0, and the token of a^{i-1} predicts a^i (eq. 5 and 6)."""

    spread = True

    def __init__(self, width: int, action_size: int, tokenizer: Tokenizer | None, ranges: str, readout: str) -> None:
        super().__init__()
        for name, value, known in (("ranges", ranges, RANGES), ("readout", readout, READOUTS)):
            if value not in known:
                raise unknown(f"adapter.{name}", value, known)
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
        """Values (..., n) of dimensions `first` to `first + n` -> tokens (..., n, D), before the index is added."""

    @abstractmethod
    def _lines(self) -> tuple[Tensor, Tensor, Tensor | None]:
        """`edges`, `rows` and `slope` of `ActionTables` for the tokens of `_values`."""

    def tables(self) -> ActionTables | None:
        """The same tokens and values as tables for the native kernels.

        None where a class, method or hook of these parts was changed, or weights are not float32.
        """
        if any(changes(self, _KNOWN)) or any(x.dtype != torch.float32 for x in self.parameters()):
            return None
        edges, rows, slope = self._lines()
        rows = rows if self.index is None else rows + self.index[:, None]
        return ActionTables(edges, rows, slope, *self.readout.tables(self.action_size, self.bins))

    def encode(self, values: Tensor, first: int = 0) -> Tensor:
        """Values (..., n) of dimensions `first` to `first + n` -> bin ids (..., n)."""
        assert self.bins is not None  # tokenized embeddings are built with a tokenizer
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
        """Hidden (B, T, A, D), actions (B, T, A), mask (B, T) -> (sum, count) without padding."""
        return self.readout.loss(hidden, actions, mask, self.bins)


class ActionSpreadEmbedding(_Spread):
    """One token per dimension: a linear map of its value, the same for all dimensions."""

    tokenized = False

    def __init__(self, width: int, action_size: int, tokenizer: Tokenizer | None, ranges: str, readout: str) -> None:
        super().__init__(width, action_size, tokenizer, ranges, readout)
        self.linear = small_linear(1, width)

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
    ActionSpreadEmbedding, ActionTokenizedSpreadEmbedding, SpreadRegression, SpreadCategorical, Bins, BinTable,
    nn.Embedding, nn.Linear
)  # fmt: skip
