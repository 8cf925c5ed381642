"""Environment steps a second: the library's planner in lockstep, over one environment with the window recomputed.

Walker2d-v5 that never ends, so that policies with random weights can be timed: real MuJoCo steps, actions clipped to
their range. The library plays episodes of three contexts as `evaluate` does, one half acting while the environments of
the other move. The shares of model and simulator, and the recomputed window, are timed one after the other, over whole
cycles of the planner's window behind its second restart.
"""

from __future__ import annotations

import copy
import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import gymnasium
import numpy as np
import torch
from gymnasium.envs.registration import EnvSpec

from benchmarks.measuring.measure import Row, rounds, seconds
from benchmarks.measuring.models import SPREAD, WHOLE, Size, build, made_up
from benchmarks.measuring.players import Actor, Recompute
from transfer import TransferModel
from transfer.decoding.planner import make_planner
from transfer.evaluation.rollout import Settings, rollout
from transfer.evaluation.slots import Slot, Task
from transfer.models.acting import Step

LAYOUT = "Walker2d"
KINDS = {"spread": SPREAD, "DT": WHOLE}


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
    players = {"recomputed": Rollout(Recompute(model, context), model, 1, context)}
    for number in size.rows:
        players[str(number)] = Rollout(make_planner(model, number), model, number, context)
    ways: dict[str, Callable[[], tuple[float, ...]]] = {name: player.play for name, player in players.items()}
    for number in size.rows:
        ways[f"{number} evaluated"] = partial(evaluated, model, players[str(number)].envs, context)
    try:
        found = rounds(ways, size.repeats)
    finally:
        for player in players.values():
            player.close()
    # seconds of one environment step
    each = {name: [sum(times) / players[name].steps for times in found[name]] for name in players}
    return [_row(f"{kind}, E = {number}", number, found, each, players[str(number)]) for number in size.rows]


def _row(
    name: str, number: int, found: dict[str, list[tuple[float, ...]]], each: dict[str, list[float]], player: Rollout
) -> Row:
    played = [spent / steps for spent, steps in found[f"{number} evaluated"]]
    model, simulator = (statistics.median(part) for part in zip(*found[str(number)], strict=True))
    values = {
        "steps/s": 1 / statistics.median(played),
        "one after the other, steps/s": 1 / statistics.median(each[str(number)]),
        "model, ms per step": 1e3 * model / player.steps,
        "simulator, ms per step": 1e3 * simulator / player.steps,
        "recomputed, steps/s": 1 / statistics.median(each["recomputed"]),
    }
    return Row(name, each["recomputed"], played, values=values)


def evaluated(model: TransferModel, envs: list[Any], context: int) -> tuple[float, float]:
    """Play an episode of three contexts in each environment as `evaluate` does; returns seconds and steps."""
    task = Task(replace(model.env_spec, max_episode_steps=3 * context), 1000.0)

    slots = [Slot(env, task.env_spec, False) for env in envs]
    settings = Settings.of(len(envs), len(envs), "autoregressive", 0, None)
    play = partial(rollout, slots, task, partial(make_planner, model), model.device, settings)
    return seconds(play), 3.0 * context * len(envs)


class Rollout:
    """E environments and what acts in them; the context is filled at the start.

    Args:
        actor: what acts.
        model: whose adapter makes the environments.
        envs: E.
        context: T.
    """

    def __init__(self, actor: Actor, model: TransferModel, envs: int, context: int) -> None:
        self.actor, self.time, self.cycle = actor, 0, context - context // 2
        self.steps = envs * self.cycle  # of environments in a cycle
        self.envs = [model.env_spec.make() for _ in range(envs)]
        self.states = np.stack([env.reset(seed=i)[0] for i, env in enumerate(self.envs)])
        self.play(context)

    @torch.inference_mode()
    def play(self, steps: int | None = None) -> tuple[float, float]:
        """A cycle, or some steps; returns the seconds of the model and of the simulator."""
        spent, envs = [0.0, 0.0], len(self.envs)
        low, high = self.envs[0].action_space.low, self.envs[0].action_space.high
        for _ in range(self.cycle if steps is None else steps):
            began = time.perf_counter()
            states = torch.from_numpy(self.states.astype(np.float32))
            step = Step(states, torch.full((envs,), 1000.0), torch.full((envs,), self.time))
            actions = self.actor.act(step).numpy()
            acted = time.perf_counter()
            actions = actions.clip(low, high)
            self.states = np.stack([env.step(action)[0] for env, action in zip(self.envs, actions, strict=True)])
            spent[0] += acted - began
            spent[1] += time.perf_counter() - acted
            self.time += 1
        return spent[0], spent[1]

    def close(self) -> None:
        """Close the environments."""
        for env in self.envs:
            env.close()
