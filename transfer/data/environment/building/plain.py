"""Values as JSON holds them, for what only Python holds: arrays, NumPy's numbers, types of numbers."""

from __future__ import annotations

from typing import Any

import numpy as np

from transfer.errors import TransferError
from transfer.numbers import seen


def plain(value: Any, name: str) -> Any:
    """A value as JSON holds it: arrays as lists, NumPy's numbers as Python's, types of numbers as their names.

    Raises:
        TransferError: it is something else, as a function.
    """
    if value is None or isinstance(value, str | bool | int | float):
        return value
    if isinstance(value, np.ndarray | np.generic) and value.dtype.kind in "biuf":
        return value.tolist()
    if isinstance(value, np.dtype) or (isinstance(value, type) and issubclass(value, np.generic)):
        return np.dtype(value).name
    if isinstance(value, list | tuple):
        return [plain(one, name) for one in value]
    if isinstance(value, dict) and all(isinstance(key, str) for key in value):
        return {key: plain(one, name) for key, one in value.items()}
    raise TransferError(
        f"{name} is {seen(value)}, which no file can hold. Register an id whose entry point builds the environment "
        "with it."
    )


def writable(value: Any) -> bool:
    """Whether JSON can hold a value."""
    try:
        plain(value, "")
    except TransferError:
        return False
    return True


def same(one: Any, two: Any) -> bool:
    """Whether two values are equal; arrays are when all of their numbers are."""
    if isinstance(one, np.ndarray) or isinstance(two, np.ndarray):
        return np.array_equal(one, two)
    try:
        return bool(one == two)
    except (TypeError, ValueError):  # containers of arrays
        return False
