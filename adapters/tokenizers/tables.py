"""The tables of a fitted tokenizer and their JSON, which checkpoints store; reading them needs no scikit-learn.

Letters in shapes: A action dimensions, V bins.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from transfer import registry
from transfer.data.arrays import own
from transfer.errors import TransferError, check_keys
from transfer.numbers import MOST_BINS, seen, whole

Float32 = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]
Int64 = npt.NDArray[np.int64]
_KEYS = ("kind", "bins", "edges", "centers")


@dataclass(frozen=True)
class Tables:
    """What a tokenizer has learned.

    Attributes:
        kind: name of the tokenizer in `transfer.registry`.
        edges: (A, V - 1) float32, ascending, unused entries +inf.
        centers: (A, V) float32, the decoded value of each id; unused ids repeat the last used one.
        n_used: (A,) int64, number of ids in use.
    """

    kind: str
    edges: Float32
    centers: Float32
    n_used: Int64

    @classmethod
    def of(cls, kind: str, bins: int, rows: Sequence[tuple[Float32, Float64]]) -> Tables:
        """Tables of inner edges (n - 1,) and decoded values (n,) of each dimension, n <= V, padded to one width."""
        n_used = np.array([len(centers) for _, centers in rows], np.int64)
        edges_of_all = np.full((len(rows), bins - 1), np.inf, np.float32)
        centers_of_all = np.empty((len(rows), bins), np.float32)
        for row, (edges, centers) in enumerate(rows):
            edges_of_all[row, : len(edges)] = edges
            centers_of_all[row] = centers[-1]
            centers_of_all[row, : len(centers)] = centers
        return cls(kind, edges_of_all, centers_of_all, n_used)

    @classmethod
    def from_json(cls, stored: Any) -> Tables:
        """The tables that `to_json` wrote, equal to the bit.

        Raises:
            TransferError: missing or additional keys, an unknown kind, tables whose sizes do not match, edges that do
                not ascend, or ids that decode into another bin.
        """
        if not isinstance(stored, dict):
            raise TransferError(f"a stored tokenizer has the keys {', '.join(_KEYS)}; got {seen(stored)}")
        check_keys("the tokenizer", stored, _KEYS)
        bins = check_kind(stored["kind"], stored["bins"])
        edges, centers = (_stored_rows(stored[key], key) for key in ("edges", "centers"))
        sizes = [(len(row), len(values)) for row, values in zip(edges, centers, strict=False)]
        if len(edges) != len(centers) or any(n + 1 != m or m > bins for n, m in sizes):
            raise TransferError(f"a stored tokenizer with bins={bins} has tables of other sizes: {sizes}")
        rows = [(row, values.astype(np.float64)) for row, values in zip(edges, centers, strict=True)]
        tables = cls.of(stored["kind"], bins, rows)
        tables.check()
        return tables

    def to_json(self) -> dict[str, Any]:
        """Values for `json.dumps`. Float32 is kept exactly; the infinite padding is left out, as JSON has no inf."""
        used = self.n_used.tolist()
        return {
            "kind": self.kind,
            "bins": self.centers.shape[1],
            "edges": [row[: n - 1].tolist() for row, n in zip(self.edges, used, strict=True)],
            "centers": [row[:n].tolist() for row, n in zip(self.centers, used, strict=True)],
        }

    def check(self) -> None:
        """Raise TransferError unless the edges ascend and each id decodes into its own bin."""
        for edges, centers, used in zip(self.edges, self.centers, self.n_used, strict=True):
            inner, values = edges[: used - 1], centers[:used]
            finite = np.isfinite(inner).all() and np.isposinf(edges[used - 1 :]).all() and np.isfinite(values).all()
            inside = np.searchsorted(inner, values, side="right") == np.arange(used)
            if not finite or (np.diff(inner) <= 0).any() or not inside.all():
                raise TransferError(
                    f"a {self.kind} tokenizer whose edges do not ascend or whose centers lie outside their bins: "
                    f"edges {inner}, centers {values}"
                )


def check_kind(kind: object, bins: object) -> int:
    """The number of bins. Raises TransferError for an unknown kind, or a number that is not whole or out of range."""
    registry.check("tokenizer", kind)  # type: ignore[arg-type]  # it may be anything
    return check_bins(bins)


def check_bins(bins: object) -> int:
    """The number of bins of a dimension as a Python int. Raises TransferError unless it is a whole one in range."""
    return whole(bins, "bins", 2, MOST_BINS)


def _stored_rows(table: Any, key: str) -> list[Float32]:
    """The rows of all dimensions in float32. A row may be empty."""
    if not isinstance(table, list) or not table:
        raise TransferError(f"a stored tokenizer has {key}={seen(table)}; a list with one list per dimension is needed")
    rows = [own(row, f"a stored tokenizer: {key}", 1) for row in table]
    for row in rows:
        if not np.isfinite(row).all():
            raise TransferError(f"a stored tokenizer has {key}={seen(row.tolist())}; finite numbers are needed")
    return rows
