"""Sections of settings, which are dataclasses of a dataclass: from tables of TOML, and from `section.key=text`."""

import difflib
import tomllib
import typing
from collections.abc import Mapping

from transfer.errors import TransferError, unknown
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


def build(root: type[Config], table: Mapping[str, object]) -> Config:
    """A dataclass of dataclasses from a table of tables.

    Raises:
        TransferError: an unknown section or key, a wrong type, or a value its section refuses.
    """
    sections = fields_of(root)
    for name, values in table.items():
        if name in dotted_keys(root):
            section = name.partition(".")[0]
            raise TransferError(f"the key {name} is in quotes: write it without, or as a key of [{section}]")
        if name not in sections:
            raise unknown("section", name, sections) if isinstance(values, Mapping) else unknown_key(root, name)
        if not isinstance(values, Mapping):
            raise TransferError(f"'{name}' is a section, not a value: write {name}.KEY; got {seen(values)}")
    built = {}
    for section, (name, kind) in sections.items():
        arguments = {}
        for key, value in typing.cast(Mapping[str, object], table.get(section, {})).items():
            if key not in fields_of(kind):
                raise unknown_key(root, f"{section}.{key}")
            field, wanted = fields_of(kind)[key]
            arguments[field] = convert(f"{section}.{key}", value, wanted)
        try:
            built[name] = kind(**arguments)
        except TransferError as error:
            raise error if f"{section}." in str(error) else TransferError(f"[{section}] {error}") from None
    return root(**built)


def dotted_keys(root: type) -> dict[str, object]:
    """Every `section.key` of a dataclass of dataclasses with its annotation."""
    return {
        f"{section}.{key}": wanted
        for section, (_, kind) in fields_of(root).items()
        for key, (_, wanted) in fields_of(kind).items()
    }


def unknown_key(root: type, key: str) -> TransferError:
    """The error for an unknown `section.key`: the closest key, then those of the section that was named.

    A key is remembered better than its section, so a closer key of another section comes first.
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
    """The likeness of two words, 0 to 1."""
    return difflib.SequenceMatcher(None, one, other).ratio()


def convert(key: str, value: object, wanted: object) -> object:
    """A TOML value as the annotation says. Raises TransferError naming key, value and what is wanted."""
    items = value if isinstance(value, list | tuple) else [value]
    if len(items) > MOST_ITEMS:
        raise TransferError(f"{key} has {len(items):,} items; it takes {MOST_ITEMS:,} at most")
    for item in items:
        if isinstance(item, str) and len(item) > LONGEST:
            raise TransferError(f"{key} has {len(item):,} characters; it takes {LONGEST:,} at most")
    wrong: list[str] = []
    found = read(value, wanted, key, wrong, SETTINGS)
    if wrong:
        raise TransferError(wrong[0])
    return float(found) if wanted is float else found


def from_text(root: type, key: str, text: str) -> object:
    """The value of `--set key=text`, read as the type that the key has: text needs no quotes, lists take commas.

    Raises:
        TransferError: unknown key (with the closest) or text that does not read as the type.
    """
    wanted = dotted_keys(root).get(key)
    if wanted is None:
        raise unknown_key(root, key)
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
