"""An environment of any sizes and bounds, unknown to the library: `toy(3, 1, low=-2, high=2)` is its spec."""

from copy import deepcopy
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.envs.registration import EnvSpec
from numpy.typing import NDArray

GYM_ID = "TestToy-v0"
STEPS = 10
Array = NDArray[np.float32]


class Toy(gymnasium.Env[Array, Array]):
    """Its state is the mean of the last action; pays minus the size of the action."""

    def __init__(
        self,
        state_size: int = 1,
        action_size: int = 1,
        low: Any = -1.0,
        high: Any = 1.0,
        render_mode: str | None = None,
    ) -> None:
        self.observation_space = spaces.Box(-np.inf, np.inf, (state_size,), np.float32)
        bounds = (np.broadcast_to(np.float32(one), (action_size,)) for one in (low, high))
        self.action_space = spaces.Box(*bounds, (action_size,), np.float32)
        self.size = state_size

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Array, dict[str, Any]]:
        super().reset(seed=seed)
        return self.np_random.uniform(-1, 1, self.size).astype(np.float32), {}

    def step(self, action: Array) -> tuple[Array, float, bool, bool, dict[str, Any]]:
        return np.full(self.size, action.mean(), np.float32), -float(np.abs(action).sum()), False, False, {}


def toy(state_size: int, action_size: int, low: Any = -1.0, high: Any = 1.0) -> EnvSpec:
    """The spec of a toy of these sizes; its id is registered."""
    if GYM_ID not in gymnasium.registry:
        gymnasium.register(GYM_ID, "tests.toys:Toy", max_episode_steps=STEPS)
    spec = deepcopy(gymnasium.spec(GYM_ID))
    spec.kwargs = dict(state_size=state_size, action_size=action_size, low=low, high=high)
    return spec
