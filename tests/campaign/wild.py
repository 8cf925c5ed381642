"""An environment that answers in other ways than most: every type in use, and what is no answer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

GYM_ID, STEPS = "Wild-v0", 6


@dataclass
class Habit:
    """What is unusual about it: functions of the plain value.

    Attributes:
        observe: of each observation (3,) float64 after the first step.
        begin: of what `reset` returns.
        answer: of what `step` returns.
        pay: of each reward.
        init: called when it is built.
        close: called when it is closed.
        observation_space, action_space: other spaces.
    """

    observe: Callable[[Any], Any] = lambda observation: observation
    begin: Callable[[Any], Any] = lambda answer: answer
    answer: Callable[[Any], Any] = lambda answer: answer
    pay: Callable[[float], Any] = lambda reward: reward
    init: Callable[[], object] = lambda: None
    close: Callable[[], object] = lambda: None
    observation_space: Any = field(default_factory=lambda: spaces.Box(-np.inf, np.inf, (3,), np.float64))
    action_space: Any = field(default_factory=lambda: spaces.Box(-2.0, 2.0, (2,), np.float32))


class Wild(gymnasium.Env[Any, Any]):
    """Pays 1 a step; what it shows depends on the seed and the step alone."""

    habit = Habit()

    def __init__(self, render_mode: str | None = None) -> None:
        self.observation_space, self.action_space = self.habit.observation_space, self.habit.action_space
        self.habit.init()

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.time = 0
        return self.habit.begin((self.look(), {}))

    def look(self) -> Any:
        shown = self.np_random.standard_normal(3)
        return self.habit.observe(shown) if self.time else shown

    def step(self, action: Any) -> Any:
        assert isinstance(action, np.ndarray) and action.shape == (2,) and np.abs(action).max() <= 2
        self.time += 1
        return self.habit.answer((self.look(), self.habit.pay(1.0), False, False, {}))

    def close(self) -> None:
        self.habit.close()


def register(habit: Habit | None = None) -> None:
    """Make the environment known to Gymnasium, with a habit."""
    Wild.habit = habit or Habit()
    if GYM_ID not in gymnasium.registry:
        gymnasium.register(GYM_ID, "tests.campaign.wild:Wild", max_episode_steps=STEPS)
