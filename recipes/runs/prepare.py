"""The steps before the first update of a run: checks, data, and config.toml in its folder."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import torch

from transfer.data.environment.building.importing import import_from_here
from transfer.data.episodes import Episodes
from transfer.data.windows import check_context
from transfer.errors import TransferError
from transfer.recipes.programs.modes import Mode, find_modes
from transfer.recipes.runs.checks import check_parts, missing_trunks, use_threads
from transfer.recipes.runs.datasets import Say, environment_of, load, make, named, obtain
from transfer.recipes.runs.folder import settle, with_cells
from transfer.recipes.runs.used import SECTIONS, Used, dump_used, read_used
from transfer.recipes.settings.config import RunConfig, dump_config
from transfer.recipes.settings.own_modules import named_modules
from transfer.runtime.devices import find_device
from transfer.runtime.distributed import check_shares, own_device, rank
from transfer.storage.files import as_path, write_text

TRAINING = {"source": "pretrain", "target": "adapt"}
"""Section of the data -> section of the training on them."""


@dataclass(frozen=True)
class Job:
    """A run that is ready to begin; `source` is None when nothing is pretrained, `say` takes lines for people."""

    config: RunConfig
    folder: Path
    device: torch.device
    say: Say
    modes: list[Mode]
    source: Episodes | None
    target: Episodes


def prepare(config: RunConfig, folder: Path, resume: bool, say: Say) -> Job:
    """Check everything, have the data at hand and write config.toml.

    Raises:
        TransferError: as `transfer.recipes.programs.run.run`. Nothing is written then.
    """
    import_from_here(named_modules(config))
    modes = find_modes(config.adapt.modes)
    device = find_device(own_device(config.run.device))
    config = with_cells(with_whole_origin(config), [mode.name for mode in modes], config.run.seeds)
    whole = settle(folder, config, resume)
    before = read_used(folder / "config.toml")
    pretrains = any(mode.needs_pretraining for mode in modes) and bool(missing_trunks(config, folder))
    sections = SECTIONS if pretrains else ("target",)
    for section in sections:
        key = TRAINING[section]
        check_shares(getattr(config, key).batch_size, f"{key}.batch_size")
    data = {name: before[name].data if name in before else named(getattr(config, name)) for name in SECTIONS}
    envs = {name: getattr(config, name).env for name in SECTIONS}
    check_parts(config, modes, folder, *(environment_of(data[name], envs[name]) for name in reversed(sections)))
    use_threads(config.run.threads)
    for section in sections:
        data[section] = obtain(section, getattr(config, section), before.get(section), say)
        make(data[section], say)
    episodes: dict[str, Episodes] = {}
    for section in sections:
        episodes[section] = load(section, data[section], before.get(section), say, envs[section])
        check_context(episodes[section], getattr(config, TRAINING[section]).context, f"{TRAINING[section]}.context")
        try:  # built once now, so that a missing environment does not cost the whole training
            episodes[section].env_spec.make().close()
        except TransferError as error:
            raise TransferError(f"[{section}] the run could not play what it trains: {error}") from error
    if rank() == 0:
        used = {name: Used(data[name], one.content_hash) for name, one in episodes.items()}
        write_text(folder / "config.toml", dump_config(whole) + dump_used(before | used))
    return Job(config, folder, device, say, modes, episodes.get("source"), episodes["target"])


def with_whole_origin(config: RunConfig) -> RunConfig:
    """The config with `pretrain.from` as an absolute path: a run may go on from another working folder."""
    origin = str(as_path(config.pretrain.from_, "pretrain.from").absolute()) if config.pretrain.from_ else ""
    return replace(config, pretrain=replace(config.pretrain, from_=origin))
