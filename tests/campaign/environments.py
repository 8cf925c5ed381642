"""Evaluation and policies in environments with habits: those in use give the right returns, wrong answers are named."""

from __future__ import annotations

import random
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from gymnasium import spaces

from tests.campaign.engine import Accepted, Refused, Trial
from tests.campaign.wild import GYM_ID, STEPS, Habit, register


def boom(*given: Any) -> Any:
    """What an environment does that fails."""
    raise RuntimeError("the motor is on fire")


def after(value: Any) -> Callable[[Any], Any]:
    """The same answer whatever the plain one is."""
    return lambda plain: value


def info(**said: Any) -> Habit:
    """Steps that say something."""
    return Habit(answer=lambda answer: (*answer[:4], said))


def tensor(values: Any, **options: Any) -> Any:
    """A torch tensor."""
    import torch

    return torch.tensor(values, **options)


# Habits in use: the rate of success that comes of them.
RIGHT: dict[str, tuple[Habit, float | None]] = {
    "plain": (Habit(), None),
    "observations in float32": (Habit(observe=np.float32), None),
    "observations in float16": (Habit(observe=np.float16), None),
    "observations as lists": (Habit(observe=list), None),
    "observations as tensors": (Habit(observe=tensor), None),
    "observations with a gradient": (Habit(observe=lambda x: tensor(x, requires_grad=True)), None),
    "observations read backwards": (Habit(observe=lambda x: x[::-1].copy()[::-1]), None),
    "rewards of Python": (Habit(pay=int), None),
    "rewards in float16": (Habit(pay=np.float16), None),
    "rewards as arrays": (Habit(pay=np.array), None),
    "rewards as tensors": (Habit(pay=tensor), None),
    "rewards that are true": (Habit(pay=bool), None),
    "flags of NumPy": (Habit(answer=lambda x: (*x[:2], np.bool_(False), np.bool_(False), {})), None),
    "flags as numbers": (Habit(answer=lambda x: (*x[:2], 0, 0, {})), None),
    "a list for an answer": (Habit(answer=list), None),
    "success true": (info(success=True), 1.0),
    "success of NumPy": (info(success=np.bool_(True)), 1.0),
    "success as a number": (info(success=1.0), 1.0),
    "success as an array": (info(success=np.array([1.0])), 1.0),
    "success false": (info(success=False), 0.0),
    "success none": (info(success=None), None),
    "is_success": (info(is_success=True), 1.0),
    "other info": (info(note="x", numbers=np.zeros(3), nan=float("nan")), None),
    "it warns": (Habit(observe=lambda x: warnings.warn("hot", stacklevel=1) or x), None),
    "it prints": (Habit(observe=lambda x: print("step", file=sys.stderr) or x), None),
    "it cannot be closed": (Habit(close=boom), None),
}
WRONG: dict[str, Habit] = {
    "observations nan": Habit(observe=after(np.full(3, np.nan))),
    "observations inf": Habit(observe=after(np.array([0, np.inf, 0]))),
    "observations beyond float32": Habit(observe=after(np.full(3, 1e300))),
    "observations of another size": Habit(observe=lambda x: x[:2]),
    "observations with an axis more": Habit(observe=lambda x: x[None]),
    "observations none": Habit(observe=after(None)),
    "observations text": Habit(observe=after("left")),
    "observations complex": Habit(observe=lambda x: x + 1j),
    "observations objects": Habit(observe=lambda x: x.astype(object)),
    "observations a mapping": Habit(observe=lambda x: {"observation": x}),
    "rewards nan": Habit(pay=after(float("nan"))),
    "rewards inf": Habit(pay=after(np.inf)),
    "rewards huge": Habit(pay=after(1e300)),
    "rewards none": Habit(pay=after(None)),
    "rewards text": Habit(pay=after("much")),
    "rewards of two agents": Habit(pay=after(np.ones(2))),
    "rewards complex": Habit(pay=after(1j)),
    "old Gym's step": Habit(answer=lambda x: (*x[:3], x[4])),
    "a step without anything": Habit(answer=after(None)),
    "a step with one more": Habit(answer=lambda x: (*x, 1)),
    "old Gym's reset": Habit(begin=lambda x: x[0]),
    "a reset without anything": Habit(begin=after(None)),
    "reset's info none": Habit(begin=lambda x: (x[0], None)),
    "step's info none": Habit(answer=lambda x: (*x[:4], None)),
    "flags text": Habit(answer=lambda x: (*x[:2], "no", "no", {})),
    "it fails in step": Habit(observe=boom),
    "it fails in reset": Habit(begin=boom),
    "it cannot be built": Habit(init=boom),
    "Discrete actions": Habit(action_space=spaces.Discrete(3)),
    "other actions": Habit(action_space=spaces.Box(-1, 1, (5,))),
    "images": Habit(observation_space=spaces.Box(0, 255, (8, 8, 3), np.uint8)),
    "other observations": Habit(observation_space=spaces.Box(-1, 1, (4,))),
}


def make(rng: random.Random, shop: Path) -> Trial:
    """A habit, with one environment or several."""
    road, count = rng.choice((play, play_together, play_by_id)), rng.choice((1, 2, 3))
    right = rng.random() < 0.45
    name = rng.choice(list(RIGHT if right else WRONG))
    habit = RIGHT[name][0] if right else WRONG[name]
    wants = Accepted(whole(RIGHT[name][1])) if right else Refused()
    return Trial(f"{road.__name__}, {count} at a time: {name}", lambda place: road(habit, count), wants)


def whole(rate: float | None) -> Callable[[Any], None]:
    """A check that three episodes had all their steps, paid 1 each, and succeeded at this rate."""

    def check(result: Any) -> None:
        assert result.returns.tolist() == [STEPS] * 3, result.returns
        assert result.lengths.tolist() == [STEPS] * 3, result.lengths
        assert result.success_rate == rate, result.success_rate

    return check


def model() -> Any:
    """A policy for the environment as it is without habits, with random weights."""
    from transfer import Episodes, TransferModel, Trunk, TrunkConfig
    from transfer.adapters.build import build_adapter

    register()
    rng = np.random.default_rng(0)
    states, actions = rng.standard_normal((18, 3)), rng.uniform(-2, 2, (18, 2))
    episodes = Episodes.from_arrays(states, actions, np.ones(18), [STEPS] * 3, GYM_ID)
    trunk = Trunk(TrunkConfig(width=16, depth=1, heads=2))
    return TransferModel(trunk, build_adapter(episodes, trunk.config)).eval()


def play(habit: Habit, count: int, env: str | None = None) -> Any:
    """`evaluate`, which builds the environment."""
    from transfer import evaluate

    policy = model()
    register(habit)
    return evaluate(policy, env, num_episodes=3, num_envs=count, target_return=float(STEPS))


def play_by_id(habit: Habit, count: int) -> Any:
    """`evaluate` with an id that the caller names."""
    return play(habit, count, GYM_ID)


def play_together(habit: Habit, count: int) -> Any:
    """`evaluate_together`, two adapters for one body."""
    from transfer import MixedModel, evaluate_together

    policy = model()
    mixed = MixedModel(policy.trunk, {"a": policy.adapter, "b": policy.adapter})
    register(habit)
    return evaluate_together(mixed, 3, num_envs=count, target_returns={"a": 6.0, "b": 3.0})["b"]
