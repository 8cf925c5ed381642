"""Strict conversion between TOML values, command-line text and the types of dataclass fields.

Strict means: `true` is not a number, `"5"` is not a number, `5` is a float where a float is wanted, and nothing
else is converted. Errors name the key, the value seen and the type wanted.
"""

import dataclasses
import difflib
import functools
import math
import tomllib
import typing
from collections.abc import Mapping

from transfer.errors import TransferError, unknown
from transfer.numbers import seen

Config = typing.TypeVar("Config")
MOST_ITEMS, LONGEST = 1_000, 4_096  # of a list, of a text
NAMES = {str: "text", int: "a whole number", float: "a number", bool: "true or false"}


def toml_key(field_name: str) -> str:
    """The TOML key of a field: `from_` is written `from`, a word Python keeps for itself."""
    return field_name.removesuffix("_")


def fields_of(section: type) -> dict[str, tuple[str, object]]:
    """TOML key -> (field name, field type) of a dataclass, in order."""
    return _fields_of(section)


@functools.cache
def _fields_of(section: type) -> dict[str, tuple[str, object]]:
    types = typing.get_type_hints(section)
    return {toml_key(field.name): (field.name, types[field.name]) for field in dataclasses.fields(section)}


def flatten(table: Mapping[str, object], prefix: str = "") -> dict[str, object]:
    """Nested tables as one level of dotted keys: `a.b = 1`, `"a.b" = 1` and `[a] b = 1` all give `a.b`.

    Raises:
        TransferError: one key is set in two of these ways.
    """
    flat: dict[str, object] = {}
    for key, value in table.items():
        if isinstance(value, Mapping):
            inside = flatten(value, f"{prefix}{key}.")
        else:
            inside = {prefix + key: value}
        for name in inside.keys() & flat.keys():
            raise TransferError(f"{name} is set twice, once under a quoted or dotted key")
        flat |= inside
    return flat


def build(root: type[Config], table: Mapping[str, object]) -> Config:
    """A dataclass of dataclasses from a table of tables.

    Raises:
        TransferError: an unknown section or key, a wrong type, or a value its section refuses.
    """
    sections = fields_of(root)
    for name, values in table.items():
        if name in dotted_keys(root):
            raise TransferError(
                f"the key {name} is in quotes: write it without, or as a key of [{name.partition('.')[0]}]"
            )
        if name not in sections:
            raise unknown("section", name, sections) if isinstance(values, Mapping) else unknown_key(root, name)
        if not isinstance(values, Mapping):
            raise TransferError(f"'{name}' is a section, not a value: write {name}.KEY; got {seen(values)}")
    built = {}
    for key, (name, kind) in sections.items():
        built[name] = build_section(root, typing.cast(type, kind), key, typing.cast(Mapping, table.get(key, {})))
    return root(**built)


def build_section(root: type, kind: type, section: str, values: Mapping[str, object]) -> object:
    """One section from its table. Raises TransferError as `build`."""
    known = fields_of(kind)
    arguments = {}
    for key, value in values.items():
        if key not in known:
            raise unknown_key(root, f"{section}.{key}")
        name, wanted = known[key]
        arguments[name] = convert(f"{section}.{key}", value, wanted)
    try:
        return kind(**arguments)
    except TransferError as error:
        raise error if f"{section}." in str(error) else TransferError(f"[{section}] {error}") from None


def dotted_keys(root: type) -> dict[str, object]:
    """Every `section.key` of a dataclass of dataclasses with its type."""
    return {
        f"{section}.{key}": wanted
        for section, (_, kind) in fields_of(root).items()
        for key, (_, wanted) in fields_of(typing.cast(type, kind)).items()
    }


def unknown_key(root: type, key: str) -> TransferError:
    """The error for a `section.key` that there is not: the closest first, then those of the section that was named.

    A key is remembered better than its section, so a key of another section comes first where it is the closer one.
    """
    keys = list(dotted_keys(root))
    section, dot, last = key[:LONGEST].rpartition(".")

    def likeness(name: str) -> float:
        above, _, own = name.rpartition(".")
        return 4 * alike(last, own) + alike(section if dot else above, above)

    best = max(keys, key=likeness)
    guess = f" Did you mean '{best}'?" if alike(last, best.rpartition(".")[2]) > 0.5 else ""
    listed = [name for name in keys if name != best and name.startswith(f"{section}.")]
    return TransferError(f"unknown key {seen(key)}.{guess} Known: {', '.join([best, *listed] if listed else keys)}.")


def alike(one: str, other: str) -> float:
    """How alike two words are, 0 to 1."""
    return difflib.SequenceMatcher(None, one, other).ratio()


def item_type(wanted: object) -> type | None:
    """X for tuple[X, ...], None for a plain type."""
    return typing.get_args(wanted)[0] if typing.get_origin(wanted) is tuple else None


def describe(wanted: object) -> str:
    """A type in words, for errors."""
    item = item_type(wanted)
    return f"a list, each item {NAMES[item]}" if item else NAMES[typing.cast(type, wanted)]


def convert(key: str, value: object, wanted: object) -> object:
    """A TOML value as the wanted type. Raises TransferError naming key, value and type."""
    item = item_type(wanted)
    if item is not None:
        if not isinstance(value, list | tuple):
            raise wrong(key, value, wanted)
        if len(value) > MOST_ITEMS:
            raise TransferError(f"{key} has {len(value):,} items; it takes {MOST_ITEMS:,} at most")
        return tuple(convert(f"{key}[{i}]", entry, item) for i, entry in enumerate(value))
    if wanted is float and type(value) is int and abs(value) < 2**1000:  # no float is larger than 2**1024
        value = float(value)
    # type() and not isinstance(): bool is a subclass of int.
    if type(value) is not wanted or (wanted is float and not math.isfinite(typing.cast(float, value))):
        raise wrong(key, value, wanted)
    if isinstance(value, str) and len(value) > LONGEST:
        raise TransferError(f"{key} has {len(value):,} characters; it takes {LONGEST:,} at most")
    return value


def wrong(key: str, value: object, wanted: object) -> TransferError:
    """The error for a value of the wrong type."""
    return TransferError(f"{key} is {seen(value)} ({type(value).__name__}); it must be {describe(wanted)}")


def from_text(root: type, key: str, text: str) -> object:
    """The value of `--set key=text`, read as the type that the key has: text needs no quotes, lists take commas.

    Raises:
        TransferError: unknown key (with the closest) or text that does not read as the type.
    """
    keys = dotted_keys(root)
    if key not in keys:
        raise unknown_key(root, key)
    wanted = keys[key]
    item = item_type(wanted)
    if item is None or text.startswith("["):
        return convert(key, read(text, wanted), wanted)
    entries = [entry.strip() for entry in text.split(",") if entry.strip()]
    return convert(key, [read(entry, item) for entry in entries], wanted)


def read(text: str, wanted: object) -> object:
    """Text as a TOML value; text that is not TOML, or is wanted as text, stays as it is."""
    if "\n" in text or (wanted is str and not text.startswith(('"', "'"))):
        return text
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except (ValueError, RecursionError):  # ValueError: not TOML, and numbers of thousands of digits
        return text
