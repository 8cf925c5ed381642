"""Settings of a run: a frozen dataclass made of TOML.

Precedence, weakest first: the dataclass defaults, the files that a file extends, the preset or file itself, their
`[quick]` tables under `--quick`, `--set section.key=value` in the order given, then the other options of the command.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import tomli_w

from transfer import registry
from transfer.errors import TransferError, unknown
from transfer.models.steps.adapter_config import OWN, TUNING, AdapterConfig
from transfer.models.steps.method import make_method
from transfer.models.trunk import DEFAULT_METHOD, TrunkConfig
from transfer.recipes.programs.source_names import twice
from transfer.recipes.settings.layers import (
    MATRIX,
    Layer,
    Table,
    changes_of,
    checked_layers,
    has_matrix,
    layers_of,
    several,
)
from transfer.recipes.settings.presets import BASE
from transfer.recipes.settings.pretrained import sizes_of
from transfer.recipes.settings.sections import (
    SECTIONS,
    AdaptConfig,
    DataConfig,
    EvalConfig,
    PretrainConfig,
    RunSettings,
    SourceConfig,
    adapter_table,
    known_keys,
    takers,
)
from transfer.recipes.settings.typed import section, toml_key
from transfer.registry import PartSpec
from transfer.training.train_config import TrainConfig

# The parts that a file without their kinds means. Options are completed by the registry.
START: Table = {
    "adapter": {**{name: {"kind": AdapterConfig().of(name).kind} for name in ("state", "action")}, "tuning": {}},
    "method": {"kind": DEFAULT_METHOD.kind},
}


@dataclass(frozen=True)
class RunConfig:
    """A whole run. Sections and their keys are the TOML sections and keys.

    `source` has an entry for each `[[source]]` table; one without data where nothing is pretrained.
    """

    source: tuple[SourceConfig, ...] = (SourceConfig(),)
    target: DataConfig = field(default_factory=DataConfig)
    trunk: TrunkConfig = field(default_factory=TrunkConfig)
    adapter: AdapterConfig = field(default_factory=AdapterConfig)
    method: PartSpec = registry.complete("method", DEFAULT_METHOD)
    pretrain: PretrainConfig = field(default_factory=PretrainConfig)
    adapt: AdaptConfig = field(default_factory=AdaptConfig)
    eval: EvalConfig = field(default_factory=EvalConfig)
    run: RunSettings = field(default_factory=RunSettings)

    def __post_init__(self) -> None:
        """Raises TransferError when there is nothing to adapt to, two sources of one name, or none that counts."""
        if not self.target.data and not self.target.fallback:
            raise TransferError('[target] names no data: write data = ["mujoco/walker2d/medium-v0"] or set a fallback')
        if pair := twice(one.name for one in self.source if one.name):
            same = "the name '{0}'" if pair[0] == pair[1] else "the names '{0}' and '{1}', which can be one folder"
            raise TransferError(f"two [[source]] tables have {same.format(*pair)}: give one of them another")
        if not any(one.weight for one in self.source):
            raise TransferError("source.weight is 0 for every source: give one a weight above zero, as weight = 1.0")
        for number, one in enumerate(self.source, 1):
            if len(self.source) > 1 and not one.data and not one.fallback:
                raise TransferError(
                    f'[[source]] table {number} names no data: write data = ["mujoco/hopper/expert-v0"]'
                )
        method = make_method(self.method)
        groups = [name for name in method.groups if name not in method.conditions()]
        for name in self.adapter.others:
            if name not in groups:
                raise unknown(f"group under [adapter] for the method '{self.method.kind}'", name, groups)
        for name in groups:
            self.adapter.of(name)  # a group without a kind is an error


def training(section: TrainConfig, **changes: Any) -> TrainConfig:
    """The training settings of a section alone; its modes may change while a training is unfinished."""
    return TrainConfig(**{key.name: getattr(section, key.name) for key in dataclasses.fields(TrainConfig)} | changes)


def load_config(name_or_path: str, sets: Sequence[str] = (), quick: bool = False) -> RunConfig:
    """Read a preset, a TOML file or a run folder, apply overrides and check every key and type.

    Sizes under `[trunk]`, and the method, are those of the trunk that `pretrain.from` names, unless the user's file or
    `sets` name them; a preset that names a method keeps it.

    Args:
        name_or_path: a preset's name, a .toml file, or a folder with a config.toml.
        sets: overrides `section.key=value`, later ones win.
        quick: apply the `[quick]` table first.

    Raises:
        TransferError: unknown section or key (with the closest), wrong type (with the value and the type wanted),
            bad TOML, an extended file that is not there, `quick` without a `[quick]` table, or a `[matrix]`, which
            means many runs: see `transfer.recipes.matrix.points.load_matrix`.
    """
    layers, changes = checked_layers(name_or_path), changes_of(sets)
    if has_matrix(layers):
        raise TransferError(
            f"{layers[-1].place} has a [matrix], so it means many runs, and one is needed here. All of them: transfer "
            f"run {name_or_path}, or transfer.recipes.matrix.points.load_matrix in Python"
        )
    for table in (changes, *(one.quick for one in layers)):
        if MATRIX in table:
            raise TransferError(
                f"{layers[-1].place} has no [matrix] that --set or [quick] could change: write one in the file, with "
                f"{', '.join(f'{MATRIX}.{key}' for key in table[MATRIX])}"
            )
    return config_of(layers, changes, quick)


def config_of(
    layers: Sequence[Layer], changes: Table, quick: bool, on_top: Callable[[Table], Table] = lambda table: {}
) -> RunConfig:
    """The config of some layers, with the layer of `--set` above them.

    Args:
        layers: of files, weakest first.
        changes: of `--set`.
        quick: whether `[quick]` applies.
        on_top: from the merged layers to one above them all.

    Raises:
        TransferError: as `load_config`.
    """
    place = layers[-1].place
    plain, short = [one.table for one in layers], [one.quick for one in layers]

    def config_with(*more: Table) -> RunConfig:
        tables = [*plain, *more]
        return made([*tables, on_top(several(tables))])

    try:
        tuning = _tuning_of([*plain, on_top(several(plain)), _about_tuning(changes)])
        config = config_with(tuning)
        # The quick table is checked even when unused, so that a typing error in it does not wait for its first use.
        shortened = config_with(tuning, *short)
    except TransferError as error:
        raise TransferError(f"{place}: {error}") from error
    if quick and not any(short):
        raise TransferError(f"--quick: {place} has no [quick] table. Shorten it with --set adapt.steps=1000")
    if changes:
        config = config_with(*([tuning, *short] if quick else []), changes)
    elif quick:
        config = shortened
    return with_trunk(config, {*changes, *(name for one in layers for name in _chosen(one, quick))})


def _chosen(layer: Layer, quick: bool) -> set[str]:
    """The sections that a file decides whatever trunk it is given: a preset has sizes for a trunk of its own."""
    tables = [layer.table, layer.quick] if quick else [layer.table]
    sections = {name for table in tables for name, values in table.items() if values}
    if layer.place == BASE:
        return set()
    return sections - {"trunk"} if layer.shipped else sections


def with_trunk(config: RunConfig, chosen: set[str]) -> RunConfig:
    """The config with what the trunk of `pretrain.from` says about itself, but for the sections that were chosen."""
    if not config.pretrain.from_ or {"trunk", "method"} <= chosen:
        return config
    try:
        sizes, method = sizes_of(config.pretrain.from_, config.run.seeds[0])
    except TransferError:  # loading that trunk says what is wrong with it
        return config
    config = config if "trunk" in chosen else dataclasses.replace(config, trunk=sizes)
    return config if "method" in chosen else dataclasses.replace(config, method=method)


def made(tables: Sequence[Table]) -> RunConfig:
    """The config of some layers. Raises TransferError for an unknown key or kind, a wrong type, or an unsound value."""
    table, known = several([START, *tables, _tuning_of(tables)]), known_keys()
    sources = table.get("source", {})
    each = sources if isinstance(sources, list) else [sources]
    found: dict[str, Any] = {
        name: section(name, SECTIONS[name], table.get(name, {}), known) for name in SECTIONS if name != "source"
    }
    return RunConfig(
        source=tuple(section("source", SourceConfig, one, known) for one in each),
        adapter=_adapter(table["adapter"]),
        method=registry.complete("method", PartSpec.of(table["method"], "method")),
        **found,
    )


def _about_tuning(changes: Table) -> Table:
    """What `--set` says of the kind of a tuning, for options in a file that name none."""
    modes, kind = changes.get("adapt", {}).get("modes"), changes.get("adapter", {}).get(TUNING, {}).get("kind")
    named = {"adapter": {TUNING: {"kind": kind}}} if kind else {}
    return {**named, "adapt": {"modes": modes}} if modes else named


def _tuning_of(tables: Sequence[Table]) -> Table:
    """A layer with the tuning; where it has options and no kind, of the kind that the modes name.

    Raises:
        TransferError: they name none, several, or one that does not take these options.
    """
    table = several(tables)
    options = table.get("adapter", {}).get(TUNING, {})
    if not options or "kind" in options:
        return {"adapter": {TUNING: options}}
    last = {re.split("[+:]", mode)[-1] for mode in table.get("adapt", {}).get("modes", ())}
    named = sorted(last.intersection([TUNING, *registry.known(TUNING)]))
    taking = takers(TUNING, options)
    if len(named) == 1 and named[0] in taking:
        return {"adapter": {TUNING: {"kind": named[0], **options}}}
    names, says = ", ".join(options), f"; adapt.modes say {', '.join(named)}" if named else ""
    if not taking:
        each = "; ".join(
            f"{kind}: {', '.join(registry.options_of(TUNING, kind)) or 'none'}" for kind in takers(TUNING, ())
        )
        raise TransferError(f"no kind of tuning takes {names} (adapter.tuning.{min(options)}). Options by kind: {each}")
    others = [one for one in named if one not in (TUNING, taking[0])]
    instead = f", and {TUNING} in adapt.modes in the place of {' and '.join(others)}" if others else ""
    raise TransferError(
        f"adapter.tuning.{min(options)} needs a kind{says}. Kinds that take {names}: {', '.join(taking)}. "
        f'Write kind = "{taking[0]}" under [adapter.tuning], or --set adapter.tuning.kind={taking[0]}{instead}'
    )


def _adapter(table: Table) -> AdapterConfig:
    """The parts of `[adapter]`; an empty kind takes a part away."""
    parts = {name: value for name, value in table.items() if name != "out_of_bounds" and value.get("kind") != ""}
    own = {name: parts.pop(name) for name in OWN if parts.get(name)}
    for name in ("state", "action"):
        if name not in own:
            raise unknown(f"{name} kind", "", registry.known(name))
    bounds = {"out_of_bounds": table["out_of_bounds"]} if "out_of_bounds" in table else {}
    parts.pop("tuning", None)
    return AdapterConfig(**own, **bounds, others=parts)


def base_table() -> dict[str, Any]:
    """The settings of `BASE` as `config_table` has them; it names no data."""
    table = config_table(made([*(one.table for one in layers_of(BASE)), {"target": {"fallback": "hopper/expert"}}]))
    table["target"]["fallback"] = ""
    return table


def config_table(config: RunConfig) -> dict[str, Any]:
    """The config as plain sections of TOML values (tuples become lists); several sources as a list of tables."""
    sources = [section_table(one) for one in config.source]
    found: dict[str, Any] = {"source": sources[0] if len(sources) == 1 else sources}
    for name in (one.name for one in dataclasses.fields(config) if one.name != "source"):
        value = getattr(config, name)
        if name == "adapter":
            found[name] = adapter_table(value)
        else:
            found[name] = value.to_json() if name == "method" else section_table(value)
    return {name: _without_none(value) for name, value in found.items()}


def _without_none(value: Any) -> Any:
    """Tables and lists without values of None, which TOML does not have: such an option is left at its default."""
    if isinstance(value, Mapping):
        return {key: _without_none(one) for key, one in value.items() if one is not None}
    return [_without_none(one) for one in value if one is not None] if isinstance(value, list) else value


def section_table(values: Any) -> dict[str, Any]:
    """A section as TOML has it: no filter is an empty text."""
    found: dict[str, Any] = {}
    for one in dataclasses.fields(values):
        value = getattr(values, one.name)
        if one.name == "filter":
            value = "" if value is None else value.to_json()
        found[toml_key(one.name)] = list(value) if isinstance(value, tuple) else value
    return found


def dump_config(config: RunConfig) -> str:
    """The config as TOML text that extends nothing; `load_config` of it gives an equal config."""
    return tomli_w.dumps(config_table(config))
