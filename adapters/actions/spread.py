"""Action embeddings with one token per action dimension. Each dimension is predicted from the ones before it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from transfer.adapters.actions.action import RANGES, READOUTS, ActionGroup, bins_of, check_choice, fitted
from transfer.adapters.actions.bin_table import BinTable
from transfer.adapters.readouts.categorical import SpreadCategorical
from transfer.adapters.readouts.regression import SpreadRegression
from transfer.adapters.tokenizers.bins import Bins
from transfer.adapters.tokenizers.tables import check_kind
from transfer.data.episodes import Episodes
from transfer.decoding.tables import ActionTables
from transfer.decoding.untouched import changes, originals
from transfer.errors import TransferError
from transfer.models.steps.group import Loss, Shared
from transfer.models.steps.scales import Scales
from transfer.runtime.layers.linear import small_linear

if TYPE_CHECKING:
    from transfer.adapters.tokenizers.tokenizer import Tokenizer


class _Spread(ActionGroup, ABC):
    """One token per action dimension: s predicts a^0, and the token of a^{i-1} predicts a^i (eq. 5 and 6)."""

    spread = True

    def __init__(
        self, width: int, action_size: int, tokenizer: dict[str, Any] | None, ranges: str, readout: str
    ) -> None:
        super().__init__()
        check_choice("ranges", ranges, RANGES)
        check_choice("readout", readout, READOUTS)
        sizes = {"width": width, "action_size": action_size}
        self._options = {**sizes, "tokenizer": None, "ranges": ranges, "readout": readout}
        self.tokens = self.action_size = action_size
        self.bins = None if tokenizer is None else bins_of(tokenizer, action_size)
        self.index = nn.Parameter(torch.randn(action_size, width).mul_(0.02)) if ranges == "shared+index" else None
        knows = ranges != "shared"
        if self.bins is None and (self.tokenized or readout == "categorical"):
            raise TransferError(f"{type(self).__name__} with the readout '{readout}' needs a fitted tokenizer.")
        if readout == "categorical":
            assert self.bins is not None
            self.readout: SpreadCategorical | SpreadRegression = SpreadCategorical(
                width, action_size, knows, self.bins.centers.shape[1]
            )
        else:
            self.readout = SpreadRegression(width, action_size, knows)

    @classmethod
    def check(cls, *, tokenizer: str, bins: int, ranges: str, readout: str) -> None:
        """Raise TransferError for an unsound value of an option."""
        check_kind(tokenizer, bins)
        check_choice("ranges", ranges, RANGES)
        check_choice("readout", readout, READOUTS)

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
        readout: str = "regression",
    ) -> dict[str, Any]:
        """Sizes and, where bins are needed, the tokenizer.

        Args:
            episodes: the training data.
            scales: measured on them.
            width: D.
            tokenizer: "quantile", "uniform" or "mu-law", or a fitted one.
            bins: V, bins per action dimension.
            ranges: "per-dimension" (the paper's eq. 4), "shared" or "shared+index".
            readout: "regression" or "categorical".
        """
        needed = cls.tokenized or readout == "categorical"
        return {
            "width": width,
            "action_size": episodes.action_size,
            "tokenizer": fitted(tokenizer, bins, episodes, scales) if needed else None,
            "ranges": ranges,
            "readout": readout,
        }

    @abstractmethod
    def _values(self, values: Tensor, first: int) -> Tensor:
        """Values (..., n) of dimensions `first` to `first + n` -> tokens (..., n, D), before the index is added."""

    @abstractmethod
    def _lines(self) -> tuple[Tensor, Tensor, Tensor | None]:
        """`edges`, `rows` and `slope` of `ActionTables` for the tokens of `_values`."""

    def tables(self, shared: Shared) -> ActionTables | None:
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

    def embed(self, values: Tensor, shared: Shared, first: int = 0) -> Tensor:
        """Values (..., n) of dimensions `first` to `first + n` -> tokens (..., n, D)."""
        tokens = self._values(values, first)
        return tokens if self.index is None else tokens + self.index[first : first + values.shape[-1]]

    def predict(self, hidden: Tensor, shared: Shared, first: int = 0) -> Tensor:
        """Hidden (..., n, D) at the positions that predict dimensions `first` to `first + n` -> values (..., n)."""
        return self.readout.predict(hidden, first, self.bins)

    def loss(self, hidden: Tensor, values: Tensor, weight: Tensor, shared: Shared) -> Loss:
        """The readout's loss of hidden (B, T, A, D), actions (B, T, A) and weight (B, T, A)."""
        return self.readout.loss(hidden, values, weight, self.bins)


class ActionSpreadEmbedding(_Spread):
    """One token per dimension: a linear map of its value, the same for all dimensions."""

    tokenized = False

    def __init__(
        self, width: int, action_size: int, tokenizer: dict[str, Any] | None, ranges: str, readout: str
    ) -> None:
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

    def __init__(self, width: int, action_size: int, tokenizer: dict[str, Any], ranges: str, readout: str) -> None:
        super().__init__(width, action_size, tokenizer, ranges, readout)
        assert self.bins is not None
        self.table = BinTable(self.bins.centers.shape[1], action_size, ranges, width)

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
