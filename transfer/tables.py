"""What choosing an action one dimension after another comes down to: tables, which a C kernel can read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True)
class ActionTables:
    """Tokens and values of a spread action embedding, whatever its kind.

        token of x in dimension i    rows[i, how many of edges[i] are <= x] + x * slope
        value of dimension i from h  y = weights[i] @ h + biases[i], then tanh(y), or softmax(y) @ centers[i]

    Attributes:
        edges: (A, V - 1), ascending.
        rows: (A, V, D).
        slope: (D).
        weights: (A, O, D).
        biases: (A, O).
        centers: (A, O); None stands for tanh, with O = 1.
    """

    edges: Tensor
    rows: Tensor
    slope: Tensor
    weights: Tensor
    biases: Tensor
    centers: Tensor | None

    def tokens(self, values: Tensor) -> Tensor:
        """Values (..., A) -> (..., A, D)."""
        bins = (values[..., None] >= self.edges).sum(-1)  # (..., A)
        return self.rows[torch.arange(len(self.rows), device=values.device), bins] + values[..., None] * self.slope

    def values(self, hidden: Tensor) -> Tensor:
        """Hidden (..., A, D) -> (..., A)."""
        y = torch.einsum("...ad,aod->...ao", hidden, self.weights) + self.biases
        return y.tanh()[..., 0] if self.centers is None else (y.softmax(-1) * self.centers).sum(-1)

    def stand_for(self, action: Any) -> bool:
        """Whether `action` computes the same from a few random numbers: something may be wrapped around its parts."""
        source, (size, _, width) = torch.Generator().manual_seed(0), self.rows.shape
        values = torch.rand(8, size, generator=source) * 2 - 1
        hidden = torch.randn(8, size, width, generator=source)
        pairs = (self.tokens(values), action(values)), (self.values(hidden), action.predict(hidden))
        return all(torch.allclose(ours, theirs, atol=1e-4) for ours, theirs in pairs)


@torch.no_grad()
def tables_of(action: Any) -> ActionTables | None:
    """Of a spread action embedding on a CPU; None for what has no `tables`, or computes something else than they do."""
    if not hasattr(action, "tables"):
        return None
    tables: ActionTables = action.tables()
    return tables if tables.rows.device.type == "cpu" and tables.stand_for(action) else None
