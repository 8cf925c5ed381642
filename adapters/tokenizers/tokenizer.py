"""The base class of action tokenizers, making one by its name, and reading a stored one.

Letters in shapes: N values in the data, A action dimensions.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Any, ClassVar, Self

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


class Tokenizer(ABC):
    """Encodes and decodes by tables. A subclass chooses where the edges lie.

    Args:
        bins: size of the vocabulary of one dimension, at least 2.

    Raises:
        TransferError: `bins` is not such a number.

    After `fit`:
        edges_: (A, bins - 1) float32, ascending, unused entries +inf.
        centers_: (A, bins) float32, the decoded value of each id; unused ids repeat the last used one.
        n_used_: (A,) int64, number of ids that `encode` can return; a readout masks the others.
    """

    kind: ClassVar[str] = ""

    def __init__(self, bins: int = 64) -> None:
        self.bins = whole(bins, "bins", 2, MOST_BINS)
        self.edges_: Float32 = np.empty((0, 0), np.float32)
        self.centers_: Float32 = np.empty((0, 0), np.float32)
        self.n_used_: Int64 = np.empty(0, np.int64)

    def fit(self, values: npt.ArrayLike) -> Self:
        """Learn the edges of every dimension from values (N, A).

        Raises:
            TransferError: no values, not two axes, not an array of numbers, NaN or infinite values.
        """
        data = values if isinstance(values, np.ndarray) else own(values, "values to fit")
        if data.ndim != 2 or data.size == 0:
            raise TransferError(f"a tokenizer is fitted on values of shape (N, A) with N, A >= 1, got {data.shape}")
        return self.fit_columns(data.T)

    def fit_columns(self, columns: Iterable[npt.ArrayLike]) -> Self:
        """Learn from the values (N,) of one dimension at a time, as `fit` does; only one column is in memory."""
        self._store([self._fit_dimension(np.sort(_finite(column, "fit", i))) for i, column in enumerate(columns)])
        return self

    def encode(self, values: npt.ArrayLike) -> Int64:
        """Ids (..., A) int64 in 0 to bins - 1 of values (..., A). Values beyond the data get the outermost bins.

        Raises:
            TransferError: not fitted, another number of dimensions, NaN or infinite values.
        """
        data = _finite(values, "encode")
        self._check_size(data.shape)
        ids = np.empty(data.shape, np.int64)
        for dimension, edges in enumerate(self.edges_):
            ids[..., dimension] = np.searchsorted(edges, data[..., dimension], side="right")
        return ids

    def decode(self, ids: npt.ArrayLike) -> Float32:
        """Values (..., A) float32 of ids (..., A).

        Raises:
            TransferError: not fitted, another number of dimensions, an id outside 0 to bins - 1.
        """
        index = own(ids, "ids", dtype=np.int64)
        self._check_size(index.shape)
        if index.size and (index.min() < 0 or index.max() >= self.bins):
            raise TransferError(f"ids lie in 0..{self.bins - 1}, got {index.min()}..{index.max()}")
        decoded: Float32 = self.centers_[np.arange(len(self.centers_)), index]
        return decoded

    def unscaled(self, middle: Float32, half: Float32) -> Self:
        """The same vocabulary for `middle + half * x` in place of x; `middle` and `half` are (A,)."""
        other = type(self)(self.bins)
        tables = (middle[:, None] + half[:, None] * table for table in (self.edges_, self.centers_))
        other.edges_, other.centers_ = tables
        other.n_used_ = self.n_used_.copy()
        return other

    def report(self, values: npt.ArrayLike) -> dict[str, list[float]]:
        """The reconstruction error on values (N, A): mae, max_error and n_used, a list per dimension each."""
        data = own(values, "values", dtype=np.float64)
        error = np.abs(self.decode(self.encode(data)) - data).reshape(-1, len(self.n_used_))
        mae, largest = error.mean(axis=0).tolist(), error.max(axis=0).tolist()
        return {"mae": mae, "max_error": largest, "n_used": self.n_used_.tolist()}

    def to_json(self) -> dict[str, Any]:
        """Values for `json.dumps`. Float32 is kept exactly; the infinite padding is left out, as JSON has no inf."""
        used = self.n_used_.tolist()
        return {
            "kind": self.kind,
            "bins": self.bins,
            "edges": [row[: n - 1].tolist() for row, n in zip(self.edges_, used, strict=True)],
            "centers": [row[:n].tolist() for row, n in zip(self.centers_, used, strict=True)],
        }

    def check(self) -> None:
        """Raise TransferError unless it is fitted, its edges ascend, and each id decodes into its own bin."""
        self._check_size((len(self.edges_),))
        for edges, centers, used in zip(self.edges_, self.centers_, self.n_used_, strict=True):
            inner, values = edges[: used - 1], centers[:used]
            finite = np.isfinite(inner).all() and np.isposinf(edges[used - 1 :]).all() and np.isfinite(values).all()
            own = np.searchsorted(inner, values, side="right") == np.arange(used)
            if not finite or (np.diff(inner) <= 0).any() or not own.all():
                raise TransferError(
                    f"a {self.kind} tokenizer whose edges do not ascend or whose centers lie outside their bins: "
                    f"edges {inner}, centers {values}"
                )

    @abstractmethod
    def _fit_dimension(self, data: Float32) -> tuple[Float32, Float64]:
        """Inner edges (n - 1,) and decoded values (n,), n <= bins, of the ascending values (N,) of one dimension."""

    def _store(self, tables: list[tuple[Float32, Float64]]) -> None:
        """Store the tables of all dimensions, padded to one width."""
        self.n_used_ = np.array([len(centers) for _, centers in tables], np.int64)  # (A,)
        self.edges_ = np.full((len(tables), self.bins - 1), np.inf, np.float32)  # (A, bins - 1)
        self.centers_ = np.empty((len(tables), self.bins), np.float32)  # (A, bins)
        for row, (edges, centers) in enumerate(tables):
            self.edges_[row, : len(edges)] = edges
            self.centers_[row] = centers[-1]
            self.centers_[row, : len(centers)] = centers

    def _check_size(self, shape: tuple[int, ...]) -> None:
        if len(self.edges_) == 0:
            raise TransferError(f"this {self.kind} tokenizer is not fitted: call fit(values) first")
        if not shape or shape[-1] != len(self.edges_):
            raise TransferError(f"the tokenizer knows {len(self.edges_)} dimensions, got an array of shape {shape}")


def make_tokenizer(kind: str, bins: int = 64) -> Tokenizer:
    """Returns an unfitted tokenizer by its name in `transfer.registry`.

    Raises:
        TransferError: no tokenizer of that name.
    """
    tokenizer: Tokenizer = registry.resolve("tokenizer", kind)(bins)
    return tokenizer


def tokenizer_from_json(stored: dict[str, Any]) -> Tokenizer:
    """Returns the fitted tokenizer that `Tokenizer.to_json` wrote, equal to the bit.

    Raises:
        TransferError: missing or additional keys, an unknown kind, tables whose sizes do not match, edges that do not
            ascend, or ids that decode into another bin.
    """
    if not isinstance(stored, dict):
        raise TransferError(f"a stored tokenizer has the keys {', '.join(_KEYS)}; got {seen(stored)}")
    check_keys("the tokenizer", stored, _KEYS)
    tokenizer = make_tokenizer(stored["kind"], stored["bins"])
    edges, centers = (_stored_table(stored[key], key) for key in ("edges", "centers"))
    sizes = [(len(row), len(values)) for row, values in zip(edges, centers, strict=False)]
    if len(edges) != len(centers) or any(n + 1 != m or m > tokenizer.bins for n, m in sizes):
        raise TransferError(f"a stored tokenizer with bins={tokenizer.bins} has tables of other sizes: {sizes}")
    tokenizer._store([(row, values.astype(np.float64)) for row, values in zip(edges, centers, strict=True)])
    tokenizer.check()
    return tokenizer


def _stored_table(table: Any, key: str) -> list[Float32]:
    """The rows of all dimensions in float32. A row may be empty."""
    if not isinstance(table, list) or not table:
        raise TransferError(f"a stored tokenizer has {key}={seen(table)}; a list with one list per dimension is needed")
    rows = [own(row, f"a stored tokenizer: {key}", 1) for row in table]
    for row in rows:
        if not np.isfinite(row).all():
            raise TransferError(f"a stored tokenizer has {key}={seen(row.tolist())}; finite numbers are needed")
    return rows


def _finite(values: npt.ArrayLike, action: str, *dimension: int) -> Float32:
    """Values (of one dimension) as float32. Raises TransferError for NaN, infinities and float32 overflow."""
    data: Float32 = own(values, f"values to {action}")
    if not np.isfinite(data).all():
        where = tuple(int(i) for i in np.argwhere(~np.isfinite(data))[0])
        raise TransferError(
            f"cannot {action} values that are not finite in float32: {data[where]} at index {(*where, *dimension)}"
        )
    return data
