"""The sections of settings: a frozen dataclass for each, whose fields are the keys of the TOML."""

from __future__ import annotations

import json
import shlex
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from typing import Any

from transfer import registry
from transfer.data.mixture import shares_of
from transfer.decoding.planner import DECODES
from transfer.errors import BrokenKind, TransferError, unknown
from transfer.models.steps.adapter_config import DEFAULT_TUNING, OWN, TUNING, AdapterConfig
from transfer.models.trunk import DEFAULT_METHOD, TrunkConfig
from transfer.numbers import (
    MOST_ENVS,
    MOST_EPISODES,
    MOST_SEED,
    MOST_STEPS,
    MOST_THREADS,
    real,
    seen,
    whole,
)
from transfer.recipes.programs.source_names import check_name
from transfer.recipes.settings.target_names import check_asks
from transfer.recipes.settings.typed import check_size, convert, fields_of, flatten, unknown_key
from transfer.registry import PartSpec
from transfer.runtime.devices import PRECISIONS
from transfer.training.train_config import TrainConfig

AUTO = "auto"
# Least and most of every count under [eval].
COUNTS = {
    "episodes": (1, MOST_EPISODES),
    "envs": (1, MOST_ENVS),
    "calibrate": (0, MOST_EPISODES),
    "probe_every": (0, MOST_STEPS),
    "probe_episodes": (1, MOST_EPISODES),
}


@dataclass(frozen=True)
class DataConfig:
    """Where episodes come from: `data` when at hand or downloadable, else a `fallback` of the same environment.

    `data` is empty only as `[source]`, when `pretrain.from` names a trunk or no mode uses one. `env` is the id of the
    environment to play in, as "Hopper-v5" or "my_env:MyEnv-v0", in place of the one in the data. Of what was loaded,
    the `filter` (a kind of `transfer.registry`, with options in a table; "" or None for none) chooses what is used, and
    `episodes` is the number of those that are drawn from it at random; 0 takes all. `weights` has, for each of `data`,
    its share of the windows of every batch; without any, all steps are drawn evenly.
    """

    data: tuple[str, ...] = ()
    fallback: str = ""
    env: str = ""
    filter: Any = None
    episodes: int = 0
    weights: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        """Raises TransferError on an unknown filter, an option that it does not take, or numbers that do not fit."""
        if self.filter in (None, "", {}, {"kind": ""}):
            object.__setattr__(self, "filter", None)
        else:
            object.__setattr__(self, "filter", registry.complete("filter", PartSpec.of(self.filter, "filter")))
        object.__setattr__(self, "episodes", whole(self.episodes, "episodes", 0, MOST_EPISODES))
        if self.weights:
            shares_of(self.weights, len(self.data))


@dataclass(frozen=True)
class SourceConfig(DataConfig):
    """One of the bodies that a trunk is pretrained on.

    `name` is that of its adapter, by default the environment's; `weight` is that of its loss, where there are several.
    """

    name: str = ""
    weight: float = 1.0

    def __post_init__(self) -> None:
        """Raises TransferError on a name that is no name of a folder, or a negative weight."""
        super().__post_init__()
        if self.name:
            check_name(self.name)
        object.__setattr__(self, "weight", real(self.weight, "weight", 0))


@dataclass(frozen=True)
class PretrainConfig(TrainConfig):
    """Training of the trunk; `from` is a run folder or its trunk/SEED to take the trunk and adapter from."""

    from_: str = ""


@dataclass(frozen=True)
class AdaptConfig(TrainConfig):
    """Training on the target environment, once per mode and seed.

    `inherit_from` names the source whose adapter is taken over, where there are several.
    """

    modes: tuple[str, ...] = ("embeddings",)
    inherit: str = "none"
    inherit_from: str = ""

    def __post_init__(self) -> None:
        """Raises TransferError on a number out of range, when no mode is named or one is named twice."""
        super().__post_init__()
        if not self.modes:
            raise TransferError("adapt.modes is empty: name at least one, as in --modes embeddings+ia3")
        if len(set(self.modes)) != len(self.modes):
            raise TransferError(f"adapt.modes names a mode twice: {', '.join(self.modes)}")
        if self.inherit not in ("none", "action"):
            raise unknown("adapt.inherit", self.inherit, ("none", "action"))


@dataclass(frozen=True)
class EvalConfig:
    """Episodes in the environment: how many, what the policy is asked for, decoded how.

    An entry of `ask` is a table of what is asked for by name, as {return = "p95"}; {} asks for the method's default.
    A return is `max`, `pNN` (that percentile of the dataset's returns), a raw return, `calibrated` (the best target of
    the adapter's calibration) or `best` (the same, and p95 without a calibration); other names take what the method
    understands. A calibration plays `calibrate` episodes for each of a few returns after training (0: none). Every
    `probe_every` steps (0: never), `probe_episodes` episodes are played during training.
    """

    episodes: int = 100
    ask: tuple[Mapping[str, Any], ...] = ({},)
    envs: int = 100
    decode: str = "autoregressive"
    calibrate: int = 10
    probe_every: int = 0
    probe_episodes: int = 10

    def __post_init__(self) -> None:
        """Raises TransferError on a count below its least value, an unreadable entry or an unknown decode."""
        for key, (least, most) in COUNTS.items():
            object.__setattr__(self, key, whole(getattr(self, key), f"eval.{key}", least, most))
        check_asks(self.ask, "eval.ask")
        if self.decode not in DECODES:
            raise unknown("eval.decode", self.decode, DECODES)
        if any(one.get("return") == "calibrated" for one in self.ask) and not self.calibrate:
            raise TransferError("eval.ask names calibrated, but eval.calibrate is 0: set it to 10 episodes, say")


@dataclass(frozen=True)
class RunSettings:
    """Seeds, one complete run each, and the machine. `threads` is a number, or "auto": a run settles it at its start.

    `imports` are the user's own modules, in the working folder or installed, which are imported first. `held_out` keeps
    a tenth of the episodes out of every training, to measure the error of the predicted actions on them.
    """

    seeds: tuple[int, ...] = (0,)
    device: str = "auto"
    threads: Any = AUTO
    precision: str = "auto"
    compile: bool = False
    imports: tuple[str, ...] = ()
    held_out: bool = False

    def __post_init__(self) -> None:
        """Raises TransferError on no seed, a seed twice or out of range, a name of no module, an unknown precision."""
        for module in self.imports:
            if not all(part.isidentifier() for part in module.split(".")):
                raise TransferError(f"run.imports has {seen(module)}; names of modules are needed, as my_env")
        seeds = tuple(whole(seed, "run.seeds", 0, MOST_SEED) for seed in self.seeds)
        if not seeds or len(set(seeds)) != len(seeds):
            raise TransferError(f"run.seeds wants distinct whole numbers from 0, got {seen(list(seeds))}")
        object.__setattr__(self, "seeds", seeds)
        if self.threads == AUTO or (type(self.threads) is int and self.threads == 0):  # 0: of older versions
            object.__setattr__(self, "threads", AUTO)
        else:
            object.__setattr__(self, "threads", whole(self.threads, "run.threads", 1, MOST_THREADS))
        if self.precision not in PRECISIONS:
            raise unknown("run.precision", self.precision, PRECISIONS)


SECTIONS: dict[str, type] = {
    "source": SourceConfig,
    "target": DataConfig,
    "trunk": TrunkConfig,
    "pretrain": PretrainConfig,
    "adapt": AdaptConfig,
    "eval": EvalConfig,
    "run": RunSettings,
}
"""Sections whose keys are the fields of a dataclass; `[adapter]` and `[method]` hold parts, see `OWN`."""
"""Parts of every adapter; other tables under `[adapter]` are further groups of a method."""
MOVED = {
    **{f"adapter.{name}": f"adapter.action.{name}" for name in ("tokenizer", "bins", "ranges", "readout")},
    **{f"adapter.{name}": f"adapter.{name}.kind" for name in OWN},
    "method": "method.kind",
}
"""Keys of older versions -> keys of today."""


@cache
def plain_keys() -> tuple[str, ...]:
    """Every `section.key` that is no option of a part."""
    plain = (f"{name}.{key}" for name, kind in SECTIONS.items() for key in fields_of(kind))
    return (*plain, "adapter.out_of_bounds", "adapter.state.kind", "adapter.action.kind", "method.kind")


@cache
def known_keys() -> tuple[str, ...]:
    """Every `section.key`, with the options of the default parts."""
    parts = {"adapter": adapter_table(AdapterConfig(tuning=DEFAULT_TUNING)), "method": DEFAULT_METHOD.to_json()}
    return tuple(dict.fromkeys([*plain_keys(), *flatten(parts)]))


def check_section(name: str, values: object) -> None:
    """Raise TransferError for an unknown section, or one with a key or type of value that it does not have."""
    known = [*SECTIONS, "adapter", "method", "matrix"]
    if name in known_keys():
        raise TransferError(f"the key {name} is in quotes: write it without, or as a key of [{name.partition('.')[0]}]")
    if name not in known:
        raise unknown("section", name, known) if isinstance(values, Mapping) else unknown_key(known_keys(), name)
    check_moved(name, values)
    each = values if name == "source" and isinstance(values, list) and values else [values]
    for table in each:
        if not isinstance(table, Mapping):
            raise TransferError(f"'{name}' is a section, not a value: write {name}.KEY; got {seen(table)}")
        for key, value in table.items():
            _check_key(name, key, value)


def _check_key(name: str, key: str, value: object) -> None:
    """Raise TransferError for a key that a section does not have, or a value of another type."""
    dotted = f"{name}.{key}"
    if name in SECTIONS:
        fields = fields_of(SECTIONS[name])
        if key not in fields:
            check_moved(dotted, value)
            raise unknown_key(known_keys(), dotted)
        convert(dotted, value, fields[key][1])
        return
    if name == "adapter" and key != "out_of_bounds":
        check_moved(dotted, value)
        if not isinstance(value, Mapping):
            raise unknown_key(known_keys(), dotted)
        for option, one in value.items():
            check_size(f"{dotted}.{option}", one)
        return
    check_size(dotted, value) if name == "method" else convert(dotted, value, str)


def check_moved(key: str, value: object) -> None:
    """Raise TransferError with the spelling of today for a key of an older version, or an option without its part."""
    if key == "eval.targets":
        raise TransferError(
            'eval.targets is now eval.ask, a table for each: write ask = [{return = "p95"}] under [eval], or '
            "--set 'eval.ask=[{return=\"p95\"}]'"
        )
    if key in MOVED and not isinstance(value, Mapping):
        raise TransferError(f"{key} is now {MOVED[key]}: {_written(MOVED[key], value)}")
    name, _, option = key.rpartition(".")
    if name == "adapter" and not isinstance(value, Mapping) and f"adapter.tuning.{option}" not in known_keys():
        for kind in takers(TUNING, [option])[:1]:
            setting = f"adapter.tuning.{option}"
            kinds = f"a kind of tuning such as {kind}, --set adapter.tuning.kind={kind}"
            raise TransferError(f"{key} is {setting}, an option of {kinds}: {_written(setting, value)}")


def _written(setting: str, value: object) -> str:
    """How to write a setting, in a file and on the command line."""
    table, _, key = setting.rpartition(".")
    text = json.dumps(str(value) if key == "kind" else value, default=str, ensure_ascii=False)[:80]
    typed = shlex.quote(str(value) if isinstance(value, str) else text.strip('"'))
    return f"write {key} = {text} under [{table}], or --set {setting}={typed}"


def takers(part: str, options: Collection[str]) -> list[str]:
    """The kinds of a part that take some options."""
    found = []
    for kind in registry.known(part):
        with suppress(BrokenKind):
            found += [kind] if registry.options_of(part, kind).keys() >= set(options) else []
    return found


def adapter_table(config: AdapterConfig) -> dict[str, Any]:
    """The section of the parts of adapters."""
    tuning = {} if config.tuning is None else config.tuning.to_json()
    own = {"state": config.state.to_json(), "action": config.action.to_json(), "tuning": tuning}
    others = {name: spec.to_json() for name, spec in config.others.items()}
    return {"out_of_bounds": config.out_of_bounds, **own, **others}
