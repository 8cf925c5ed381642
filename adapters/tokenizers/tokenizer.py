"""The base class of action tokenizers: scikit-learn transformers. Making one by its name, and from stored tables.

Letters in shapes: N values in the data, A action dimensions, V bins.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
from scipy.sparse import issparse
from sklearn.base import BaseEstimator, OneToOneFeatureMixin, TransformerMixin
from sklearn.utils import Tags
from sklearn.utils.validation import validate_data

from transfer import registry
from transfer.adapters.tokenizers.tables import Float32, Float64, Int64, Tables, check_bins
from transfer.data.arrays import own
from transfer.errors import TransferError


class Tokenizer(OneToOneFeatureMixin, TransformerMixin, BaseEstimator, ABC):
    """Values -> ids by tables, and back. A subclass chooses where the edges lie.

    It is a scikit-learn transformer: the constructor stores what it gets, `fit` checks it.

    Args:
        bins: V, size of the vocabulary of one dimension, at least 2.

    Attributes after `fit`:
        edges_: (A, V - 1) float32, ascending, unused entries +inf.
        centers_: (A, V) float32, the decoded value of each id; unused ids repeat the last used one.
        n_used_: (A,) int64, number of ids that `transform` can return; a readout masks the others.
        n_features_in_: A.
    """

    kind: ClassVar[str] = ""
    edges_: Float32
    centers_: Float32
    n_used_: Int64
    n_features_in_: int

    def __init__(self, bins: int = 64) -> None:
        self.bins = bins

    def fit(self, X: npt.ArrayLike, y: None = None) -> Self:
        """Learn the edges of every dimension from values (N, A); `y` is ignored.

        Raises:
            TransferError: `bins` is no whole number of at least 2; no values, not two axes, not an array of numbers,
                NaN or infinite values.
        """
        data = X if isinstance(X, np.ndarray) else _array(X, "fit")  # an array is copied by columns
        _check_matrix(data.shape, "fit")
        if not len(data):
            raise TransferError(f"cannot fit values of shape {data.shape}: at least one action is needed")
        self.fit_columns(data.T)
        self._compare(X, reset=True)
        return self

    def fit_columns(self, columns: Iterable[npt.ArrayLike]) -> Self:
        """Learn from the values (N,) of one dimension at a time, as `fit` does; only one column is in memory.

        Raises:
            TransferError: as `fit`; edges that do not ascend, or ids that decode into another bin.
        """
        bins = check_bins(self.bins)
        rows = [self._fit_dimension(np.sort(_finite(column, "fit", i)), bins) for i, column in enumerate(columns)]
        tables = Tables.of(self.kind, bins, rows)
        tables.check()
        return self._learned(tables)

    def transform(self, X: npt.ArrayLike) -> Int64:
        """Ids (N, A) int64 in 0 to V - 1 of values (N, A). Values beyond the data get the outermost bins.

        Raises:
            TransferError: not fitted, not two axes, another number of dimensions, NaN or infinite values.
        """
        self._check_fitted()
        data = _finite(X, "transform")
        _check_matrix(data.shape, "transform")
        self._compare(X, reset=False)
        ids = np.empty(data.shape, np.int64)
        for dimension, edges in enumerate(self.edges_):
            ids[:, dimension] = np.searchsorted(edges, data[:, dimension], side="right")
        return ids

    def inverse_transform(self, X: npt.ArrayLike) -> Float32:
        """Values (N, A) float32 of ids (N, A).

        Raises:
            TransferError: not fitted, not two axes, another number of dimensions, an id outside 0 to V - 1.
        """
        self._check_fitted()
        ids = own(X, "ids", dtype=np.int64)
        _check_matrix(ids.shape, "decode")
        if ids.shape[1] != self.n_features_in_:
            raise TransferError(f"ids of {ids.shape[1]} dimensions; this tokenizer knows {self.n_features_in_}")
        bins = self.centers_.shape[1]
        if ids.size and (ids.min() < 0 or ids.max() >= bins):
            raise TransferError(f"ids lie in 0..{bins - 1}, got {ids.min()}..{ids.max()}")
        decoded: Float32 = self.centers_[np.arange(len(self.centers_)), ids]
        return decoded

    def report(self, X: npt.ArrayLike) -> dict[str, list[float]]:
        """The reconstruction error on values (N, A): mae, max_error and n_used, a list per dimension each."""
        data = own(X, "values", dtype=np.float64)
        error = np.abs(self.inverse_transform(self.transform(data)) - data)
        mae, largest = error.mean(axis=0).tolist(), error.max(axis=0).tolist()
        return {"mae": mae, "max_error": largest, "n_used": self.n_used_.tolist()}

    def tables(self) -> Tables:
        """What was learned. Raises TransferError before `fit`."""
        self._check_fitted()
        return Tables(self.kind, self.edges_, self.centers_, self.n_used_)

    def to_json(self) -> dict[str, Any]:
        """The tables as values for `json.dumps`, which `tokenizer_from_json` reads. Raises as `tables`."""
        return self.tables().to_json()

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = []  # ids are int64, whatever the values are
        return tags

    @abstractmethod
    def _fit_dimension(self, data: Float32, bins: int) -> tuple[Float32, Float64]:
        """Inner edges (n - 1,) and decoded values (n,), n <= bins, of the ascending values (N,) of one dimension."""

    def _learned(self, tables: Tables) -> Self:
        self.edges_, self.centers_, self.n_used_ = tables.edges, tables.centers, tables.n_used
        self.n_features_in_ = len(tables.edges)
        return self

    def _check_fitted(self) -> None:
        if not hasattr(self, "edges_"):
            raise TransferError(f"this {self.kind} tokenizer is not fitted: call fit(values) first")

    def _compare(self, values: npt.ArrayLike, reset: bool) -> None:
        """Keep (`reset`) or compare the number of dimensions and the names of the columns of a table."""
        try:
            validate_data(self, values, reset=reset, skip_check_array=True)
        except (TypeError, ValueError) as error:
            raise TransferError(str(error)) from error


def make_tokenizer(kind: str, bins: int = 64) -> Tokenizer:
    """Returns an unfitted tokenizer by its name in `transfer.registry`.

    Raises:
        TransferError: no tokenizer of that name.
    """
    tokenizer: Tokenizer = registry.resolve("tokenizer", kind)(bins)
    return tokenizer


def tokenizer_of(tables: Tables) -> Tokenizer:
    """Returns the fitted tokenizer that has these tables."""
    return make_tokenizer(tables.kind, tables.centers.shape[1])._learned(tables)


def tokenizer_from_json(stored: dict[str, Any]) -> Tokenizer:
    """Returns the fitted tokenizer that `Tokenizer.to_json` wrote, equal to the bit. Errors as `Tables.from_json`."""
    return tokenizer_of(Tables.from_json(stored))


def _array(values: npt.ArrayLike, action: str) -> Float32:
    """A copy of values in float32. Raises TransferError for what is no array of real numbers."""
    if issparse(values):
        raise TransferError(f"cannot {action} a sparse matrix: give values.toarray()")
    data: Float32 = own(values, f"values to {action}")
    return data


def _check_matrix(shape: tuple[int, ...], action: str) -> None:
    """Raise TransferError unless a shape is (N, A) with A >= 1."""
    if len(shape) != 2:
        raise TransferError(
            f"cannot {action} an array of shape {shape}: (N, A) is needed, a row for each action. Reshape your data: "
            "values.reshape(-1, A), or values.reshape(-1, 1) for one dimension."
        )
    if not shape[1]:
        raise TransferError(f"cannot {action} 0 feature(s) (shape={shape}) while a minimum of 1 is required.")


def _finite(values: npt.ArrayLike, action: str, *dimension: int) -> Float32:
    """Values (of one dimension) as float32. Raises TransferError for NaN, infinities and float32 overflow."""
    data = _array(values, action)
    if not np.isfinite(data).all():
        where = tuple(int(i) for i in np.argwhere(~np.isfinite(data))[0])
        raise TransferError(
            f"cannot {action} values that are NaN or infinite in float32: {data[where]} at index {(*where, *dimension)}"
        )
    return data
