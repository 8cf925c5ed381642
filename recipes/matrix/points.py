"""The runs of a matrix: an ordinary config for each of its points, checked when the settings are read."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, NamedTuple

import tomli_w

from transfer.errors import TransferError
from transfer.models.steps.adapter_config import TUNING
from transfer.recipes.matrix.axes import touches_trunk
from transfer.recipes.matrix.labels import (
    Place,
    labels_of,
    method_names,
    origin_name,
    source_names,
    target_names,
)
from transfer.recipes.matrix.overruled import check_overruled, same_as_options
from transfer.recipes.matrix.section import MatrixConfig, matrix_table, read_section
from transfer.recipes.programs.modes import find_modes, with_tuning
from transfer.recipes.settings.config import RunConfig, config_of, config_table, made, section_table, with_trunk
from transfer.recipes.settings.layers import MATRIX, Table, changes_of, checked_layers, has_matrix, nested, several

MOST_RUNS = 10_000


@dataclass(frozen=True)
class Point:
    """One run of a matrix.

    Attributes:
        label: its name, and that of its folder.
        source: the bodies of its trunk, as "hopper+walker2d"; "" where [source] names no data.
        target: its body.
        method: kind, with the options where the matrix has the kind twice.
        size: number of episodes of the target; 0 for all.
        axes: the values of the axes, by `section.key`.
        config: of the run, with the modes and seeds of the matrix.
    """

    label: str
    source: str
    target: str
    method: str
    size: int
    axes: Mapping[str, Any]
    config: RunConfig


@dataclass(frozen=True)
class Matrix:
    """Many runs.

    Attributes:
        base: the rest of the settings, with the modes and seeds of the matrix.
        section: the `[matrix]`.
        points: the runs, those of a source next to each other.
    """

    base: RunConfig
    section: MatrixConfig
    points: tuple[Point, ...]


class Counts(NamedTuple):
    """What a matrix means; cells that are the same in several runs count for each of them."""

    runs: int
    trunks: int
    adaptations: int


def is_matrix(name_or_path: str) -> bool:
    """Whether settings mean many runs. Raises TransferError as `load_matrix`."""
    return has_matrix(checked_layers(name_or_path))


def load_matrix(name_or_path: str, sets: Sequence[str] = (), quick: bool = False) -> Matrix | None:
    """The runs of a preset, a TOML file or the folder of a matrix; None where the settings have no `[matrix]`.

    Args:
        name_or_path: as of `transfer.recipes.settings.config.load_config`.
        sets: overrides, as "adapt.steps=100", "matrix.seeds=[0, 1]" or "matrix.axes.trunk.width=[64]".
        quick: apply the `[quick]` table first.

    Raises:
        TransferError: as `load_config` and `transfer.recipes.matrix.section.read_section`; a key that is set and that
            the matrix decides, an unsound run, two that are the same, or too many.
    """
    layers = checked_layers(name_or_path)
    if not has_matrix(layers):
        return None
    place, table = layers[-1].place, several([one.table for one in layers])
    changes = same_as_options(changes_of(sets), several([table, *(one.quick for one in layers if quick)])[MATRIX])
    check_overruled(layers, changes, quick)
    base = config_of(layers, changes, quick, _on_top)
    used = [*(one.table for one in layers), *(one.quick for one in layers if quick), changes]
    section = read_section(several(used))
    try:
        points = points_of(base, section)
        check_effects(base, section)
        check_twice(points)
    except TransferError as error:
        raise TransferError(f"{place}: {error}") from error
    return Matrix(base, section, points)


def dump_matrix(matrix: Matrix) -> str:
    """Every setting and the `[matrix]` as TOML text that extends nothing; `load_matrix` of it gives an equal matrix."""
    return tomli_w.dumps(matrix_settings(matrix))


def matrix_settings(matrix: Matrix) -> dict[str, Any]:
    """Every setting as plain sections of TOML values, `[matrix]` among them."""
    return {**config_table(matrix.base), MATRIX: matrix_table(matrix.section, matrix.base)}


def counts(matrix: Matrix) -> Counts:
    """The numbers of runs, of trunks to pretrain, and of adaptations."""
    modes, seeds = find_modes(matrix.base.adapt.modes), len(matrix.base.run.seeds)
    trunks = {
        json.dumps([one.source, one.method, {key: value for key, value in one.axes.items() if touches_trunk(key)}])
        for one in matrix.points
        if any(mode.needs_pretraining for mode in modes) and not one.config.pretrain.from_
    }
    return Counts(len(matrix.points), len(trunks) * seeds, len(matrix.points) * len(modes) * seeds)


def _on_top(table: Table) -> Table:
    """What the matrix in merged layers says of the base: its modes and seeds, and a target where there is no other."""
    section = read_section(table)
    found: dict[str, Any] = {"adapt": {"modes": list(section.modes)}} if section.modes else {}
    found |= {"run": {"seeds": list(section.seeds)}} if section.seeds else {}
    target = table.get("target", {})
    if section.targets and not target.get("data") and not target.get("fallback"):
        first = section_table(section.targets[0])
        found["target"] = {key: first[key] for key in ("data", "fallback", "env", "weights")}
    return found


def points_of(base: RunConfig, section: MatrixConfig) -> tuple[Point, ...]:
    """The runs of a matrix.

    Raises:
        TransferError: too many, or one that is unsound; names it.
    """
    shape = [section.sources, section.targets, section.methods, section.sizes, *section.axes.values()]
    if (number := math.prod(len(values) or 1 for values in shape)) > MOST_RUNS:
        raise TransferError(
            f"[{MATRIX}] means {number:,} runs, {' x '.join(str(len(one)) for one in shape if one)}; it takes "
            f"{MOST_RUNS:,} at most. Take values away, or write several files"
        )
    table = config_table(base)
    layers, coordinates = zip(*_each(base, section), strict=True)
    sizes = [int(layer.get("target", {}).get("episodes", base.target.episodes)) for layer in layers]
    named = coordinates if len(set(sizes)) > 1 else [one._replace(size=None) for one in coordinates]
    labels = labels_of([one if len(section.methods) > 1 else one._replace(method="") for one in named])
    points = []
    for label, one, size, layer in zip(labels, coordinates, sizes, layers, strict=True):
        try:
            config = _config(table, layer, section)
        except TransferError as error:
            raise TransferError(f"the run {label}: {error}") from error
        method = one.method or config.method.kind
        points.append(Point(label, one.source, one.target, method, size, one.axes, config))
    return tuple(points)


def _each(base: RunConfig, section: MatrixConfig) -> Iterator[tuple[Table, Place]]:
    """The layer above the base, and the coordinates, of each run."""
    sources = [{"source": [section_table(one) for one in bodies]} for bodies in section.sources] or [{}]
    names = source_names(section.sources or [base.source])
    origin = origin_name(base.pretrain.from_)
    targets = [{"target": section_table(one)} for one in section.targets] or [{}]
    called = target_names(section.targets or [base.target])
    methods = [{"method": one.to_json()} for one in section.methods] or [{}]
    kinds = method_names(section.methods) or [""]
    sizes = [{"target": {"episodes": one}} for one in section.sizes] or [{}]
    axes = [dict(zip(section.axes, values, strict=True)) for values in product(*section.axes.values())]
    for (source, name), (target, body), (method, kind), size, values in product(
        zip(sources, names, strict=True),
        zip(targets, called, strict=True),
        zip(methods, kinds, strict=True),
        sizes,
        axes,
    ):
        layer = several([source, target, method, size, nested(values)])
        episodes = layer.get("target", {}).get("episodes", base.target.episodes)
        yield layer, Place(origin or name, body, kind, episodes, values)


def _config(base: Table, layer: Table, section: MatrixConfig) -> RunConfig:
    """The config of one run. Raises TransferError for an unsound one."""
    config = made([base, layer])
    if "pretrain.from" in section.axes:
        config = with_trunk(config, set(layer) - {"pretrain"})
    for mode in find_modes(config.adapt.modes):
        with_tuning(mode, config.adapter, True)
    return config


def check_effects(base: RunConfig, section: MatrixConfig) -> None:
    """Raise TransferError for values that no training of any mode would see."""
    modes = find_modes(base.adapt.modes)
    pretrained = any(mode.needs_pretraining for mode in modes)
    longer, tuned = any(mode.total_steps for mode in modes), any(TUNING in mode.parts for mode in modes)
    named, origin = ", ".join(base.adapt.modes), base.pretrain.from_
    if len(section.sources) > 1 and (not pretrained or origin):
        why = f"trunks come from pretrain.from = {origin}" if origin else f"none of the modes takes a trunk: {named}"
        raise TransferError(f"{MATRIX}.sources changes nothing, because {why}. Leave it out, or name other modes")
    for key in section.axes:
        if key.startswith("pretrain.") and not pretrained and not (longer and key == "pretrain.steps"):
            raise TransferError(
                f"the axis {key} changes nothing, because none of the modes takes a trunk: {named}. Leave it out"
            )
        if key.startswith(f"adapter.{TUNING}.") and not tuned:
            raise TransferError(
                f"the axis {key} changes nothing, because none of the modes trains a tuning: {named}. Leave it out, or "
                "name a mode such as embeddings+tuning"
            )


def check_twice(points: Sequence[Point]) -> None:
    """Raise TransferError where two runs have the same settings: an axis whose values change nothing."""
    known: dict[str, Point] = {}
    for one in points:
        other = known.setdefault(json.dumps(config_table(one.config), sort_keys=True), one)
        if other is not one:
            keys = [key for key in one.axes if one.axes[key] != other.axes[key]]
            why = f": the axis {keys[0]} changes nothing between them" if len(keys) == 1 else ""
            raise TransferError(
                f"the runs {other.label} and {one.label} are the same{why}. Take one of the values away"
            )
