"""Dataclasses as schemas: the annotation of a field checks the value that a file holds for it.

Annotations: `str`, `bool`, `int`, `float`, `X | None`, `tuple[X, ...]`, `Mapping[str, X]`, `Any`, another dataclass, or
`Annotated[X, Kind]`. `true` is no number, `"5"` is no number, and 5 may stand for 5.0.
"""

from __future__ import annotations

import dataclasses
import functools
import types
import typing
from collections.abc import Callable, Mapping
from typing import Annotated, Any, NamedTuple, Self

from transfer.errors import TransferError
from transfer.numbers import MOST_SEED, seen

LARGEST = 1e100  # of a number in a file: sums and squares of such numbers are still finite


class Kind(NamedTuple):
    """A kind of value: in words for messages, and its check."""

    words: str
    fits: Callable[[Any], bool]


Kinds = Mapping[Any, Kind]
# type() and not isinstance(): bool is a subclass of int. NaN and infinity are not below 2**1000.
SETTINGS: Kinds = {
    str: Kind("text", lambda value: type(value) is str),
    bool: Kind("true or false", lambda value: type(value) is bool),
    int: Kind("a whole number", lambda value: type(value) is int),
    float: Kind("a number", lambda value: type(value) in (int, float) and abs(value) < 2**1000),
}
"""Settings: any number; the dataclass of a section refuses those out of its own range."""
FILES: Kinds = {
    **SETTINGS,
    int: Kind("a whole number from 0", lambda value: type(value) is int and 0 <= value <= MOST_SEED),
    float: Kind("a finite number", lambda value: type(value) in (int, float) and abs(value) <= LARGEST),
}
"""Results: counts, seeds and finite numbers of a sensible size."""
Share = Annotated[float, Kind("a number from 0 to 1", lambda value: 0 <= value <= 1)]
Amount = Annotated[float, Kind("a number from 0", lambda value: value >= 0)]
Rate = Annotated[float, Kind("a number above 0", lambda value: value > 0)]
Count = Annotated[int, Kind("a whole number from 1", lambda value: value >= 1)]
SINGLE = 3.4028235e38  # the largest number of float32, in which losses are computed
Loss = Annotated[float, Kind("a number that float32 holds", lambda value: abs(value) <= SINGLE)]
"""Of an objective: a method of somebody's own may have a negative one."""
Error = Annotated[float, Kind("a number from 0 that float32 holds", lambda value: 0 <= value <= SINGLE)]
Returns = Annotated[tuple[float, ...], Kind("a list that is not empty", bool)]
Names = Annotated[tuple[str, ...], Kind("a list that is not empty", bool)]


class Schema:
    """A frozen dataclass that is an object of a JSON file, key by key in the order of its fields.

    A field with a default may be missing in the file.
    """

    def to_json(self) -> dict[str, Any]:
        """Plain values, tuples among them, for a JSON file; `from_json` restores an equal object."""
        return dataclasses.asdict(self)  # type: ignore[call-overload]

    @classmethod
    def from_json(cls, values: Any, what: str) -> Self:
        """The inverse of `to_json`.

        Args:
            values: as they were read.
            what: the file, for the message.

        Raises:
            TransferError: a key is missing or not known, or its value does not fit its field.
        """
        wrong: list[str] = []
        try:
            found: Self = read(values, cls, "", wrong)
        except TransferError as error:  # of a dataclass that refuses its values
            raise TransferError(f"{what} was edited: {error}") from error
        refuse(what, wrong)
        return found


def _hints(kind: Any) -> dict[str, Any]:
    """Field -> annotation of a dataclass, in order."""
    known = typing.get_type_hints(kind, include_extras=True)
    return {field.name: known[field.name] for field in dataclasses.fields(kind)}


hints: Callable[[Any], dict[str, Any]] = functools.cache(_hints)


def refuse(what: str, wrong: list[str]) -> None:
    """Raise TransferError that names the first five mistakes in a file, where there are any."""
    if wrong:
        more = f" and {len(wrong) - 5} more" if len(wrong) > 5 else ""
        raise TransferError(f"{what} was edited: {', '.join(wrong[:5])}{more}.")


def read(value: Any, wanted: Any, name: str, wrong: list[str], kinds: Kinds = FILES) -> Any:
    """A parsed value as an annotation says.

    Args:
        value: as JSON or TOML has it.
        wanted: the annotation.
        name: key of the value, for messages.
        wrong: gets a line for each mistake; the value that is returned is of no use then.
        kinds: checks of plain types.
    """
    origin, arguments = typing.get_origin(wanted), typing.get_args(wanted)
    if origin in (typing.Union, types.UnionType):
        return None if value is None else read(value, arguments[0], name, wrong, kinds)
    if dataclasses.is_dataclass(wanted):
        return _read_object(value, wanted, name, wrong, kinds)
    before, fits, found = len(wrong), True, value
    if origin is Annotated:
        found = read(value, arguments[0], name, wrong, kinds)
        fits = len(wrong) > before or arguments[1].fits(found)
    elif origin is tuple:
        fits = isinstance(value, list | tuple)
        items = enumerate(value) if fits else ()
        found = tuple([read(one, arguments[0], f"{name}[{key}]", wrong, kinds) for key, one in items])
    elif origin is Mapping:
        fits = isinstance(value, dict)
        pairs = value.items() if fits else ()
        found = {key: read(one, arguments[1], f"{name}[{key}]", wrong, kinds) for key, one in pairs}
    elif wanted is not Any:
        fits = kinds[wanted].fits(value)
    if not fits:
        wrong.append(_misfit(name, value, wanted, kinds))
    return found


def _read_object(values: Any, kind: Any, name: str, wrong: list[str], kinds: Kinds) -> Any:
    """As `read`, of a dataclass, which is made where nothing is wrong with its values."""
    if not isinstance(values, dict):
        wrong.append(
            f"{name or 'the whole'} is {seen(values)} ({type(values).__name__}); it must be an object with keys"
        )
        return None
    known, before, prefix = hints(kind), len(wrong), f"{name}." if name else ""
    needed = [one.name for one in dataclasses.fields(kind) if one.default is dataclasses.MISSING]
    wrong += [f"no {prefix}{key}" for key in needed if key not in values]
    wrong += [f"unknown key {seen(f'{prefix}{key}')}" for key in values if key not in known]
    found = {
        key: read(values[key], wanted, f"{prefix}{key}", wrong, kinds) for key, wanted in known.items() if key in values
    }
    if len(wrong) > before:
        return None
    return kind(**found) if issubclass(kind, Schema) else kind.from_json(values)


def _misfit(name: str, value: Any, wanted: Any, kinds: Kinds) -> str:
    return f"{name} is {seen(value)} ({type(value).__name__}); it must be {words(wanted, kinds)}"


def words(wanted: Any, kinds: Kinds) -> str:
    """An annotation in words, for messages."""
    origin, arguments = typing.get_origin(wanted), typing.get_args(wanted)
    if origin is Annotated:
        return str(arguments[1].words)
    if origin is tuple:
        return f"a list, each item {words(arguments[0], kinds)}"
    return kinds[wanted].words if wanted in kinds else "an object with keys"
