"""Sections of settings, which are dataclasses of a dataclass: from tables of TOML, and from `section.key=text`."""

import difflib
import tomllib
import typing
from collections.abc import Iterable, Mapping

from transfer.errors import TransferError
from transfer.numbers import seen
from transfer.recipes.settings.schema import SETTINGS, hints, read

Config = typing.TypeVar("Config")
MOST_ITEMS, LONGEST = 1_000, 4_096  # of a list, of a text


def toml_key(field_name: str) -> str:
    """The TOML key of a field: `from_` is written `from`, a word Python keeps for itself."""
    return field_name.removesuffix("_")


def fields_of(section: type) -> dict[str, tuple[str, typing.Any]]:
    """TOML key -> (field name, annotation) of a dataclass, in order."""
    return {toml_key(name): (name, wanted) for name, wanted in hints(section).items()}


def flatten(table: Mapping[str, object], prefix: str = "") -> dict[str, object]:
    """Nested tables as one level of dotted keys: `a.b = 1`, `"a.b" = 1` and `[a] b = 1` all give `a.b`.

    Raises:
        TransferError: one key is set in two of these ways.
    """
    flat: dict[str, object] = {}
    for key, value in table.items():
        inside = flatten(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {prefix + key: value}
        for name in inside.keys() & flat.keys():
            raise TransferError(f"{name} is set twice, once under a quoted or dotted key")
        flat |= inside
    return flat


def section(name: str, kind: type[Config], values: Mapping[str, object], known: Iterable[str]) -> Config:
    """A section's dataclass from its table.

    Args:
        name: of the section, for messages.
        kind: the dataclass.
        values: by TOML key.
        known: every `section.key`, of which the closest is named.

    Raises:
        TransferError: an unknown key, a wrong type, or a value that the section refuses.
    """
    arguments, fields = {}, fields_of(kind)
    for key, value in values.items():
        if key not in fields:
            raise unknown_key(known, f"{name}.{key}")
        field, wanted = fields[key]
        arguments[field] = convert(f"{name}.{key}", value, wanted)
    try:
        return kind(**arguments)
    except TransferError as error:
        raise error if f"{name}." in str(error) else TransferError(f"[{name}] {error}") from None


def unknown_key(known: Iterable[str], key: str, hint: str = "") -> TransferError:
    """The error for an unknown `section.key`: the closest key, then those of the section that was named, then a hint.

    A key is remembered better than its section, so a closer key of another section comes first.
    """
    keys = list(known)
    section, dot, last = key[:LONGEST].rpartition(".")

    def likeness(name: str) -> float:
        above, _, own = name.rpartition(".")
        return 4 * alike(last, own) + alike(section if dot else above, above)

    best = max(keys, key=likeness)
    guess = f" Did you mean '{best}'?" if alike(last, best.rpartition(".")[2]) > 0.5 else ""
    listed = [name for name in keys if name != best and name.startswith(f"{section}.")]
    shown = ", ".join([best, *listed] if listed else keys)
    return TransferError(f"unknown key {seen(key)}.{guess} Known: {shown}.{hint and f' {hint}'}")


def alike(one: str, other: str) -> float:
    """The likeness of two words, 0 to 1."""
    return difflib.SequenceMatcher(None, one, other).ratio()


def check_size(key: str, value: object) -> None:
    """Raise TransferError for a list of too many items, or a text that is too long."""
    items = value if isinstance(value, list | tuple) else [value]
    if len(items) > MOST_ITEMS:
        raise TransferError(f"{key} has {len(items):,} items; it takes {MOST_ITEMS:,} at most")
    for item in items:
        if isinstance(item, str) and len(item) > LONGEST:
            raise TransferError(f"{key} has {len(item):,} characters; it takes {LONGEST:,} at most")


def convert(key: str, value: object, wanted: object) -> object:
    """A TOML value as the annotation says. Raises TransferError naming key, value and what is wanted."""
    check_size(key, value)
    wrong: list[str] = []
    found = read(value, wanted, key, wrong, SETTINGS)
    if wrong:
        raise TransferError(wrong[0])
    return float(found) if wanted is float else found


def from_text(key: str, text: str, wanted: object) -> object:
    """The value of `--set key=text`, read as the type that the key has: text needs no quotes, lists take commas.

    Raises:
        TransferError: text that does not read as the type.
    """
    if typing.get_origin(wanted) is not tuple or text.startswith("["):
        return convert(key, _toml_value(text, wanted), wanted)
    item = typing.get_args(wanted)[0]
    entries = [entry.strip() for entry in text.split(",") if entry.strip()]
    return convert(key, [_toml_value(entry, item) for entry in entries], wanted)


def _toml_value(text: str, wanted: object) -> object:
    """Text as a TOML value; text that is not TOML, or is wanted as text, stays as it is."""
    if "\n" in text or (wanted is str and not text.startswith(('"', "'"))):
        return text
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except (ValueError, RecursionError):  # ValueError: not TOML, and numbers of thousands of digits
        return text
