"""Checks of a run before anything is made, downloaded, trained or written."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import torch

from transfer.adapters.build import build_adapter
from transfer.data.environment.spec import EnvironmentSpec
from transfer.data.episodes import Episodes
from transfer.errors import TransferError, unknown
from transfer.models.acting import PolicyModel
from transfer.models.adapter import Adapter
from transfer.models.sequence_model import TransferModel
from transfer.models.trunk import Trunk
from transfer.recipes.programs.building import build_model
from transfer.recipes.programs.modes import Mode, new_trunk, with_tuning
from transfer.recipes.programs.source_names import default_name
from transfer.recipes.runs.cells import done, result_files, sources_of, whole_parts
from transfer.recipes.runs.results import read_results
from transfer.recipes.settings.config import RunConfig
from transfer.recipes.settings.pretrained import find_trunk
from transfer.storage.fingerprints import fingerprint

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


Pretrained = tuple[Trunk, dict[str, Adapter]]
"""A pretrained trunk, and the adapters that came with it by the names of their sources."""


def load_source(home: Path) -> Pretrained:
    """The trunk in a trunk/SEED folder with its adapters.

    Raises:
        TransferError: one is missing or damaged, or they are not those of the data that the trunk was trained on.
    """
    trunk, parts = Trunk.load(home / "trunk"), whole_parts(home)
    if parts == [home]:
        adapter = Adapter.load(home / "adapter", trunk)
        return trunk, {next(iter(sources_of(home)), default_name(adapter.env_spec.name)): adapter}
    adapters = {part.name: Adapter.load(part, trunk) for part in parts}
    told = trunk.provenance.datasets or ()
    if sorted(name for one in adapters.values() for name in one.provenance.datasets or ()) != sorted(told):
        raise TransferError(
            f"{home} has adapters for {', '.join(adapters)}, and its trunk was trained on {', '.join(told)}: bring the "
            "folders of its sources back as they were."
        )
    return trunk, adapters


def takes_over(config: RunConfig, mode: Mode) -> bool:
    """Whether a mode takes something over from the adapter of a source."""
    return bool(mode.inherits) or (config.adapt.inherit != "none" and mode.trunk not in ("own", "none"))


def source_of(config: RunConfig, mode: Mode, adapters: Mapping[str, Adapter]) -> Adapter | None:
    """The adapter that a mode takes over from; None where it takes nothing over and there are several.

    Raises:
        TransferError: `adapt.inherit_from` names none of several adapters, or is empty where one is needed.
    """
    check_inherit_from(config, adapters)
    if wanted := config.adapt.inherit_from:
        return adapters[wanted]
    if len(adapters) == 1:
        return next(iter(adapters.values()))
    if takes_over(config, mode):
        raise TransferError(
            f"mode '{mode.name}' takes over parts of the adapter of a source, and there are several: "
            f"{', '.join(adapters)}. Name one: --set adapt.inherit_from={min(adapters)}"
        )
    return None


def check_inherit_from(config: RunConfig, names: Collection[str]) -> None:
    """Raise TransferError where `adapt.inherit_from` names none of the sources."""
    if config.adapt.inherit_from and config.adapt.inherit_from not in names:
        hint = "" if names else "No data are named under [source]: name some there, or leave it out."
        raise unknown("source in adapt.inherit_from", config.adapt.inherit_from, names, hint)


def missing_trunks(config: RunConfig, folder: Path) -> list[int]:
    """The seeds whose trunk has yet to be pretrained in a run folder.

    Raises:
        TransferError: there are some, and no data to pretrain on.
    """
    if config.pretrain.from_:
        return []
    seeds = [seed for seed in config.run.seeds if not done(folder / "trunk" / str(seed))]
    if seeds and not any(one.data or one.fallback for one in config.source):
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
    sources: Mapping[str, EnvironmentSpec],
) -> None:
    """Build the model of every mode once, on stand-ins for the data, so that none of them fails hours later.

    `sources` are the environments of a pretraining to come; `folder` is that of the run, which may hold trunks already.

    Raises:
        TransferError: parts that do not go together, parts that would be inherited and cannot, something that a policy
            cannot be asked for, a trunk that is missing, damaged or, under `pretrain.from`, of another size.
    """
    small = replace(config.trunk, width=2 * config.trunk.heads, depth=1)  # widths play no part in what fits what
    origins: list[tuple[Trunk | None, Mapping[str, Adapter]]] = []
    if sources:
        given = config.adapter, 0
        made = {
            name: build_adapter(stand_in(one), small, *given, method=config.method) for name, one in sources.items()
        }
        random = new_trunk(small, 0, config.method)
        origins.append((random, made))
        for name, adapter in made.items():
            check_asked(config, TransferModel(random, adapter), f"the policy of the source {name}")
    if any(mode.needs_pretraining for mode in modes) or (config.pretrain.from_ and config.adapt.inherit_from):
        origins += [origin for seed in config.run.seeds if (origin := load_origin(config, folder, seed)) is not None]
    episodes = stand_in(target)
    for trunk, adapters in origins or [(None, {})]:
        sizes = trunk.config if trunk is not None else small
        for mode in modes:
            source = source_of(config, mode, adapters) if adapters else None
            kinds, inherit = with_tuning(mode, config.adapter, True), config.adapt.inherit
            model, _ = build_model(mode, trunk, episodes, sizes, kinds, source, inherit, 0, method=config.method)
            check_asked(config, model, f"mode '{mode.name}'")


def check_asked(config: RunConfig, model: PolicyModel, whose: str) -> None:
    """Raise TransferError, which begins with `whose` policy it is, for an entry of `eval.ask` that it does not take."""
    for ask in config.eval.ask:
        try:
            asked = model.asked({name: 0.0 if name == "return" else value for name, value in ask.items()})
            model.command(np.zeros(1, np.int64), asked)
        except TransferError as error:
            raise TransferError(f"eval.ask for {whose}: {error}") from error


def load_origin(config: RunConfig, folder: Path, seed: int) -> Pretrained | None:
    """Trunk and source adapters of a seed: under `pretrain.from`, or pretrained by this run; None where it has not."""
    if config.pretrain.from_:
        home = find_trunk(Path(config.pretrain.from_), seed)
        trunk, adapters = load_source(home)
        wanted, have = asdict(config.trunk), asdict(trunk.config)
        changes = [f"--set trunk.{key}={have[key]}" for key in have if have[key] != wanted[key]]
        if changes:
            raise TransferError(f"the trunk in {home} has other sizes than [trunk] says. Add {' '.join(changes)}")
        check_same_origin(folder, seed, home, trunk, adapters)
        return trunk, adapters
    home = folder / "trunk" / str(seed)
    try:
        return load_source(home) if done(home) else None
    except TransferError as error:
        raise TransferError(f"{error} Remove {home} to pretrain again with --resume.") from error


def check_same_origin(folder: Path, seed: int, home: Path, trunk: Trunk, adapters: Mapping[str, Adapter]) -> None:
    """Raise TransferError where a run has results of a seed on another trunk or source adapter than those of today."""
    now = fingerprint(trunk)
    sources = {name: fingerprint(one) for name, one in adapters.items()}
    for file in result_files(folder):
        found = read_results(file)
        if found.seed != seed:
            continue
        pairs = [("trunk", found.trunk.pretrained or now, now)]
        if found.source is not None:
            name = found.source.name
            pairs.append((f"adapter of {name}", found.source.fingerprint, sources.get(name, "none")))
        for what, then, today in pairs:
            if then != today:
                raise TransferError(
                    f"the {what} in {home} changed since {file.parent} was made: fingerprint {then[:12]} then, "
                    f"{today[:12]} now. What is trained next would not compare with it: bring the old one back, or "
                    "start anew under another --name."
                )


def stand_in(spec: EnvironmentSpec) -> Episodes:
    """One episode of two steps, all zero, with the state vectors and actions of an environment."""
    states, actions, rewards = (
        np.zeros((2, *size), np.float32) for size in ([spec.state_size], [spec.action_size], [])
    )
    return Episodes(states, actions, rewards, np.array([0, 2]), spec, (f"a stand-in for {spec.name}",))
