"""The `[matrix]` of settings: sources, targets, modes, methods, sizes, seeds and axes of many runs.

Each key is a list. What is left out has one value, which is what the rest of the settings says.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from transfer import registry
from transfer.errors import TransferError
from transfer.numbers import MOST_EPISODES, MOST_SEED, seen, whole
from transfer.recipes.matrix.axes import check_once, items, read_axes
from transfer.recipes.programs.modes import find_modes
from transfer.recipes.settings.config import RunConfig, section_table
from transfer.recipes.settings.layers import AXES, FOR_EACH, MATRIX, MATRIX_KEYS, Table, several
from transfer.recipes.settings.sections import DataConfig, SourceConfig, known_keys
from transfer.recipes.settings.typed import convert, section
from transfer.registry import PartSpec

Body = TypeVar("Body", bound=DataConfig)


@dataclass(frozen=True)
class MatrixConfig:
    """A resolved `[matrix]`; what it leaves out is empty.

    Attributes:
        sources: the bodies of each trunk.
        targets: the body of each target.
        modes: as in `adapt.modes`, of every run.
        methods: each with the options that were given.
        sizes: numbers of episodes of the target; 0 for all.
        seeds: as in `run.seeds`, of every run.
        axes: the values of other keys, by `section.key`.
    """

    sources: tuple[tuple[SourceConfig, ...], ...] = ()
    targets: tuple[DataConfig, ...] = ()
    modes: tuple[str, ...] = ()
    methods: tuple[PartSpec, ...] = ()
    sizes: tuple[int, ...] = ()
    seeds: tuple[int, ...] = ()
    axes: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)


def read_section(settings: Table) -> MatrixConfig:
    """The `[matrix]` of merged layers.

    A source or target has the `filter` and the `episodes` of `[source]` or `[target]`, where it has none of its own.

    Raises:
        TransferError: an empty table or list, wrong nesting, a value twice, or one that is unknown or out of range.
    """
    table = settings[MATRIX]
    found: dict[str, Any] = {key: _READERS[key](settings, table[key]) for key in table if key != AXES}
    for key, values in found.items():
        check_once(f"{MATRIX}.{key}", values, _words)
    axes = read_axes(table.get(AXES, {}))
    if not found and not axes:
        raise TransferError(f"[{MATRIX}] is empty: name at least one list, as seeds = [0, 1], or take the table away")
    if found.get("sizes") and any(isinstance(one, Mapping) and one.get("episodes") for one in table.get("targets", ())):
        raise TransferError(f"an entry of {MATRIX}.targets has episodes, and {MATRIX}.sizes too: keep one of them")
    return MatrixConfig(**found, axes=axes)


def _words(value: object) -> str:
    """A value for messages: bodies by their data."""
    if isinstance(value, DataConfig):
        return ", ".join(value.data or (value.fallback,))
    return " + ".join(map(_words, value)) if isinstance(value, tuple) else seen(value)


def _sources(settings: Table, value: object) -> tuple[tuple[SourceConfig, ...], ...]:
    """Entries of bodies: a list of bodies each, or the text or table of one."""
    found = []
    for number, entry in enumerate(items(f"{MATRIX}.sources", value)):
        where = f"{MATRIX}.sources[{number}]"
        bodies = [entry] if isinstance(entry, str | Mapping) else items(where, entry)
        found.append(tuple(_body("source", SourceConfig, settings, f"{where}[{i}]", b) for i, b in enumerate(bodies)))
    return tuple(found)


def _targets(settings: Table, value: object) -> tuple[DataConfig, ...]:
    """Bodies: a text, a list of datasets or a table each."""
    each = enumerate(items(f"{MATRIX}.targets", value))
    return tuple(_body("target", DataConfig, settings, f"{MATRIX}.targets[{i}]", one) for i, one in each)


def _body(name: str, kind: type[Body], settings: Table, where: str, value: object) -> Body:
    """One body of one or several datasets.

    Args:
        name: of its section.
        kind: of its settings.
        settings: merged layers, whose section may have a filter and a number of episodes.
        where: it stands, for messages.
        value: a text, a list of texts, or a table with the keys of the section.

    Raises:
        TransferError: something else, or a key or value that the section does not take.
    """
    data = [value] if isinstance(value, str) else value
    if not isinstance(value, Mapping):
        if (
            not isinstance(data, list | tuple)
            or not data
            or not all(isinstance(one, str) and one.strip() for one in data)
        ):
            raise TransferError(
                f"{where} is {seen(value)}; a body is the name of a dataset, a list of names, or a table such as "
                f'{{ data = ["hopper/expert"], episodes = 50 }}. {_NESTING[name]}'
            )
        value = {"data": list(data)}
    given = settings.get(name, {})
    given = given[0] if isinstance(given, list) and len(given) == 1 else given
    own = {key: given[key] for key in FOR_EACH if key in given} if isinstance(given, Mapping) else {}
    try:
        body = section(name, kind, several([{"target": own}, {"target": value}])["target"], known_keys())
    except TransferError as error:
        raise TransferError(f"{where}: {error}") from error
    if not body.data and not body.fallback:
        raise TransferError(f'{where} names no data: write data = ["hopper/expert"]')
    return body


_NESTING = {
    "source": 'One trunk of two bodies is sources = [[["hopper/expert"], ["walker2d/expert"]]], two trunks of one body '
    'each are sources = ["hopper/expert", "walker2d/expert"]',
    "target": 'Two targets are targets = ["hopper/expert", "walker2d/expert"], one target of two datasets is '
    'targets = [["hopper/medium", "hopper/expert"]]',
}


def _modes(settings: Table, value: object) -> tuple[str, ...]:
    """Names of modes, of which none is in another's group."""
    names: tuple[str, ...] = _list("modes", value, str)
    try:
        check_once(f"{MATRIX}.modes", [mode.name for one in names for mode in find_modes([one])])
    except TransferError as error:
        raise error if MATRIX in str(error) else TransferError(f"{MATRIX}.modes: {error}") from error
    return names


def _methods(settings: Table, value: object) -> tuple[PartSpec, ...]:
    """Kinds of methods, or tables of a kind and its options."""
    found = []
    for number, one in enumerate(items(f"{MATRIX}.methods", value)):
        where = f"{MATRIX}.methods[{number}]"
        spec = PartSpec.of(one, where)
        try:
            registry.check_options("method", spec)
        except TransferError as error:
            raise type(error)(f"{where}: {error}") from error
        found.append(spec)
    return tuple(found)


def _sizes(settings: Table, value: object) -> tuple[int, ...]:
    return tuple(whole(one, f"{MATRIX}.sizes", 0, MOST_EPISODES) for one in _list("sizes", value, int))


def _seeds(settings: Table, value: object) -> tuple[int, ...]:
    return tuple(whole(one, f"{MATRIX}.seeds", 0, MOST_SEED) for one in _list("seeds", value, int))


def _list(key: str, value: object, kind: type) -> Any:
    """A list of one plain type. Raises TransferError for an empty one, or items of another type."""
    return convert(f"{MATRIX}.{key}", items(f"{MATRIX}.{key}", value), tuple[kind, ...])  # type: ignore[valid-type]


_READERS = {
    "sources": _sources,
    "targets": _targets,
    "modes": _modes,
    "methods": _methods,
    "sizes": _sizes,
    "seeds": _seeds,
}


def matrix_table(matrix: MatrixConfig, base: RunConfig) -> dict[str, Any]:
    """The table that `read_section` reads beside the settings of `base`, as TOML has it."""
    source = base.source[0] if len(base.source) == 1 else SourceConfig()
    found: dict[str, Any] = {
        "sources": [[_brief(body, source) for body in bodies] for bodies in matrix.sources],
        "targets": [_brief(body, base.target) for body in matrix.targets],
        "methods": [spec.to_json() if spec.options else spec.kind for spec in matrix.methods],
        **{key: list(getattr(matrix, key)) for key in ("modes", "sizes", "seeds")},
        AXES: {key: list(values) for key, values in matrix.axes.items()},
    }
    return {key: found[key] for key in MATRIX_KEYS if found[key]}


def _brief(body: DataConfig, given: DataConfig) -> dict[str, Any]:
    """A body without keys at their defaults, but for those that it would else have from the rest of the settings."""
    usual, rest = section_table(type(body)()), section_table(given)
    return {
        key: value
        for key, value in section_table(body).items()
        if value != usual[key] or (key in FOR_EACH and rest[key] != usual[key])
    }
