"""Axes of a matrix: other keys of settings, each with a list of values."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from transfer.errors import TransferError
from transfer.numbers import seen
from transfer.recipes.settings.layers import AXES, MATRIX, nested
from transfer.recipes.settings.sections import SECTIONS, check_section, known_keys, plain_keys
from transfer.recipes.settings.typed import check_size, convert, fields_of, flatten, unknown_key

INSTEAD = {
    **dict.fromkeys((f"target.{key}" for key in ("data", "fallback", "env", "weights")), "targets"),
    "adapt.modes": "modes",
    "method.kind": "methods",
    "target.episodes": "sizes",
    "run.seeds": "seeds",
}
"""Keys that are no axis -> the key of `[matrix]` that has their values."""
OUTSIDE = ("adapt", "eval", "target")
"""Sections that say nothing about a pretraining."""


def touches_trunk(key: str) -> bool:
    """Whether trunks that differ in a key of settings may differ: those of other values are pretrained apart."""
    return key.partition(".")[0] not in OUTSIDE


def read_axes(table: Mapping[str, Any]) -> dict[str, tuple[Any, ...]]:
    """The values of each axis, as settings have them.

    Args:
        table: `[matrix.axes]`.

    Raises:
        TransferError: a key that is no axis, an empty list, a value twice, or one that its key does not take.
    """
    found = {}
    for key, values in flatten(table).items():
        check_axis(key)
        where = f'{MATRIX}.{AXES}."{key}"'
        found[key] = tuple(_value(key, one) for one in items(where, values))
        check_once(where, found[key])
    return found


def check_axis(key: str) -> None:
    """Raise TransferError for a key that is no axis, with what to use instead or the closest that is one."""
    name, _, rest = key.partition(".")
    instead = "sources" if name == "source" else INSTEAD.get(key)
    if instead:
        raise TransferError(f"{MATRIX}.{AXES}: {key} is no axis. Write its values as {MATRIX}.{instead} = [...]")
    if name == MATRIX:
        raise TransferError(
            f"{MATRIX}.{AXES}: {key} is no axis, for a matrix holds no other. Write {key} = [...] itself"
        )
    if key == "run.imports":
        raise TransferError(f"{MATRIX}.{AXES}: {key} is no axis: modules are imported once for all runs")
    of_part = key.count(".") == {"adapter": 2, "method": 1}.get(name) or key.startswith("target.filter.")
    if not rest or (key not in plain_keys() and not of_part):
        raise TransferError(f"{MATRIX}.{AXES}: {unknown_key(known_keys(), key)}")


def items(where: str, value: object) -> Sequence[Any]:
    """A list that is not empty. Raises TransferError, which names the place, for anything else."""
    if not isinstance(value, list | tuple):
        raise TransferError(f"{where} is {seen(value)}; a list is needed, as [{seen(value)}]")
    if not value:
        raise TransferError(f"{where} is an empty list, which leaves no run. Name a value, or leave the key out")
    check_size(where, value)
    return value


def check_once(where: str, values: Iterable[Any], words: Callable[[Any], str] = seen) -> None:
    """Raise TransferError, which shows it in `words`, for a value that is there twice; true and 1 are two values."""
    before: list[Any] = []
    for value in values:
        if any(value == one and type(value) is type(one) for one in before):
            raise TransferError(f"{where} has {words(value)} twice: its runs would be the same. Take one away")
        before.append(value)


def _value(key: str, value: Any) -> Any:
    """A value as its key has it; lists stay lists. Raises TransferError for one that it does not take."""
    name, _, rest = key.partition(".")
    check_section(name, nested({rest: value}))
    if name in SECTIONS and rest in (fields := fields_of(SECTIONS[name])):
        value = convert(key, value, fields[rest][1])
    return list(value) if isinstance(value, tuple) else value
