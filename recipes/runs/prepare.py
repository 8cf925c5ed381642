"""The steps before the first update of a run: checks, data, and config.toml in its folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path

import torch

from transfer.data.environment.building.importing import import_from_here
from transfer.data.environment.spec import EnvironmentSpec
from transfer.data.windows import check_context
from transfer.errors import TransferError
from transfer.recipes.programs.modes import find_modes
from transfer.recipes.programs.source_names import default_name, twice
from transfer.recipes.runs.checks import check_inherit_from, check_parts, load_origin, missing_trunks, use_threads
from transfer.recipes.runs.datasets import Data, Say, environment_of, load, named, obtain
from transfer.recipes.runs.folder import settle, with_cells
from transfer.recipes.runs.making import make
from transfer.recipes.runs.used import TARGET, Used, dump_used, read_used, source_key
from transfer.recipes.settings.config import RunConfig, config_table, dump_config
from transfer.recipes.settings.own_modules import named_modules
from transfer.recipes.settings.sections import DataConfig, SourceConfig
from transfer.runtime.devices import find_device
from transfer.runtime.distributed import check_shares, own_device, rank
from transfer.storage.files import as_path, write_text


@dataclass(frozen=True)
class Prepared:
    """A run whose folder says all that its cells need.

    Attributes:
        config: with the modes and seeds of this start.
        folder: where it is written.
        device: where it computes.
        found: the data by key of `[used]`.
        used: what these came to mean, and what the run used before.
        text: of config.toml.
    """

    config: RunConfig
    folder: Path
    device: torch.device
    found: Mapping[str, Data]
    used: Mapping[str, Used]
    text: str

    def write(self) -> None:
        """Write config.toml on rank 0: from now on the folder is that of the run."""
        if rank() == 0:
            write_text(self.folder / "config.toml", self.text)


def prepare(config: RunConfig, folder: Path, resume: bool, say: Say, jobs: int = 1) -> Prepared:
    """Check everything and have the data at hand; nothing is written into the folder.

    Raises:
        TransferError: as `transfer.recipes.programs.run.run`.
    """
    import_from_here(named_modules(config_table(config)))
    modes = find_modes(config.adapt.modes)
    device = find_device(own_device(config.run.device))
    config = with_cells(with_whole_origin(config), [mode.name for mode in modes], config.run.seeds)
    whole = settle(folder, config, resume)
    before = read_used(folder / "config.toml")
    pretrains = any(mode.needs_pretraining for mode in modes) and bool(missing_trunks(config, folder))
    bodies = bodies_of(config)
    data = {key: before[key].data if key in before else named(one) for key, one in bodies.items()}
    if config.adapt.inherit_from and not config.pretrain.from_:
        check_inherit_from(config, names_of(bodies, specs_of(bodies, data)))
    if not pretrains:
        bodies = {TARGET: bodies[TARGET]}
    for key in {section_of(key) for key in bodies}:
        check_shares(getattr(config, key).batch_size, f"{key}.batch_size")
    specs = specs_of(bodies, data)
    names = names_of(bodies, specs)
    check_parts(config, modes, folder, specs[TARGET], {name: specs[key] for name, key in names.items()})
    use_threads(config.run.threads)
    data |= {key: obtain(key, one, before.get(key), say) for key, one in bodies.items()}
    make([name for key in bodies for name in data[key]], say, jobs)
    loaded: dict[str, Data] = {}
    for key, one in bodies.items():
        loaded[key] = load(key, one, data[key], before.get(key), say, config.run.held_out)
        check_data(config, key, loaded[key])
    if config.run.held_out:
        check_apart(loaded)
        if config.pretrain.from_ and any(mode.needs_pretraining for mode in modes):
            check_unseen(config, folder, loaded[TARGET])
    called = {key: name for name, key in names.items()}
    used = {key: Used(data[key], one.episodes.content_hash, called.get(key, "")) for key, one in loaded.items()}
    return Prepared(config, folder, device, loaded, before | used, dump_config(whole) + dump_used(before | used))


def check_apart(found: Mapping[str, Data]) -> None:
    """Raise TransferError where episodes that one body holds out may be trained on by another."""
    for one, other in combinations(found, 2):
        shared = {*found[one].episodes.dataset_ids} & {*found[other].episodes.dataset_ids}
        if shared and found[one].content != found[other].content:
            raise TransferError(
                f"[{one}] and [{other}] both hold {', '.join(sorted(shared))}, and not the same episodes in all: some "
                "that one holds out would be trained on by the other. Give both the same data, or set "
                "--set run.held_out=false"
            )


def check_unseen(config: RunConfig, folder: Path, target: Data) -> None:
    """Raise TransferError where a trunk from elsewhere was trained on data that the target holds some of out."""
    for seed in config.run.seeds:
        origin = load_origin(config, folder, seed)
        told = origin[0].provenance if origin is not None else None
        shared = {*(told.datasets or ())} & {*target.episodes.dataset_ids} if told is not None else set()
        if told is not None and shared and told.content_hash != target.episodes.content_hash:
            raise TransferError(
                f"the trunk of seed {seed} in pretrain.from was trained on {', '.join(sorted(shared))}, perhaps on "
                "what [target] holds out of it. Take one that was pretrained with run.held_out on the same data, or "
                "--set run.held_out=false"
            )


def bodies_of(config: RunConfig) -> dict[str, DataConfig]:
    """The settings of the data of each body, by its key in `[used]`; sources first."""
    count = len(config.source)
    return {**{source_key(number, count): one for number, one in enumerate(config.source)}, TARGET: config.target}


def section_of(key: str) -> str:
    """The section of the training on a body."""
    return "adapt" if key == TARGET else "pretrain"


def specs_of(bodies: Mapping[str, DataConfig], data: Mapping[str, Sequence[str]]) -> dict[str, EnvironmentSpec]:
    """The environment of each body that has data, by its key."""
    return {key: environment_of(data[key], one.env) for key, one in bodies.items() if data[key]}


def names_of(bodies: Mapping[str, DataConfig], specs: Mapping[str, EnvironmentSpec]) -> dict[str, str]:
    """Name of each source -> its key; that of its environment where it has none of its own.

    Raises:
        TransferError: two of one name, or of names that differ in their case alone.
    """
    sources = {key: one for key, one in bodies.items() if isinstance(one, SourceConfig) and key in specs}
    names = [one.name or default_name(specs[key].name) for key, one in sources.items()]
    if pair := twice(names):
        raise TransferError(
            f"two [[source]] tables are of '{pair[1]}': join them as one, data = [...], or give each a name of "
            'its own, as name = "other"'
        )
    return dict(zip(names, sources, strict=True))


def check_data(config: RunConfig, key: str, data: Data) -> None:
    """Raise TransferError for data without a window of the context, or an environment that cannot be built."""
    section = section_of(key)
    check_context(data.episodes, getattr(config, section).context, f"{section}.context")
    try:  # built once now, so that a missing environment does not cost the whole training
        data.episodes.env_spec.make().close()
    except TransferError as error:
        raise TransferError(f"[{key}] the run could not play what it trains: {error}") from error


def with_whole_origin(config: RunConfig) -> RunConfig:
    """The config with `pretrain.from` as an absolute path: a run may go on from another working folder."""
    origin = str(as_path(config.pretrain.from_, "pretrain.from").absolute()) if config.pretrain.from_ else ""
    return replace(config, pretrain=replace(config.pretrain, from_=origin))
