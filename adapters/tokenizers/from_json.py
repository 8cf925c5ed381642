"""Reading a fitted tokenizer from the JSON of a checkpoint."""

from typing import Any

import numpy as np

from transfer.adapters.tokenizers.tokenizer import Float32, Tokenizer, make_tokenizer
from transfer.errors import TransferError, check_keys
from transfer.numbers import seen


def tokenizer_from_json(stored: dict[str, Any]) -> Tokenizer:
    """Returns the fitted tokenizer that `Tokenizer.to_json` wrote, equal to the bit.

    Raises:
        TransferError: missing or additional keys, an unknown kind, tables whose sizes do not match, edges that do not
            ascend, or ids that decode into another bin.
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
    """One dimension's table in float32. It may be empty."""
    try:
        with np.errstate(over="ignore"):
            numbers = np.asarray(row)
            data: Float32 = numbers.astype(np.float32)
    except (TypeError, ValueError, OverflowError):
        numbers = data = np.array(np.nan, np.float32)
    if numbers.ndim != 1 or numbers.dtype.kind not in "iuf" or not np.isfinite(data).all():
        raise TransferError(f"a stored tokenizer has {key}={seen(row)}; finite numbers are needed")
    return data
