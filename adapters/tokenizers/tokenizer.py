"""Action tokenizers: real numbers to a small vocabulary per action dimension, and back.

Letters in shapes: N values in the data, A action dimensions, U distinct values of one dimension.

Every tokenizer ends up as two tables, which is all a checkpoint needs: ascending inner `edges_` and decode values
`centers_`. The id of x is the number of edges <= x, in float32, so `numpy.searchsorted(edges, x, side="right")` and
`torch.searchsorted(edges, x, right=True)` agree, values beyond the data fall into the outermost bins, and the top of
a range cannot produce an id one too high.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt

from transfer import registry
from transfer.adapters.tokenizers.quantile_edges import Float32, Float64, Int64, quantile_edges
from transfer.arrays import own
from transfer.errors import TransferError, check_keys
from transfer.numbers import MOST_BINS, seen, whole

# How far beyond -1 and 1 rounding can take an action; more is no bounded one.
ROUNDING = 1e-5
# Gato's companding constants (arXiv 2205.06175, appendix B): sign(x) log(|x| mu + 1) / log(M mu + 1).
MU, LARGEST = 100.0, 256.0


class Tokenizer(ABC):
    """What the tokenizers share: everything except where the edges lie.

    Args:
        bins: size of the vocabulary of one dimension, at least 2.

    Raises:
        TransferError: `bins` is no such number.

    After `fit`:
        edges_: (A, bins - 1) float32, ascending, unused entries +inf.
        centers_: (A, bins) float32, what an id decodes to; unused ids repeat the last used one.
        n_used_: (A,) int64, ids that `encode` can return; a readout masks the others.
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
            TransferError: no values, another number of axes, what is no array of numbers, NaN or infinite values.
        """
        data = values if isinstance(values, np.ndarray) else own(values, "values to fit")
        if data.ndim != 2 or data.size == 0:
            raise TransferError(f"a tokenizer is fitted on values of shape (N, A) with N, A >= 1, got {data.shape}")
        return self.fit_columns(data.T)

    def fit_columns(self, columns: Iterable[npt.ArrayLike]) -> Self:
        """`fit` from the values (N,) of one dimension after another, of which one is held at a time.

        Raises:
            TransferError: see `fit`.
        """
        self._store([self._fit_dimension(np.sort(_finite(column, "fit", i))) for i, column in enumerate(columns)])
        return self

    def encode(self, values: npt.ArrayLike) -> Int64:
        """Ids (..., A) int64, 0 to bins - 1 in every dimension, of values (..., A); beyond the data clamps.

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
        """The same vocabulary for values (..., A) that are `middle + half * x` where this one's are x; both (A,)."""
        other = type(self)(self.bins)
        other.edges_, other.centers_ = (
            middle[:, None] + half[:, None] * table for table in (self.edges_, self.centers_)
        )
        other.n_used_ = self.n_used_.copy()
        return other

    def report(self, values: npt.ArrayLike) -> dict[str, list[float]]:
        """What the vocabulary costs on values (N, A): one number per dimension for each of mae, max_error, n_used."""
        data = own(values, "values", dtype=np.float64)
        error = np.abs(self.decode(self.encode(data)) - data).reshape(-1, len(self.n_used_))
        return {
            "mae": error.mean(axis=0).tolist(),
            "max_error": error.max(axis=0).tolist(),
            "n_used": self.n_used_.tolist(),
        }

    def to_json(self) -> dict[str, Any]:
        """Plain numbers for `json.dumps`; float32 survives exactly, and the padding is left out (JSON has no inf)."""
        used = self.n_used_.tolist()
        return {
            "kind": self.kind,
            "bins": self.bins,
            "edges": [row[: n - 1].tolist() for row, n in zip(self.edges_, used, strict=True)],
            "centers": [row[:n].tolist() for row, n in zip(self.centers_, used, strict=True)],
        }

    def check(self) -> None:
        """Raise TransferError unless it is fitted, its edges ascend and every id decodes to a value of its own bin."""
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
        """Inner edges (n - 1,) and decode values (n,), n <= bins, from the ascending values (N,) of one dimension."""

    def _store(self, tables: list[tuple[Float32, Float64]]) -> None:
        """Pad the tables of all dimensions to one width."""
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


class QuantileTokenizer(Tokenizer):
    """Bins of equal mass, except that a value holding more than 1/bins of the data (an atom) has a bin of its own.

    Plain quantile bins break on ties: saturated actions fill many quantiles with one value, duplicate edges
    collapse, and +-1 decodes to something else. Here the atoms are taken out first and the remaining bins are the
    quantiles of the rest. An id decodes to the mean of its data, so an atom decodes to itself. Without atoms the edges
    are those of scikit-learn's KBinsDiscretizer (the oracle in the tests).

    An edge beside an atom lies half way to the neighbouring value of the data. Bins that would hold no data are
    left out, so every id below `n_used_` occurs in the data.
    """

    kind = "quantile"

    def _fit_dimension(self, data: Float32) -> tuple[Float32, Float64]:
        edges = quantile_edges(data, self.bins)
        starts = np.concatenate([[0], np.searchsorted(data, edges, side="left")])
        stops = np.append(starts[1:], len(data))
        means = np.array([data[a:b].mean(dtype=np.float64) for a, b in zip(starts, stops, strict=True)])
        return edges, np.clip(means, data[starts], data[stops - 1])  # a sum may round an atom's mean away from it


class UniformTokenizer(Tokenizer):
    """Bins of equal width between the smallest and the largest value of a dimension; ids decode to bin centres."""

    kind = "uniform"

    def _fit_dimension(self, data: Float32) -> tuple[Float32, Float64]:
        return _grid(np.linspace(data[0], data[-1], 2 * self.bins + 1, dtype=np.float64))


class MuLawTokenizer(Tokenizer):
    """Gato's tokens: bins of equal width on [-1, 1], after mu-law companding of values up to +-256.

    As in Gato, a dimension whose data lie in [-1, 1] already (bounded actions, but for rounding) is not companded. The
    bins do not depend on the data otherwise.
    """

    kind = "mu-law"

    def _fit_dimension(self, data: Float32) -> tuple[Float32, Float64]:
        grid = np.linspace(-1.0, 1.0, 2 * self.bins + 1)
        if np.abs(data).max() > 1.0 + ROUNDING:
            grid = np.sign(grid) * np.expm1(np.abs(grid) * np.log1p(LARGEST * MU)) / MU
        return _grid(grid)


def make_tokenizer(kind: str, bins: int = 64) -> Tokenizer:
    """A tokenizer, not fitted yet, by its name in `transfer.registry`.

    Raises:
        TransferError: no tokenizer of that name.
    """
    tokenizer: Tokenizer = registry.resolve("tokenizer", kind)(bins)
    return tokenizer


def tokenizer_from_json(stored: dict[str, Any]) -> Tokenizer:
    """The fitted tokenizer that `to_json` described, equal to the last bit.

    Raises:
        TransferError: missing or additional keys, an unknown kind, tables whose sizes do not fit together, that are no
            ascending numbers, or whose ids decode to values of other ids.
    """
    if not isinstance(stored, dict):
        raise TransferError(f"a stored tokenizer has the keys kind, bins, edges, centers; got {seen(stored)}")
    check_keys("the tokenizer", stored, ("kind", "bins", "edges", "centers"))
    tokenizer = make_tokenizer(stored["kind"], stored["bins"])
    edges, centers = ([_row(row, key) for row in _rows(stored[key], key)] for key in ("edges", "centers"))
    sizes = [(len(row), len(values)) for row, values in zip(edges, centers, strict=False)]
    fits = len(edges) == len(centers) and all(n + 1 == m <= tokenizer.bins for n, m in sizes)
    if not fits:
        raise TransferError(f"a stored tokenizer with bins={tokenizer.bins} has tables of other sizes: {sizes}")
    tokenizer._store([(row, values.astype(np.float64)) for row, values in zip(edges, centers, strict=True)])
    tokenizer.check()
    return tokenizer


def _rows(table: Any, key: str) -> list[Any]:
    if not isinstance(table, list) or not table:
        raise TransferError(f"a stored tokenizer has {key}={seen(table)}; a list with one list per dimension is needed")
    return table


def _row(row: Any, key: str) -> Float32:
    """One dimension's numbers in float32; an empty list holds none."""
    try:
        with np.errstate(over="ignore"):
            numbers = np.asarray(row)
            data: Float32 = numbers.astype(np.float32)
    except (TypeError, ValueError, OverflowError):
        numbers = data = np.array(np.nan, np.float32)
    if numbers.ndim != 1 or numbers.dtype.kind not in "iuf" or not np.isfinite(data).all():
        raise TransferError(f"a stored tokenizer has {key}={seen(row)}; finite numbers are needed")
    return data


def _finite(values: npt.ArrayLike, action: str, *dimension: int) -> Float32:
    """Values, or those of one dimension, as float32; raises on NaN, infinities and what float32 cannot hold."""
    data: Float32 = own(values, f"values to {action}")
    if not np.isfinite(data).all():
        where = tuple(int(i) for i in np.argwhere(~np.isfinite(data))[0])
        raise TransferError(
            f"cannot {action} values that are not finite in float32: {data[where]} at index {(*where, *dimension)}"
        )
    return data


def _grid(points: Float64) -> tuple[Float32, Float64]:
    """Edges and centres from the points edge, centre, edge, ... (2 bins + 1,), without bins too narrow for float32."""
    edges = np.unique(points[2:-1:2].astype(np.float32))
    edges = edges[(edges > points[0]) & (edges <= points[-1])]
    if len(edges) + 1 == len(points) // 2:
        centers = points[1::2]
    else:
        outer = np.concatenate([points[:1], edges, points[-1:]])
        centers = (outer[:-1] + outer[1:]) / 2
    lowest = np.concatenate([[-np.inf], edges])
    highest = np.nextafter(np.append(edges, np.float32(np.inf)), np.float32(-np.inf))
    return edges, np.clip(centers.astype(np.float32), lowest, highest).astype(np.float64)
