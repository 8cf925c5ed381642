"""The bins of a fitted tokenizer as tensors."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from transfer.adapters.tokenizers.tokenizer import Tokenizer, make_tokenizer


class Bins(nn.Module):
    """The tables of a fitted tokenizer as buffers, on the device of the model. Encodes as the tokenizer does.

    The buffers are saved with the weights and stored nowhere else; `tokenizer` makes a tokenizer from them.
    """

    edges: Tensor
    centers: Tensor

    def __init__(self, tokenizer: Tokenizer) -> None:
        super().__init__()
        self.kind = tokenizer.kind
        self.register_buffer("edges", torch.from_numpy(tokenizer.edges_.copy()))  # (A, V-1), unused ones infinite
        self.register_buffer("centers", torch.from_numpy(tokenizer.centers_.copy()))  # (A, V)

    def forward(self, values: Tensor, first: int = 0) -> Tensor:
        """Values (..., n) of dimensions `first` to `first + n` -> bin ids (..., n), 0 <= id < V."""
        n = values.shape[-1]
        columns = values.reshape(-1, n).T.contiguous()  # (n, N)
        return torch.searchsorted(self.edges[first : first + n], columns, right=True).T.reshape(values.shape)

    def unused(self) -> Tensor:
        """(A, V) whether a dimension does not use an id."""
        return F.pad(self.edges.isinf(), (1, 0))

    def tokenizer(self) -> Tokenizer:
        """Returns a tokenizer with these tables."""
        tokenizer = make_tokenizer(self.kind, self.centers.shape[1])
        tokenizer.edges_, tokenizer.centers_ = (x.detach().cpu().numpy().copy() for x in (self.edges, self.centers))
        tokenizer.n_used_ = (~self.unused()).sum(1).cpu().numpy()
        return tokenizer
