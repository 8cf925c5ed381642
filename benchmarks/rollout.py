"""Environment steps a second: the library's stream in lockstep, over one environment with the window recomputed.

Walker2d-v5 that never ends, so that policies with random weights can be timed: real MuJoCo steps, actions clipped to
their range. Timed are whole cycles of the stream's context, behind its second restart.
"""

from __future__ import annotations

import copy
import statistics
import time

import gymnasium
import numpy as np
import torch
from gymnasium.envs.registration import EnvSpec

from benchmarks.measure import Row, rounds
from benchmarks.models import SPREAD, WHOLE, Size, build, made_up
from benchmarks.players import Actor, Recompute
from transfer import TransferModel

LAYOUT = "Walker2d"
KINDS = {"spread": SPREAD, "DT": WHOLE}


def rows(size: Size) -> list[Row]:
    """One per embedding and number of environments."""
    data = made_up(LAYOUT, endless())
    models = {kind: build(LAYOUT, size.width, action, data=data) for kind, action in KINDS.items()}
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
        players[str(number)] = Rollout(model.stream(number, context, "autoregressive"), model, number, context)
    try:
        found = rounds({name: player.play for name, player in players.items()}, size.repeats)
    finally:
        for player in players.values():
            player.close()
    slow = [sum(pair) for pair in found["recomputed"]]
    return [_row(f"{kind}, E = {number}", number, found[str(number)], slow, players) for number in size.rows]


def _row(
    name: str, number: int, pairs: list[tuple[float, float]], slow: list[float], players: dict[str, Rollout]
) -> Row:
    steps, total = number * players[str(number)].cycle, [sum(pair) for pair in pairs]
    model, simulator = (statistics.median(part) for part in zip(*pairs, strict=True))
    values = {
        "steps/s": steps / statistics.median(total),
        "model, ms per step": 1e3 * model / steps,
        "simulator, ms per step": 1e3 * simulator / steps,
        "recomputed, steps/s": players["recomputed"].cycle / statistics.median(slow),
    }
    return Row(name, slow, total, float(number), values)


class Rollout:
    """E environments and what acts in them; the context is filled at the start.

    Args:
        actor: what acts.
        model: whose adapter makes the environments.
        rows: E.
        context: T.
    """

    def __init__(self, actor: Actor, model: TransferModel, rows: int, context: int) -> None:
        self.actor, self.time, self.cycle = actor, 0, context - context // 2
        self.envs = [model.env_spec.make() for _ in range(rows)]
        self.states = np.stack([env.reset(seed=i)[0] for i, env in enumerate(self.envs)])
        self.play(context)

    @torch.inference_mode()
    def play(self, steps: int | None = None) -> tuple[float, float]:
        """A cycle, or some steps; returns the seconds of the model and of the simulator."""
        spent, rows = [0.0, 0.0], len(self.envs)
        low, high = self.envs[0].action_space.low, self.envs[0].action_space.high
        for _ in range(self.cycle if steps is None else steps):
            began = time.perf_counter()
            states = torch.from_numpy(self.states.astype(np.float32))
            actions = self.actor.step(states, torch.full((rows,), 1000.0), torch.full((rows,), self.time)).numpy()
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
