"""Checks of a run before anything is made, downloaded, trained or written."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import torch

from transfer.adapters.build import build_adapter
from transfer.data.environment.spec import EnvironmentSpec
from transfer.data.episodes import Episodes
from transfer.errors import TransferError
from transfer.models.adapter import Adapter
from transfer.models.trunk import Trunk
from transfer.recipes.programs.adapt import build_model
from transfer.recipes.programs.modes import Mode, new_trunk, with_tuning
from transfer.recipes.settings.config import RunConfig
from transfer.recipes.settings.pretrained import find_trunk

THREADS_A_CORE = 16


def use_threads(count: int) -> None:
    """Let PyTorch use `count` CPU threads; 0 leaves their number alone.

    Raises:
        TransferError: far more than this machine has cores: starting them would end the process.
    """
    most = THREADS_A_CORE * (os.cpu_count() or 1)
    if count > most:
        raise TransferError(f"{count} CPU threads are too many for this machine: it takes {most} at most.")
    if count:
        torch.set_num_threads(count)


def load_source(home: Path) -> tuple[Trunk, Adapter]:
    """A pretrained trunk and the adapter that came with it."""
    trunk = Trunk.load(home / "trunk")
    return trunk, Adapter.load(home / "adapter", trunk)


def missing_trunks(config: RunConfig, folder: Path) -> list[int]:
    """The seeds whose trunk has yet to be pretrained in a run folder.

    Raises:
        TransferError: there are some, and no data to pretrain on.
    """
    if config.pretrain.from_:
        return []
    seeds = [seed for seed in config.run.seeds if not (folder / "trunk" / str(seed) / "results.json").is_file()]
    if seeds and not (config.source.data or config.source.fallback):
        raise TransferError(
            f"{', '.join(config.adapt.modes)}: a pretrained trunk is needed. Name data under [source], as in "
            "--set source.fallback=hopper/medium-expert, or take a trunk with --set pretrain.from=RUN"
        )
    return seeds


def check_parts(
    config: RunConfig,
    modes: Sequence[Mode],
    folder: Path,
    target: EnvironmentSpec,
    source: EnvironmentSpec | None = None,
) -> None:
    """Build the model of every mode once, on stand-ins for the data, so that none of them fails hours later.

    `source` is the environment of a pretraining to come; `folder` is that of the run, which may hold trunks already.

    Raises:
        TransferError: parts that do not go together, parts that would be inherited and cannot, a trunk that is
            missing, damaged or, under `pretrain.from`, of another size.
    """
    small = replace(config.trunk, width=2 * config.trunk.heads, depth=1)  # widths play no part in what fits what
    origins: list[tuple[Trunk | None, Adapter | None]] = []
    if source is not None:
        origins.append((new_trunk(small, 0), build_adapter(stand_in(source), small, config.adapter.config())))
    if any(mode.needs_pretraining for mode in modes):
        origins += [origin for seed in config.run.seeds if (origin := load_origin(config, folder, seed)) is not None]
    episodes = stand_in(target)
    for trunk, adapter in origins or [(None, None)]:
        sizes = trunk.config if trunk is not None else small
        for mode in modes:
            build_model(
                mode,
                trunk,
                episodes,
                sizes,
                with_tuning(mode, config.adapter.config()),
                adapter,
                config.adapt.inherit,
                0,
            )


def load_origin(config: RunConfig, folder: Path, seed: int) -> tuple[Trunk, Adapter] | None:
    """Trunk and source adapter of a seed: under `pretrain.from`, or pretrained by this run; None where it has not."""
    if config.pretrain.from_:
        home = find_trunk(Path(config.pretrain.from_), seed)
        trunk, adapter = load_source(home)
        wanted, have = asdict(config.trunk), asdict(trunk.config)
        changes = [f"--set trunk.{key}={have[key]}" for key in have if have[key] != wanted[key]]
        if changes:
            raise TransferError(f"the trunk in {home} has other sizes than [trunk] says. Add {' '.join(changes)}")
        return trunk, adapter
    home = folder / "trunk" / str(seed)
    try:
        return load_source(home) if (home / "results.json").is_file() else None
    except TransferError as error:
        raise TransferError(f"{error} Remove {home} to pretrain again with --resume.") from error


def stand_in(spec: EnvironmentSpec) -> Episodes:
    """One episode of two steps, all zero, with the state vectors and actions of an environment."""
    states, actions, rewards = (
        np.zeros((2, *size), np.float32) for size in ([spec.state_size], [spec.action_size], [])
    )
    return Episodes(states, actions, rewards, np.array([0, 2]), spec, (f"a stand-in for {spec.name}",))
