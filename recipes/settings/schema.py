"""Dataclasses as the schema of a JSON file: they are written, read and checked by their own fields.

The annotation of a field is its check: `str`, `bool`, `int` (a whole number from 0 on), `float` (a finite number),
`Share`, `X | None`, `tuple[X, ...]`, `Mapping[str, X]`, another dataclass, or `Annotated[X, check]`. A field with a
default may be missing in a file.
"""

from __future__ import annotations

import dataclasses
import functools
import types
import typing
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Self

from transfer.errors import TransferError
from transfer.numbers import MOST_SEED, seen

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


CHECKS: dict[Any, Callable[[Any], bool]] = {str: text, bool: flag, int: whole, float: number}
Share = Annotated[float, share]
Returns = Annotated[tuple[float, ...], bool]
"""At least one number."""
Names = Annotated[tuple[str, ...], bool]
"""At least one text."""


class Schema:
    """A frozen dataclass that is an object of a JSON file, key by key in the order of its fields."""

    def to_json(self) -> dict[str, Any]:
        """Plain values; `from_json` restores an equal object."""
        return {name: plain(getattr(self, name)) for name in hints(type(self))}

    @classmethod
    def from_json(cls, values: Any, what: str) -> Self:
        """The inverse of `to_json`.

        Args:
            values: as they were read.
            what: the file, for the message.

        Raises:
            TransferError: a key is missing or not known, or its value is not what the field says.
        """
        if wrong := misfits(values, cls):
            raise TransferError(f"{what} was edited: {few(wrong)}.")
        try:
            found: Self = built(values, cls)
        except TransferError as error:
            raise TransferError(f"{what} was edited: {error}") from error
        return found


def plain(value: Any) -> Any:
    """A value as JSON has it."""
    if isinstance(value, tuple):
        return [plain(one) for one in value]
    if isinstance(value, Mapping):
        return {key: plain(one) for key, one in value.items()}
    return typing.cast(Any, value).to_json() if dataclasses.is_dataclass(value) else value


def hints(kind: type) -> dict[str, Any]:
    """Field -> annotation of a dataclass, in order."""
    return _hints(typing.cast(Any, kind))


@functools.cache
def _hints(kind: Any) -> dict[str, Any]:
    known = typing.get_type_hints(kind, include_extras=True)
    return {field.name: known[field.name] for field in dataclasses.fields(kind)}


@functools.cache
def needed(kind: type) -> frozenset[str]:
    """The fields of a dataclass that have no default."""
    return frozenset(one.name for one in dataclasses.fields(kind) if one.default is dataclasses.MISSING)


def misfits(values: Any, kind: type, prefix: str = "") -> list[str]:
    """What is missing in an object, or is not what it should be, each with its key and its value; none where it fits.

    Args:
        values: as they were read.
        kind: the dataclass.
        prefix: of the keys, in front of a dot.
    """
    if not isinstance(values, dict):
        return [f"{prefix.rstrip('.') or 'the whole'} is {seen(values)}"]
    known = hints(kind)
    wrong = [f"no {prefix}{name}" for name in known if name in needed(kind) and name not in values]
    wrong += [f"unknown key {seen(f'{prefix}{name}')}" for name in values if name not in known]
    for name, wanted in known.items():
        wrong += problems(values[name], wanted, f"{prefix}{name}") if name in values else []
    return wrong


def problems(value: Any, wanted: Any, name: str) -> list[str]:
    """As `misfits`, of one value by an annotation."""
    origin, arguments = typing.get_origin(wanted), typing.get_args(wanted)
    bad = [f"{name} is {seen(value)}"]
    if origin is Annotated:
        return problems(value, arguments[0], name) or ([] if arguments[1](value) else bad)
    if origin in (typing.Union, types.UnionType):
        return [] if value is None else problems(value, arguments[0], name)
    if origin is tuple:
        items = list(enumerate(value)) if isinstance(value, list) else None
    elif origin is Mapping or wanted is Mapping:
        items = list(value.items()) if isinstance(value, dict) else None
    elif dataclasses.is_dataclass(wanted):
        return misfits(value, typing.cast(type, wanted), f"{name}.")
    else:
        return [] if wanted is Any or CHECKS[wanted](value) else bad
    if items is None:
        return bad
    item = arguments[0 if origin is tuple else 1]
    wrong = [one for key, inner in items for one in problems(inner, item, f"{name}[{key}]")]
    return wrong if dataclasses.is_dataclass(item) else bad if wrong else []


def built(value: Any, wanted: Any) -> Any:
    """A value that `problems` finds nothing wrong with, as the annotation says."""
    origin, arguments = typing.get_origin(wanted), typing.get_args(wanted)
    if value is None or origin in (Annotated, typing.Union, types.UnionType):
        return None if value is None else built(value, arguments[0])
    if origin is tuple:
        return tuple(built(one, arguments[0]) for one in value)
    if origin is Mapping:
        return {key: built(one, arguments[1]) for key, one in value.items()}
    if not dataclasses.is_dataclass(wanted):
        return value
    if not issubclass(typing.cast(type, wanted), Schema):
        return wanted.from_json(value)  # type: ignore[union-attr]
    known = hints(typing.cast(type, wanted))
    return wanted(**{name: built(one, known[name]) for name, one in value.items()})  # type: ignore[operator]


def few(wrong: list[str]) -> str:
    """The first few of a list of mistakes."""
    return ", ".join(wrong[:5]) + (f" and {len(wrong) - 5} more" if len(wrong) > 5 else "")
