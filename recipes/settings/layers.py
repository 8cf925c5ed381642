"""Layers of settings: a file, what it extends, `[quick]` and `--set`, merged into one table.

A layer replaces single values. Where it names another kind for a part, the options that earlier layers gave the old
kind are dropped.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transfer.errors import TransferError, unknown
from transfer.numbers import seen
from transfer.recipes.settings.presets import BASE, Settings, find_config, presets
from transfer.recipes.settings.sections import SECTIONS, check_moved, check_section, known_keys
from transfer.recipes.settings.toml import parse_toml
from transfer.recipes.settings.typed import fields_of, flatten, from_text, unknown_key

Table = Mapping[str, Any]
DEEPEST = 8  # files that extend each other
FOR_EACH = ("filter", "episodes")
"""Keys of `[source]` that a later layer may set for several sources at once."""
MATRIX, AXES = "matrix", "axes"
"""The table of many runs, and its table of further keys; `transfer.recipes.matrix` reads them."""
MATRIX_KEYS = ("sources", "targets", "modes", "methods", "sizes", "seeds", AXES)


@dataclass(frozen=True)
class Layer:
    """One file of settings.

    Attributes:
        place: the preset's name or the path of the file, for messages.
        table: its sections, without `[quick]`.
        quick: its `[quick]` table, as sections.
        shipped: whether it is a preset.
    """

    place: str
    table: dict[str, Any]
    quick: dict[str, Any]
    shipped: bool


def layers_of(name_or_path: str) -> list[Layer]:
    """The settings under a name or path, after those that they extend.

    Raises:
        TransferError: no such settings, no TOML, or a file that extends itself, nothing that is there, or too many.
    """
    found, chain = [], [find_config(name_or_path)]
    while True:
        table = parse_toml(chain[-1].text, chain[-1].place)
        above = table.pop("extends", None)
        found.append(_layer(chain[-1], table))
        if above is None:
            return found[::-1]
        chain.append(_extended(chain[-1], above))
        names = [one.place for one in chain]
        if chain[-1].identity in [one.identity for one in chain[:-1]]:
            raise TransferError(f"{names[0]} extends itself: {' -> '.join(names)}. Take one extends line away.")
        if len(chain) > DEEPEST:
            raise TransferError(f"{names[0]} extends more than {DEEPEST - 1} files: {' -> '.join(names)}.")


def checked_layers(name_or_path: str) -> list[Layer]:
    """As `layers_of`. Raises TransferError, which names the file, for sections, keys or types that are wrong, too."""
    layers = layers_of(name_or_path)
    for layer in layers:
        try:
            for table in (layer.table, layer.quick):
                for name, values in table.items():
                    (check_matrix if name == MATRIX else check_section)(name, values)
        except TransferError as error:
            raise TransferError(f"{layer.place}: {error}") from error
    return layers


def has_matrix(layers: Sequence[Layer]) -> bool:
    """Whether some settings have a `[matrix]`, outside of `[quick]`."""
    return any(MATRIX in layer.table for layer in layers)


def check_matrix(name: str, values: object) -> None:
    """Raise TransferError for a key that `[matrix]` does not have, or axes that are no table."""
    if not isinstance(values, Mapping):
        raise TransferError(f"'{name}' is a section, not a value: write {name}.seeds = [0, 1]; got {seen(values)}")
    known = [f"{MATRIX}.{key}" for key in MATRIX_KEYS]
    for key in values:
        if key not in MATRIX_KEYS:
            raise unknown_key(
                known, f"{MATRIX}.{key}", "Other keys of settings are axes: write them under [matrix.axes]"
            )
    _check_axes(values.get(AXES, {}))
    flatten(values.get(AXES, {}))


def _check_axes(axes: object, inside: bool = False) -> None:
    """Raise TransferError for axes that are no table, or an empty table `inside` them, which would be lost."""
    if not isinstance(axes, Mapping) or (inside and not axes):
        raise TransferError(
            f'{MATRIX}.{AXES} is a table of keys with a list of values each, as "trunk.width" = [128, 256]; got '
            f"{seen(axes)}"
        )
    for value in axes.values():
        if isinstance(value, Mapping):
            _check_axes(value, True)


def _extended(settings: Settings, name: object) -> Settings:
    """The settings that others extend. Raises TransferError where there are none of this name."""
    known = [BASE, *presets()]
    if not isinstance(name, str) or not name:
        raise TransferError(
            f'{settings.place}: extends is {seen(name)}; the name of a preset is needed, as extends = "base", or the '
            "path of a TOML file"
        )
    if name in known:
        return find_config(name)
    path = Path(name) if settings.folder is None else settings.folder / name
    if path.suffix != ".toml" and len(Path(name).parts) == 1:
        raise TransferError(f"{settings.place}: {unknown('preset to extend', name, known)}") from None
    if not path.is_file():
        raise TransferError(
            f"{settings.place} extends {seen(name)}, and there is no file {path}. It takes a path relative to its own "
            f"folder, or a preset: {', '.join(known)}"
        )
    return find_config(str(path))


def _layer(settings: Settings, table: dict[str, Any]) -> Layer:
    table.pop("used", None)  # what the run of this file came to use; another run looks for itself
    quick = table.pop("quick", {})
    try:
        if not isinstance(quick, Mapping):
            raise TransferError(f"'quick' is a section, not a value: write quick.adapt.steps = 1000; got {seen(quick)}")
        return Layer(settings.place, table, nested(flatten(quick)), settings.shipped)
    except TransferError as error:
        raise TransferError(f"{settings.place}: {error}") from error


def nested(flat: Mapping[str, object]) -> dict[str, Any]:
    """Dotted keys as tables in tables. Raises TransferError where one is a value and a table."""
    found: dict[str, Any] = {}
    for dotted, value in flat.items():
        *above, key = dotted.split(".")
        table = found
        for name in above:
            table = table.setdefault(name, {})
            if not isinstance(table, dict):
                raise TransferError(f"{dotted} is set, and {name} is a value")
        if isinstance(table.get(key), dict):
            raise TransferError(f"{dotted} is a value and a table")
        table[key] = value
    return found


def merge(below: Table, above: Table) -> dict[str, Any]:
    """Sections with those of a later layer on top; both have been checked, neither is changed."""
    found = dict(below)
    for name, values in above.items():
        if name == "source":
            found[name] = _sources(below.get(name, {}), values)
        elif name == MATRIX:
            axes = {**flatten(below.get(name, {}).get(AXES, {})), **flatten(values.get(AXES, {}))}
            found[name] = {**below.get(name, {}), **values, **({AXES: axes} if axes else {})}
        elif name == "adapter":
            found[name] = {**below.get(name, {}), **_parts(below.get(name, {}), values)}
        else:
            found[name] = _part(below.get(name, {}), values) if name == "method" else _data(below.get(name, {}), values)
    return found


def _parts(below: Table, above: Table) -> dict[str, Any]:
    """The values of `[adapter]`: tables are parts."""
    return {
        name: _part(below.get(name, {}), value) if isinstance(value, Mapping) else value
        for name, value in above.items()
    }


def _part(below: Table, above: Table) -> dict[str, Any]:
    """A part; one of another kind keeps no option of the old kind, options without a kind wait for theirs."""
    other = "kind" in above and below.get("kind") not in (None, above["kind"])
    return dict(above) if other else {**below, **above}


def _data(below: Table, above: Table) -> dict[str, Any]:
    """A section; a filter is a part, whose kind alone may stand for it."""
    found = {**below, **above}
    if "filter" in above:
        one, other = _spec(below.get("filter")), _spec(above["filter"])
        found["filter"] = _part(one, other) if isinstance(other, Mapping) and isinstance(one, Mapping) else other
    return found


def _spec(value: Any) -> Any:
    """A filter as a table; one of no kind is none."""
    return {"kind": value or ""} if isinstance(value, str) or value is None else value


def _sources(below: Any, above: Any) -> Any:
    """One source on top of one is merged with it, several take its place; see `FOR_EACH`."""
    below, above = _alone(below), _alone(above)
    if not isinstance(above, Mapping):
        return [dict(one) for one in above]
    if isinstance(below, Mapping):
        return _data(below, above)
    if above.get("data") or above.get("fallback"):
        return dict(above)
    if refused := [key for key in above if key not in FOR_EACH]:
        raise TransferError(
            f"source.{refused[0]} is of one source, and there are {len(below)}. Write them as [[source]] tables in a "
            f"file, each with its own; {' and '.join(FOR_EACH)} alone can be set for all at once"
        )
    return [_data(one, above) for one in below]


def _alone(sources: Any) -> Any:
    """One `[[source]]` table as `[source]`; several as they are."""
    return sources[0] if isinstance(sources, list) and len(sources) == 1 else sources


def several(tables: Sequence[Table]) -> dict[str, Any]:
    """Layers, the first below the others, as one table."""
    found: dict[str, Any] = {}
    for table in tables:
        found = merge(found, table)
    return found


def changes_of(sets: Sequence[str]) -> dict[str, Any]:
    """The layer of `--set` options.

    Raises:
        TransferError: another form, an unknown key, or text that does not read as the key's type.
    """
    flat: dict[str, object] = {}
    for item in sets:
        key, equals, text = item.partition("=")
        if not equals:
            raise TransferError(f"--set wants section.key=value, got '{item}'")
        key, text = key.strip(), text.strip()
        if key.startswith(f"{MATRIX}."):
            flat[_matrix_key(key)] = from_text(key, text, tuple[Any, ...])
            continue
        if key.endswith(".filter") and not text.startswith("{"):  # the kind, beside options that may be set too
            key += ".kind"
        flat[key] = _set_value(key, text)
    return nested(flat)


def _set_value(key: str, text: str) -> object:
    name, _, rest = key.partition(".")
    if name in SECTIONS and rest.startswith("filter"):
        return from_text(key, text, Any)
    if name in SECTIONS and rest in (fields := fields_of(SECTIONS[name])):
        return from_text(key, text, fields[rest][1])
    check_moved(key, from_text(key, text, Any))
    if name == "source" and rest.partition(".")[0].isdecimal():
        raise TransferError(
            f"{key}: --set reaches no single one of several sources. Write [[source]] tables in a file, each with its "
            f"own; where there is one alone, it is --set source.{rest.partition('.')[2] or 'data'}"
        )
    if key == "adapter.out_of_bounds":
        return from_text(key, text, str)
    if key.count(".") == {"adapter": 2, "method": 1}.get(name):
        return from_text(key, text, str if key.endswith(".kind") else Any)
    raise unknown_key([*known_keys(), *(f"{MATRIX}.{one}" for one in MATRIX_KEYS)], key)


def _matrix_key(key: str) -> str:
    """A key of `[matrix]`, that of an axis without its quotes. Raises TransferError for one that it does not have."""
    _, name, *axis = key.split(".", 2)
    check_matrix(MATRIX, {name: {}})
    if (name == AXES) != bool(axis):
        raise TransferError(f"--set {key}: it is written matrix.seeds=[0, 1], or matrix.{AXES}.trunk.width=[128, 256]")
    return ".".join([MATRIX, name, *(one.strip("\"'") for one in axis)])
