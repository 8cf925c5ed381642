"""The bins of a fitted tokenizer as tensors."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from transfer.adapters.tokenizers.tables import Tables


class Bins(nn.Module):
    """The tables of a fitted tokenizer as buffers, on the device of the model; ids are those of its `transform`.

    The buffers are saved with the weights and stored nowhere else; `tables` reads them.
    """

    edges: Tensor
    centers: Tensor

    def __init__(self, tables: Tables) -> None:
        super().__init__()
        self.kind = tables.kind
        self.register_buffer("edges", torch.from_numpy(tables.edges.copy()))  # (A, V-1), unused ones infinite
        self.register_buffer("centers", torch.from_numpy(tables.centers.copy()))  # (A, V)

    def forward(self, values: Tensor, first: int = 0) -> Tensor:
        """Values (..., n) of dimensions `first` to `first + n` -> bin ids (..., n), 0 <= id < V."""
        n = values.shape[-1]
        columns = values.reshape(-1, n).T.contiguous()  # (n, N)
        return torch.searchsorted(self.edges[first : first + n], columns, right=True).T.reshape(values.shape)

    def unused(self) -> Tensor:
        """(A, V) whether a dimension does not use an id."""
        return F.pad(self.edges.isinf(), (1, 0))

    def tables(self) -> Tables:
        """The tables that the buffers hold now."""
        edges, centers = (x.detach().cpu().numpy().copy() for x in (self.edges, self.centers))
        return Tables(self.kind, edges, centers, (~self.unused()).sum(1).cpu().numpy())
