"""Settings that a caller gives, as plain Python values.

Numbers of NumPy, and arrays or tensors of no dimension, become what they hold, so a setting computed with NumPy is
stored, compared and written as if it had been typed. Everything else is refused by the name of the setting.
"""

from __future__ import annotations

import math
import numbers
from collections.abc import Mapping
from typing import Any

import numpy as np

from transfer.errors import TransferError

# Upper bounds of settings: far above useful values, below those that never end or exhaust any memory.
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

    Raises:
        TransferError: text, a truth value, a fraction, NaN, an infinity, or a number outside of `least` to `most`.
    """
    return int(_checked(value, name, "a whole number", {"at least": least, "at most": most}))


def real(
    value: object,
    name: str,
    least: float | None = None,
    most: float | None = None,
    above: float | None = None,
    below: float | None = None,
) -> float:
    """A finite number as a Python float, from `least` to `most`, larger than `above` and smaller than `below`.

    Raises:
        TransferError: text, a truth value, NaN, an infinity, or a number outside of these bounds.
    """
    bounds = {"at least": least, "at most": most, "above": above, "below": below}
    return float(_checked(value, name, "a finite number", bounds))


def flag(value: object, name: str) -> bool:
    """A truth value of Python or NumPy. Raises TransferError for anything else, numbers and text too."""
    if isinstance(value, (bool, np.bool_)):
        return bool(value)
    raise TransferError(f"{_given(name, value)}: True or False is needed.")


def plain(value: object, name: str, like: object = None) -> Any:
    """A value as JSON has it: text, a number, a truth value, None, and lists and tables by text of such.

    Tuples and arrays become lists; what has a `to_json` becomes what that returns. Where `like` is a number or a truth
    value, one is needed.

    Raises:
        TransferError: anything else, and numbers that are not finite.
    """
    for kind, read in ((bool, flag), (int, whole), (float, real)):
        if isinstance(like, kind):
            return read(value, name)
    if value is None or isinstance(value, str):
        return None if value is None else str(value)
    if isinstance(value, (bool, np.bool_)):
        return bool(value)
    if (number := _number(value)) is not None and math.isfinite(number):
        return number
    if callable(told := getattr(value, "to_json", None)) and not isinstance(value, type):
        return plain(told(), name)
    if isinstance(value, (list, tuple)) or (isinstance(value, np.ndarray) and value.ndim):
        return [plain(one, f"{name}[{place}]") for place, one in enumerate(value)]
    if isinstance(value, Mapping) and all(isinstance(key, str) for key in value):
        return {str(key): plain(one, f"{name}.{key}") for key, one in value.items()}
    raise TransferError(
        f"{name}={seen(value)}: text, finite numbers, truth values, and lists or tables of such are needed."
    )


def seen(value: object, most: int = 60) -> str:
    """A value as a message shows it: its `repr` of at most `most` characters, or its type where `repr` fails."""
    try:
        text = repr(value.item() if isinstance(value, np.generic) else value)
    except Exception:  # the repr of a caller's class may raise anything
        text = f"a {type(value).__name__}"
    text = " ".join(text.split())
    return text if len(text) <= most else f"{text[: most - 4]} ..."


def duration(seconds: float) -> str:
    """Seconds in words: 8 s, 3 min 5 s, 2 h 10 min."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def _number(value: Any) -> Any:
    """The Python number that a value holds, or None; infinity for a number beyond every float."""
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


def _given(name: str, value: object) -> str:
    """The setting and its value; says of text that it is text, whose `repr` could be mistaken for a number."""
    return f"{name}={seen(value)}{' is text' if isinstance(value, str) else ''}"


def _checked(value: object, name: str, needed: str, bounds: dict[str, float | None]) -> Any:
    """The number that a value holds. Raises TransferError unless it is as needed and within the bounds."""
    number = _number(value)
    limits = {word: bound for word, bound in bounds.items() if bound is not None}
    sound = number is not None and math.isfinite(number) and (needed != "a whole number" or number == int(number))
    low = sound and (number < limits.get("at least", number) or number <= limits.get("above", -math.inf))
    high = sound and (number > limits.get("at most", number) or number >= limits.get("below", math.inf))
    if sound and not low and not high:
        return number
    wanted = ", ".join(f"{word} {b:,}" if isinstance(b, int) else f"{word} {b:g}" for word, b in limits.items())
    if sound:
        raise TransferError(f"{name}={seen(value)} is too {'small' if low else 'large'}: {wanted}.")
    raise TransferError(f"{_given(name, value)}: {needed} is needed{', ' + wanted if wanted else ''}.")
