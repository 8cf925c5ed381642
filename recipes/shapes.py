"""Whether a JSON file holds what it should: shapes of tables, and what does not fit them, key by key."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from transfer.numbers import MOST_SEED, seen

Check = Callable[[Any], bool]
# Key -> what its value must be: a check, a table, or a list of tables. A key that ends in "?" may be missing.
Shape = Mapping[str, "Check | Shape | list[Shape]"]
LARGEST = 1e100  # of a number: sums and squares of such numbers are still finite


def text(value: object) -> bool:
    """Whether it is text."""
    return isinstance(value, str)


def flag(value: object) -> bool:
    """Whether it is true or false."""
    return isinstance(value, bool)


def whole(value: object) -> bool:
    """Whether it is a whole number from 0 on, as a count or a seed."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MOST_SEED


def number(value: object) -> bool:
    """Whether it is a finite number of a sensible size."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= LARGEST


def share(value: object) -> bool:
    """Whether it is a number from 0 to 1."""
    return number(value) and 0 <= value <= 1  # type: ignore[operator]


def optional(check: Check) -> Check:
    """A check that null passes too."""
    return lambda value: value is None or check(value)


def some(check: Check) -> Check:
    """A check for a list with at least one item, each of which passes."""
    return lambda value: isinstance(value, list) and bool(value) and all(map(check, value))


def by_name(check: Check) -> Check:
    """A check for a table of any keys whose values pass."""
    return lambda value: isinstance(value, dict) and all(map(check, value.values()))


def misfits(values: Any, shape: Shape, prefix: str = "") -> list[str]:
    """What is missing in a table, or is not what it should be, each with its key and its value; none where it fits."""
    if not isinstance(values, dict):
        return [f"{prefix.rstrip('.') or 'the whole'} is {seen(values)}"]
    wrong: list[str] = []
    for key, wanted in shape.items():
        name = key.removesuffix("?")
        if name not in values:
            wrong += [] if key.endswith("?") else [f"no {prefix}{name}"]
        elif isinstance(wanted, Mapping):
            wrong += misfits(values[name], wanted, f"{prefix}{name}.")
        elif isinstance(wanted, list):
            wrong += listed(values[name], wanted[0], f"{prefix}{name}")
        elif not wanted(values[name]):
            wrong.append(f"{prefix}{name} is {seen(values[name])}")
    return wrong


def listed(values: Any, shape: Shape, name: str) -> list[str]:
    """As `misfits`, of a list of tables."""
    if not isinstance(values, list):
        return [f"{name} is {seen(values)}"]
    return [wrong for i, one in enumerate(values) for wrong in misfits(one, shape, f"{name}[{i}].")]
