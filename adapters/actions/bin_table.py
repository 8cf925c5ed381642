"""The table of embeddings of the bins of an action tokenizer."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from transfer.errors import unknown
from transfer.models.adapter import RANGES


def check_ranges(ranges: str) -> None:
    """Raise TransferError for an unknown way of giving ids to bins."""
    if ranges not in RANGES:
        raise unknown("adapter.ranges", ranges, RANGES)


class BinTable(nn.Module):
    """One learned row per bin.

    "per-dimension" gives each dimension rows of its own: row = id + number of bins of the dimensions before it (the
    paper's eq. 4 with an exclusive sum, so no row is wasted). Otherwise all dimensions share V rows.
    """

    offsets: Tensor

    def __init__(self, bins: int, dims: int, ranges: str, width: int) -> None:
        super().__init__()
        check_ranges(ranges)
        own = ranges == "per-dimension"
        offsets = torch.from_numpy(np.arange(dims, dtype=np.int64) * (bins * own))  # (A,)
        self.register_buffer("offsets", offsets, persistent=False)
        self.rows = nn.Embedding(bins * dims if own else bins, width)
        nn.init.normal_(self.rows.weight, std=0.02)

    def forward(self, ids: Tensor, first: int = 0) -> Tensor:
        """Ids (..., n) of dimensions `first` to `first + n` -> rows (..., n, D)."""
        return self.rows(ids + self.offsets[first : first + ids.shape[-1]])
