"""A spread action embedding and its readout as tables for a C kernel."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from transfer.models.steps.group import PredictedGroup, Shared


class ActionTables(NamedTuple):
    """Tokens and values of a spread action embedding of any kind.

        token of x in dimension i    rows[i, number of edges[i] <= x] + x * slope
        value of dimension i from h  y = weights[i] @ h + biases[i], then tanh(y), or softmax(y) @ centers[i]

    All are float32.

    Attributes:
        edges: (A, V - 1), ascending.
        rows: (A, V, D).
        slope: (D); None stands for zeros.
        weights: (A, O, D).
        biases: (A, O).
        centers: (A, O); None stands for tanh, with O = 1.
    """

    edges: Tensor
    rows: Tensor
    slope: Tensor | None
    weights: Tensor
    biases: Tensor
    centers: Tensor | None


@torch.no_grad()
def tables_of(action: PredictedGroup, shared: Shared) -> ActionTables | None:
    """The tables of a spread action embedding on a CPU; None where its `tables` gives none."""
    tables: ActionTables | None = action.tables(shared)
    return tables if tables is not None and tables.rows.device.type == "cpu" else None
