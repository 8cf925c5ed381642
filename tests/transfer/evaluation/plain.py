"""Environments of Hopper's sizes, in classes that answer as a test wants."""

from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

STEPS, NOTHING = 4, object()


class Plain(gymnasium.Env[Any, Any]):
    """Of Hopper's sizes; an episode of 4 steps that pays 1 each, and shows what seed and actions make of it."""

    observation_space = spaces.Box(-np.inf, np.inf, (11,), np.float64)
    action_space = spaces.Box(-1.0, 1.0, (3,), np.float32)

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.seed, self.time = seed, 0
        self.shown = self.np_random.normal(size=11)
        return self.shown.copy(), {}

    def step(self, action: Any) -> Any:
        self.time += 1
        self.shown[:3] += action
        return self.shown.copy(), 1.0, self.time == STEPS, False, {}


def changed(**answers: Any) -> type[Plain]:
    """A `Plain` with other methods."""
    return type("Changed", (Plain,), answers)


def spoiled(at: int, seed: int, spoil: Callable[[list[Any]], Any]) -> type[Plain]:
    """A `Plain` whose answer at one step of one episode is changed; step 0 is `reset`."""

    def spoiling(self: Plain, answer: Any) -> Any:
        if (at, seed) != (self.time, self.seed):
            return answer
        other = spoil(answer := list(answer))
        return None if other is NOTHING else tuple(other or answer)

    def reset(self: Plain, **options: Any) -> Any:
        return spoiling(self, Plain.reset(self, **options))

    def step(self: Plain, action: Any) -> Any:
        return spoiling(self, Plain.step(self, action))

    return changed(reset=reset, step=step)


def shown_as(convert: Callable[[Any], Any]) -> type[Plain]:
    return changed(
        reset=lambda self, **options: (convert(Plain.reset(self, **options)[0]), {}),
        step=lambda self, action: (lambda a: (convert(a[0]), *a[1:]))(Plain.step(self, action)),
    )


def set_to(place: int, value: Any) -> Callable[[list[Any]], None]:
    def spoil(answer: list[Any]) -> None:
        if place == 0:
            answer[0][4] = value
        else:
            answer[place] = value

    return spoil
