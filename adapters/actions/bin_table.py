"""The embedding table of a tokenizer's bins."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn


class BinTable(nn.Module):
    """One learned row per bin.

    With "per-dimension" each dimension has its own V rows: row = id + V * number of dimensions before it. This is the
    paper's eq. 4 with an exclusive sum, so that every row is used. Otherwise all dimensions share V rows.
    """

    offsets: Tensor

    def __init__(self, bins: int, dims: int, ranges: str, width: int) -> None:
        super().__init__()
        own = ranges == "per-dimension"
        offsets = torch.from_numpy(np.arange(dims, dtype=np.int64) * (bins * own))  # (A,)
        self.register_buffer("offsets", offsets, persistent=False)
        self.rows = nn.Embedding(bins * dims if own else bins, width)
        nn.init.normal_(self.rows.weight, std=0.02)

    def forward(self, ids: Tensor, first: int = 0) -> Tensor:
        """Ids (..., n) of dimensions `first` to `first + n` -> rows (..., n, D)."""
        return self.rows(ids + self.offsets[first : first + ids.shape[-1]])
