"""The process behind `benchmarks.commits`: names of figures on stdin, seconds on stdout, with the library on the path.

python benchmarks/commits/timed_commit.py CHECKOUT

Only names that every commit offers are used (`pretrain`, `adapt`, `policy`, `evaluate`), and no other file of the
benchmarks, whose own commit may be another one.
"""

from __future__ import annotations

import inspect
import logging
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import torch
from gymnasium import spaces
from gymnasium.envs.mujoco.hopper_v5 import HopperEnv

import transfer

ENV_ID, HOPPER_ID, STATES, ACTIONS = "TimedCommit-v0", "TimedCommitHopper-v0", 11, 3
EPISODE, STEPS, ACTS, ENVS = 60, 12, 200, 100
marks: list[float] = []


class Timed(gymnasium.Env[Any, Any]):
    """Costs nothing to step; the first of those stepped at once marks the time of each step."""

    made = 0

    def __init__(self, render_mode: str | None = None) -> None:
        self.observation_space = spaces.Box(-np.inf, np.inf, (STATES,), np.float64)
        self.action_space = spaces.Box(-1.0, 1.0, (ACTIONS,), np.float32)
        self.first, Timed.made = Timed.made == 0, Timed.made + 1
        self.shown = np.random.default_rng(0).standard_normal(STATES)

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        """See `gymnasium.Env`."""
        super().reset(seed=seed)
        return self.shown.copy(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """See `gymnasium.Env`."""
        if self.first:
            marks.append(time.perf_counter())
        return self.shown.copy(), 1.0, False, False, {}


class TimedHopper(HopperEnv):
    """The real Hopper, whose episodes end by the limit alone, so that 100 of them stay in lockstep."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.first, Timed.made = Timed.made == 0, Timed.made + 1

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """See `gymnasium.Env`."""
        if self.first:
            marks.append(time.perf_counter())
        observation, paid, _, truncated, info = super().step(action)
        return observation, paid, False, truncated, info


def main(checkout: str) -> None:
    """Answer until stdin ends."""
    found = Path(str(transfer.__file__)).resolve()
    if not found.is_relative_to(Path(checkout).resolve()):
        raise SystemExit(f"{found} was imported, not what lies in {checkout}")
    answers, sys.stdout = sys.stdout, sys.stderr  # what the library prints is no answer
    torch.set_num_threads(1)
    logging.getLogger("transfer").setLevel(logging.ERROR)  # `act` is timed beyond the end of an episode, on purpose
    sys.modules["timed_commit"] = sys.modules[__name__]  # where Gymnasium looks for the environment
    gymnasium.register(ENV_ID, "timed_commit:Timed", max_episode_steps=EPISODE)
    figures = make_figures()
    for line in sys.stdin:
        print(figures[line.strip()](), file=answers, flush=True)


def make_figures() -> dict[str, Callable[[], float]]:
    """The figures by name."""
    data = episodes()
    model = transfer.pretrain(data, config=transfer.TrainConfig(steps=1)).model
    gymnasium.register(HOPPER_ID, "timed_commit:TimedHopper", max_episode_steps=EPISODE)
    hoppers = transfer.pretrain(episodes(env=HOPPER_ID), config=transfer.TrainConfig(steps=1)).model
    return {
        "training step, full": lambda: step_seconds(lambda **more: transfer.pretrain(data, **more)),
        "training step, frozen": lambda: step_seconds(
            lambda **more: transfer.adapt(model.trunk, data, mode="embeddings", **more)
        ),
        "act": lambda: act_seconds(model),
        "step of 100 environments": lambda: env_seconds(model),
        "step of 100 Hoppers": lambda: env_seconds(hoppers),
    }


def episodes(count: int = 20, length: int = EPISODE, env: str = ENV_ID) -> Any:
    """Made-up episodes."""
    rng, steps = np.random.default_rng(0), count * length
    states, actions = rng.standard_normal((steps, STATES)), rng.uniform(-1, 1, (steps, ACTIONS))
    return transfer.Episodes.from_arrays(states, actions, rng.random(steps), [length] * count, env)


def step_seconds(train: Callable[..., object]) -> float:
    """Median seconds of the steps of one training, but for the first two."""
    ends: list[float] = []
    config = transfer.TrainConfig(steps=STEPS, log_every=STEPS, save_every=STEPS)
    train(config=config, **after_each_step(lambda: ends.append(time.perf_counter())))
    return median_gap(ends[1:])


def after_each_step(call: Callable[[], object]) -> dict[str, Any]:
    """The argument that lets a training call after each step, in the form that the library takes."""
    if not hasattr(transfer, "Callback"):  # once it was a function of the step and the model
        return {"on_step": lambda *_: call()}
    made = type("AfterStep", (transfer.Callback,), {"step": lambda self, done: call()})
    return {"callbacks": [made()]}


def act_seconds(model: Any) -> float:
    """Median seconds of one `act`."""
    policy, shown, ends = model.policy(target_return=30.0), np.zeros(STATES, np.float32), []
    policy.act(shown)
    for _ in range(ACTS):
        policy.act(shown, 1.0)
        ends.append(time.perf_counter())
    return median_gap(ends)


def env_seconds(model: Any) -> float:
    """Median seconds of one step of 100 environments in lockstep."""
    marks.clear()
    Timed.made = 0
    # Earlier commits want the number of steps that the policy looks back.
    context = {"context": 20} if "context" in inspect.signature(transfer.evaluate).parameters else {}
    transfer.evaluate(model, num_episodes=ENVS, num_envs=ENVS, target_return=30.0, **context)
    return median_gap(marks[2:])


def median_gap(ends: list[float]) -> float:
    """Median seconds between neighbouring moments."""
    return statistics.median(b - a for a, b in zip(ends, ends[1:], strict=False))


if __name__ == "__main__":
    main(sys.argv[1])
