"""Settings of a run: a frozen dataclass per TOML section, read from a file.

Precedence, weakest first: the dataclass defaults, the preset or file, its `[quick]` table under `--quick`,
`--set section.key=value` in the order given, then the other options of the command.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import tomli_w

from transfer.decoding.planner import DECODES
from transfer.errors import TransferError, unknown
from transfer.models.steps.adapter_config import AdapterConfig
from transfer.models.trunk import TrunkConfig
from transfer.numbers import MOST_ENVS, MOST_EPISODES, MOST_SEED, MOST_STEPS, MOST_THREADS, seen, whole
from transfer.recipes.settings.presets import find_config
from transfer.recipes.settings.pretrained import sizes_of
from transfer.recipes.settings.target_names import check_targets
from transfer.recipes.settings.toml import parse_toml
from transfer.recipes.settings.typed import build, dotted_keys, flatten, from_text, toml_key, unknown_key
from transfer.registry import PartSpec, check, complete, options_of
from transfer.runtime.devices import PRECISIONS
from transfer.training.train_config import TrainConfig

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
    environment to play in, as "Hopper-v5" or "my_env:MyEnv-v0", in place of the one in the data.
    """

    data: tuple[str, ...] = ()
    fallback: str = ""
    env: str = ""


@dataclass(frozen=True)
class AdapterSettings:
    """Kinds of the parts of adapters, and options of the action embedding, as `AdapterConfig` has them.

    An option that the chosen action embedding does not take is left out.
    """

    state: str = "mlp"
    action: str = "ActionTokenizedSpreadEmbedding"
    tokenizer: str = "quantile"
    bins: int = 64
    ranges: str = "shared+index"
    readout: str = "regression"
    out_of_bounds: str = "clip"

    def __post_init__(self) -> None:
        """Raises TransferError on an unknown kind or an unsound option."""
        self.config()

    def config(self) -> AdapterConfig:
        """As the library takes them."""
        check("action", self.action)
        every = {name: getattr(self, name) for name in ("tokenizer", "bins", "ranges", "readout")}
        complete("action", PartSpec(AdapterSettings.action, every))  # unsound ones are refused, whoever takes them
        options = {name: getattr(self, name) for name in options_of("action", self.action)}
        if "readout" not in options and self.readout != AdapterSettings.readout:
            raise TransferError(
                f"adapter.readout '{self.readout}' is none of {self.action}'s, whose readout is one of its own. Leave "
                f"readout at '{AdapterSettings.readout}', or choose a spread embedding."
            )
        return AdapterConfig(PartSpec(self.state), PartSpec(self.action, options), out_of_bounds=self.out_of_bounds)


@dataclass(frozen=True)
class PretrainConfig(TrainConfig):
    """Training of the trunk; `from` is a run folder or its trunk/SEED to take the trunk and adapter from."""

    from_: str = ""


@dataclass(frozen=True)
class AdaptConfig(TrainConfig):
    """Training on the target environment, once per mode and seed."""

    modes: tuple[str, ...] = ("embeddings",)
    inherit: str = "none"

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
    """Episodes in the environment: how many, with which target returns, decoded how.

    A target is `max`, `pNN` (that percentile of the dataset's returns), a raw return as text, `calibrated` (the best
    target of the adapter's calibration) or `best` (the same, and p95 without a calibration). A calibration plays
    `calibrate` episodes for each of a few targets after training (0: none). Every `probe_every` steps (0: never),
    `probe_episodes` episodes are played during training.
    """

    episodes: int = 100
    targets: tuple[str, ...] = ("best",)
    envs: int = 100
    decode: str = "autoregressive"
    calibrate: int = 10
    probe_every: int = 0
    probe_episodes: int = 10

    def __post_init__(self) -> None:
        """Raises TransferError on a count below its least value, an unreadable target or an unknown decode."""
        for key, (least, most) in COUNTS.items():
            object.__setattr__(self, key, whole(getattr(self, key), f"eval.{key}", least, most))
        check_targets(self.targets, "eval.targets")
        if self.decode not in DECODES:
            raise unknown("eval.decode", self.decode, DECODES)
        if "calibrated" in self.targets and not self.calibrate:
            raise TransferError("eval.targets names calibrated, but eval.calibrate is 0: set it to 10 episodes, say")


@dataclass(frozen=True)
class RunSettings:
    """Seeds, one complete run each, and the machine. `threads = 0` leaves the number of threads alone.

    `imports` are the user's own modules, in the working folder or installed, which are imported first.
    """

    seeds: tuple[int, ...] = (0,)
    device: str = "auto"
    threads: int = 0
    precision: str = "auto"
    compile: bool = False
    imports: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Raises TransferError on no seed, a seed twice or out of range, or an unknown precision."""
        seeds = tuple(whole(seed, "run.seeds", 0, MOST_SEED) for seed in self.seeds)
        if not seeds or len(set(seeds)) != len(seeds):
            raise TransferError(f"run.seeds wants distinct whole numbers from 0, got {seen(list(seeds))}")
        object.__setattr__(self, "seeds", seeds)
        object.__setattr__(self, "threads", whole(self.threads, "run.threads", 0, MOST_THREADS))
        if self.precision not in PRECISIONS:
            raise unknown("run.precision", self.precision, PRECISIONS)


@dataclass(frozen=True)
class RunConfig:
    """A whole run. Sections and their keys are the TOML sections and keys."""

    source: DataConfig = field(default_factory=DataConfig)
    target: DataConfig = field(default_factory=DataConfig)
    trunk: TrunkConfig = field(default_factory=TrunkConfig)
    adapter: AdapterSettings = field(default_factory=AdapterSettings)
    pretrain: PretrainConfig = field(default_factory=PretrainConfig)
    adapt: AdaptConfig = field(default_factory=AdaptConfig)
    eval: EvalConfig = field(default_factory=EvalConfig)
    run: RunSettings = field(default_factory=RunSettings)

    def __post_init__(self) -> None:
        """Raises TransferError when there is nothing to adapt to."""
        if not self.target.data and not self.target.fallback:
            raise TransferError('[target] names no data: write data = ["mujoco/walker2d/medium-v0"] or set a fallback')


def training(section: TrainConfig, **changes: Any) -> TrainConfig:
    """The training settings of a section alone; its modes may change while a training is unfinished."""
    return TrainConfig(**{key.name: getattr(section, key.name) for key in dataclasses.fields(TrainConfig)} | changes)


def load_config(name_or_path: str, sets: Sequence[str] = (), quick: bool = False) -> RunConfig:
    """Read a preset, a TOML file or a run folder, apply overrides and check every key and type.

    The sizes under `[trunk]` are those of the trunk that `pretrain.from` names, unless the user's file or `sets` name
    sizes.

    Args:
        name_or_path: a preset's name, a .toml file, or a folder with a config.toml.
        sets: overrides `section.key=value`, later ones win.
        quick: apply the file's `[quick]` table first.

    Raises:
        TransferError: unknown section or key (with the closest), wrong type (with the value and the type wanted),
            bad TOML, or `quick` without a `[quick]` table.
    """
    settings = find_config(name_or_path)
    table = parse_toml(settings.text, settings.place)
    table.pop("used", None)  # what the run of this file came to use; another run looks for itself
    overrides = table.pop("quick", {})
    try:
        if not isinstance(overrides, Mapping):
            raise TransferError(
                f"'quick' is a section, not a value: write quick.adapt.steps = 1000; got {seen(overrides)}"
            )
        plain = config_table(build(RunConfig, table))
        # The quick table is checked even when unused, so that a typing error in it does not wait for its first use.
        shortened = apply(plain, flatten(overrides))
        build(RunConfig, shortened)
    except TransferError as error:
        raise TransferError(f"{settings.place}: {error}") from error
    if quick and not overrides:
        raise TransferError(f"--quick: {settings.place} has no [quick] table. Shorten it with --set adapt.steps=1000")
    changes = {}
    for item in sets:
        key, equals, value = item.partition("=")
        if not equals:
            raise TransferError(f"--set wants section.key=value, got '{item}'")
        changes[key.strip()] = from_text(RunConfig, key.strip(), value.strip())
    config = build(RunConfig, apply(shortened if quick else plain, changes))
    chosen = [*changes, *([] if settings.shipped else flatten(table))]
    if config.pretrain.from_ and not any(key.startswith("trunk.") for key in chosen):
        with suppress(TransferError):  # loading that trunk says what is wrong with it
            config = dataclasses.replace(config, trunk=sizes_of(config.pretrain.from_, config.run.seeds[0]))
    return config


def apply(table: Mapping[str, Mapping[str, object]], changes: Mapping[str, object]) -> dict[str, dict[str, object]]:
    """A copy of the table with values of `section.key` replaced. Raises TransferError for an unknown key."""
    result = {section: dict(values) for section, values in table.items()}
    for dotted, value in changes.items():
        if dotted not in dotted_keys(RunConfig):
            raise unknown_key(RunConfig, dotted)
        section, _, key = dotted.partition(".")
        result[section][key] = value
    return result


def config_table(config: RunConfig) -> dict[str, dict[str, object]]:
    """The config as plain sections of TOML values (tuples become lists)."""
    sections = dataclasses.asdict(config)
    return {
        name: {toml_key(key): list(value) if isinstance(value, tuple) else value for key, value in section.items()}
        for name, section in sections.items()
    }


def dump_config(config: RunConfig) -> str:
    """The config as TOML text; `load_config` of it gives an equal config."""
    return tomli_w.dumps(config_table(config))
