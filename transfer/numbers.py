"""Numbers that a caller gives, as plain Python numbers: the one gate for every setting.

NumPy's numbers, and arrays or tensors of no dimension, are taken for what they hold, so that a setting computed with
NumPy is stored, compared and written as if it had been typed. What is no number is refused by the name of the setting.
"""

from __future__ import annotations

import math
import numbers
from typing import Any

import numpy as np

from transfer.errors import TransferError

# Largest sizes that settings may have: far above what is of use, below what never ends or exhausts any memory.
MOST_STEPS = 10**9
MOST_BATCH = 10**6
MOST_CONTEXT = 10**5
MOST_WIDTH = 2**14
MOST_DEPTH = 2**10
MOST_BINS = 2**15
MOST_EPISODES = 10**6
MOST_ENVS = 10**5
MOST_THREADS = 2**12
MOST_SEED = 2**63 - 1


def whole(value: object, name: str, least: int | None = None, most: int | None = None) -> int:
    """A whole number: an integer of Python or NumPy, or a float without a fraction (1e3 is 1000).

    Args:
        value: as the caller gave it.
        name: what the caller called it, for the message.
        least: smallest value allowed.
        most: largest value allowed.

    Raises:
        TransferError: text, a truth value, a fraction, NaN, an infinity, or a number outside the bounds.
    """
    number = _number(value)
    if number is None or not math.isfinite(number) or number != int(number):
        raise TransferError(f"{name}={seen(value)}{_kind(value)}: a whole number is needed{_range(least, most)}.")
    number = int(number)
    _check_range(number, value, name, least, most)
    return number


def real(
    value: object,
    name: str,
    least: float | None = None,
    most: float | None = None,
    above: float | None = None,
    below: float | None = None,
) -> float:
    """A finite number as a Python float.

    Args:
        value: as the caller gave it.
        name: what the caller called it, for the message.
        least: smallest value allowed.
        most: largest value allowed.
        above: the value must be larger than this.
        below: the value must be smaller than this.

    Raises:
        TransferError: text, a truth value, NaN, an infinity, or a number outside the bounds.
    """
    number = _number(value)
    if number is None or not math.isfinite(number):
        wanted = _range(least, most, above, below)
        raise TransferError(f"{name}={seen(value)}{_kind(value)}: a finite number is needed{wanted}.")
    _check_range(number, value, name, least, most, above, below)
    return float(number)


def flag(value: object, name: str) -> bool:
    """A truth value of Python or NumPy. Raises TransferError for anything else, numbers and text too."""
    if isinstance(value, (bool, np.bool_)):
        return bool(value)
    raise TransferError(f"{name}={seen(value)}{_kind(value)}: True or False is needed.")


def seen(value: object, most: int = 60) -> str:
    """A value as a message shows it: its `repr`, cut short; the name of its type where it has none."""
    try:
        text = repr(value.item() if isinstance(value, np.generic) else value)
    except Exception:  # a value of any type gets here, and its repr may do anything
        text = f"a {type(value).__name__}"
    text = " ".join(text.split())
    return text if len(text) <= most else f"{text[: most - 4]} ..."


def duration(seconds: float) -> str:
    """Seconds in words a person reads at a glance: 8 s, 3 min 5 s, 2 h 10 min."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def _number(value: Any) -> Any:
    """The Python number that a value holds; None where it holds none. Infinity stands for what no float reaches."""
    if isinstance(value, (np.ndarray, np.generic)):
        if isinstance(value, np.ma.MaskedArray) or value.dtype.kind not in "iuf" or value.ndim:
            return None
        value = value.item()
    elif not isinstance(value, numbers.Real) and getattr(value, "shape", None) == () and hasattr(value, "item"):
        try:
            value = value.item()  # a tensor of no dimension
        except (RuntimeError, ValueError, TypeError):
            return None
    if isinstance(value, bool) or not isinstance(value, (numbers.Real, np.longdouble)):
        return None
    try:
        as_float = float(value)
    except OverflowError:
        return math.inf
    return value if isinstance(value, int) else as_float


def _kind(value: object) -> str:
    """Says what a value is where its `repr` could be mistaken for a number."""
    return " is text" if isinstance(value, str) else ""


def _check_range(
    number: float,
    value: object,
    name: str,
    least: float | None,
    most: float | None,
    above: float | None = None,
    below: float | None = None,
) -> None:
    low = (least is not None and number < least) or (above is not None and number <= above)
    high = (most is not None and number > most) or (below is not None and number >= below)
    if low or high:
        raise TransferError(
            f"{name}={seen(value)} is too {'small' if low else 'large'}: {_wanted(least, most, above, below)}."
        )


def _wanted(least: float | None, most: float | None, above: float | None, below: float | None) -> str:
    """The bounds in words, as "at least 1, at most 10"."""
    bounds = {"at least": least, "at most": most, "above": above, "below": below}
    return ", ".join(f"{word} {_plain(bound)}" for word, bound in bounds.items() if bound is not None)


def _range(least: float | None, most: float | None, above: float | None = None, below: float | None = None) -> str:
    wanted = _wanted(least, most, above, below)
    return f", {wanted}" if wanted else ""


def _plain(bound: float) -> str:
    return f"{bound:,}" if isinstance(bound, int) else f"{bound:g}"
