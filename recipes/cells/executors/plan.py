"""What a run or a matrix would do, and how long that takes: `transfer run X --dry-run`."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from transfer.data.environment.spec import EnvironmentSpec
from transfer.data.episodes import Episodes
from transfer.evaluation.calibration import TARGETS
from transfer.evaluation.evaluate import evaluate
from transfer.numbers import duration
from transfer.recipes.cells.identity import facts_of
from transfer.recipes.cells.run_cell import RunCell, cells_of
from transfer.recipes.programs.adapt import adapt
from transfer.recipes.programs.modes import find_mode, new_trunk
from transfer.recipes.programs.pretrain import pretrain
from transfer.recipes.runs.datasets import named
from transfer.recipes.runs.prepare import bodies_of, specs_of
from transfer.recipes.runs.used import TARGET, Used
from transfer.recipes.settings.config import RunConfig, training

WARM, TIMED = 2, 6  # updates before and while the clock runs
PLAYED = 5, 25  # steps of two short episodes: what they differ in has nothing of their beginning


@dataclass(frozen=True)
class Plan:
    """What is left to do.

    Attributes:
        runs, cells, finished: how many there are, and how many cells are finished.
        trainings: how many are left; cells of equal settings and data count once.
        train_seconds, play_seconds: of one core after another; episodes as long as their environment allows.
        jobs: cells at a time.
    """

    runs: int
    cells: int
    finished: int
    trainings: int
    train_seconds: float
    play_seconds: float
    jobs: int

    def __str__(self) -> str:
        """In three lines."""
        runs = f"{self.runs} runs, " if self.runs > 1 else ""
        at_once = f", {self.jobs} at a time" if self.jobs > 1 else ""
        train, play = duration(self.train_seconds), duration(self.play_seconds)
        whole = (self.train_seconds + self.play_seconds) / self.jobs
        return "\n".join(
            [
                f"{runs}{self.cells} cells, {self.finished} of them finished; {self.trainings} trainings are left",
                f"training {train}, playing {play} if no episode ends early",
                f"{duration(whole)} at most{at_once}; measured in a few steps of each kind here and now",
            ]
        )


def plan(runs: Mapping[Path, RunConfig], device: torch.device, jobs: int) -> Plan:
    """The plan of some runs, by their folders. Nothing is written, made or downloaded.

    Raises:
        TransferError: data whose environment is not known, or that cannot be played here.
    """
    kinds: dict[str, tuple[RunCell, RunConfig, dict[str, EnvironmentSpec]]] = {}
    cells = finished = 0
    for folder, config in runs.items():
        bodies = bodies_of(config)
        names = {key: named(one) for key, one in bodies.items()}
        used = {key: Used(some or ("none",), "") for key, some in names.items()}
        specs = specs_of(bodies, names)
        for cell in cells_of(config, folder):
            cells += 1
            if cell.finished:
                finished += 1
                continue
            same = json.dumps(signature(cell, config, used, device), sort_keys=True, default=str)
            kinds.setdefault(same, (cell, config, specs))
    timed: dict[str, tuple[float, float]] = {}
    train = play = 0.0
    for cell, config, specs in kinds.values():
        kind = json.dumps(shape(cell, config, specs), sort_keys=True, default=str)
        if kind not in timed:
            timed[kind] = measured(cell, config, specs, device)
        train, play = train + timed[kind][0], play + timed[kind][1]
    return Plan(len(runs), cells, finished, len(kinds), train, play, jobs)


def signature(cell: RunCell, config: RunConfig, used: Mapping[str, Used], device: torch.device) -> Any:
    """What tells a cell from others before anything is trained: its own facts and those of its trunk."""
    own = facts_of(cell, config, used, device)
    if own is not None:
        return own
    free = replace(cell, mode="scratch-adapt", needs_trunk=False)
    facts = [facts_of(one, config, used, device) for one in (free, cell.trunk_cell())]
    return [cell.mode, config.adapt.inherit, config.adapt.inherit_from, *facts]


def shape(cell: RunCell, config: RunConfig, specs: Mapping[str, EnvironmentSpec]) -> Any:
    """What decides how long a cell takes."""
    keys = [key for key in specs if (key != TARGET) == cell.pretrains]
    settings = training(config.pretrain if cell.pretrains else config.adapt)
    bodies = [specs[key].name for key in keys]
    kinds = [config.trunk, config.adapter, config.method, config.eval, config.run.threads]
    return [cell.mode, bodies, vars(settings), *map(repr, kinds)]


def measured(
    cell: RunCell, config: RunConfig, specs: Mapping[str, EnvironmentSpec], device: torch.device
) -> tuple[float, float]:
    """Seconds that the training and the episodes of a cell take, from a few steps on invented data."""
    section = config.pretrain if cell.pretrains else config.adapt
    mode = None if cell.pretrains else find_mode(cell.mode)
    more = config.pretrain.steps if mode is not None and mode.total_steps else 0
    data = {key: invented(spec, section.context) for key, spec in specs.items() if (key != TARGET) == cell.pretrains}
    given: dict[str, Any] = {"trunk_config": config.trunk, "adapter_config": config.adapter, "device": device}

    def trained(steps: int) -> tuple[float, list[Any]]:
        settings = training(section, steps=steps, warmup_steps=0, log_every=steps, save_every=steps)
        if mode is None:
            made = pretrain(list(data.values()), method=config.method, config=settings, **given)
            return made.fit.seconds, list(made.model.members().values())
        trunk = new_trunk(config.trunk, 0, config.method) if mode.needs_pretraining else None
        method = None if trunk is not None else config.method
        name = "embeddings" if mode.inherits else mode.name
        result = adapt(trunk, data[TARGET], name, method=method, config=settings, **given)
        return result.fit.seconds, [result.model]

    first, _ = trained(WARM)
    both, models = trained(WARM + TIMED)
    step = max(both - first, 1e-6) / TIMED
    return step * (section.steps + more), sum(played(model, config) for model in models)


def played(model: Any, config: RunConfig) -> float:
    """Seconds that the episodes of a cell take, each as long as its environment allows."""
    settings, spec = config.eval, model.env_spec
    most, number = spec.max_episode_steps or 1_000, min(config.eval.episodes, config.eval.envs)
    took = []
    for steps in PLAYED:
        began = time.perf_counter()
        evaluate(model, replace(spec, max_episode_steps=steps), number, num_envs=number, decode=settings.decode)
        took.append(time.perf_counter() - began)
    per_step = max(took[1] - took[0], 1e-6) / (number * (PLAYED[1] - PLAYED[0]))
    calibration = settings.calibrate * len(TARGETS) if "return" in model.asked({}) else 0
    probes = settings.probe_episodes * (config.adapt.steps // settings.probe_every) if settings.probe_every else 0
    return per_step * most * (settings.episodes * len(settings.ask) + calibration + probes)


def invented(spec: EnvironmentSpec, steps: int) -> Episodes:
    """Episodes of random steps, with the sizes of an environment."""
    rng, number = np.random.default_rng(0), 4 * max(steps, 8)
    sides = (spec.action_low, spec.action_high)
    low, high = (np.nan_to_num(np.asarray(side, np.float64), posinf=1.0, neginf=-1.0) for side in sides)
    arrays = {
        "states": rng.normal(size=(number, spec.state_size)).astype(np.float32),
        "actions": rng.uniform(low, high, (number, spec.action_size)).astype(np.float32),
        "rewards": rng.normal(size=number).astype(np.float32),
    }
    offsets = np.arange(0, number + 1, number // 4, dtype=np.int64)
    return Episodes(**arrays, offsets=offsets, env_spec=spec, dataset_ids=(f"invented for {spec.name}",))
