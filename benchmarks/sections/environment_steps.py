"""Environment steps a second: the library's planner in lockstep, over one environment with the window recomputed.

Walker2d-v5 that never ends, so that policies with random weights can be timed: real MuJoCo steps, actions clipped to
their range. The library plays episodes of three contexts as `evaluate` does, one half acting while the environments of
the other move. The shares of model and simulator, and the recomputed window, are timed one after the other, over whole
cycles of the planner's window behind its second restart.
"""

from __future__ import annotations

import copy
import statistics
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from typing import Any

import gymnasium
import numpy as np
import torch
from gymnasium.envs.registration import EnvSpec
from numpy.typing import NDArray
from torch import Tensor

from benchmarks.measuring.measure import Row, rounds, seconds
from benchmarks.measuring.models import SPREAD, WHOLE, Size, build, made_up
from benchmarks.measuring.players import Actor, Player, Recompute
from transfer import TransferModel
from transfer.decoding.planner import make_planner
from transfer.evaluation.rollout import rollout
from transfer.evaluation.slots import Slot, Task
from transfer.models.acting import Command, Planner

LAYOUT = "Walker2d"
KINDS = {"spread": SPREAD, "DT": WHOLE}
RECOMPUTED = 0  # in the place of a number of environments


def rows(size: Size) -> list[Row]:
    """One per embedding and number of environments."""
    data = made_up(LAYOUT, endless())
    models = {
        kind: build(LAYOUT, size.width, action, data=data, context=size.context) for kind, action in KINDS.items()
    }
    return [row for kind, model in models.items() for row in _rows(kind, model, size)]


def endless() -> EnvSpec:
    """Walker2d-v5 that goes on when the walker has fallen."""
    spec = copy.deepcopy(gymnasium.spec("Walker2d-v5"))
    spec.kwargs["terminate_when_unhealthy"] = False
    spec.max_episode_steps = 10**9
    return spec


def _rows(kind: str, model: TransferModel, size: Size) -> list[Row]:
    context = size.context
    with ExitStack() as stack:
        envs = {number: [stack.enter_context(model.env_spec.make()) for _ in range(number)] for number in size.envs}
        alone = [stack.enter_context(model.env_spec.make())]
        players = {number: player(make_planner(model, number), some, context) for number, some in envs.items()}
        players[RECOMPUTED] = player(Recompute(model, context), alone, context)
        ways: dict[str, Callable[[], tuple[float, ...]]] = {str(n): one.play for n, one in players.items()}
        ways |= {f"{n} evaluated": partial(evaluated, model, some, context) for n, some in envs.items()}
        found = rounds(ways, size.repeats)
    recomputed = [sum(times) / players[RECOMPUTED].cycle for times in found[str(RECOMPUTED)]]
    return [_row(f"{kind}, E = {n}", n * players[n].cycle, found, n, recomputed) for n in size.envs]


def _row(name: str, steps: int, found: dict[str, list[tuple[float, ...]]], number: int, recomputed: list[float]) -> Row:
    """A case: `steps` environment steps in a cycle of its player."""
    played = [spent / count for spent, count in found[f"{number} evaluated"]]
    model, simulator = (statistics.median(part) / steps for part in zip(*found[str(number)], strict=True))
    after_another = statistics.median(sum(times) / steps for times in found[str(number)])
    values = {
        "steps/s": 1 / statistics.median(played),
        "one after the other, steps/s": 1 / after_another,
        "model, ms per step": 1e3 * model,
        "simulator, ms per step": 1e3 * simulator,
        "recomputed, steps/s": 1 / statistics.median(recomputed),
    }
    return Row(name, recomputed, played, values=values)


def evaluated(model: TransferModel, envs: list[Any], context: int) -> tuple[float, float]:
    """Play an episode of three contexts in each environment as `evaluate` does; returns seconds and steps."""
    task = Task(replace(model.env_spec, max_episode_steps=3 * context))
    slots = [Slot(env, task.env_spec, False) for env in envs]

    def plan(seeds: NDArray[np.int64]) -> tuple[Planner, Command]:
        return make_planner(model, len(seeds)), model.command(seeds, {"return": 1000.0})

    play = partial(rollout, slots, task, plan, model.device, np.arange(len(envs)))
    return seconds(play), 3.0 * context * len(envs)


def player(actor: Actor, envs: list[Any], context: int) -> Player:
    """Acts in real environments."""
    low, high = envs[0].action_space.low, envs[0].action_space.high

    def move(actions: Tensor) -> Tensor:
        clipped = actions.numpy().clip(low, high)
        return as_states([env.step(action)[0] for env, action in zip(envs, clipped, strict=True)])

    return Player(actor, as_states([env.reset(seed=i)[0] for i, env in enumerate(envs)]), context, move)


def as_states(observations: list[Any]) -> Tensor:
    """(E, S) float32."""
    return torch.from_numpy(np.stack(observations).astype(np.float32))
