"""A goal-seeking point, unknown to the library; Gymnasium builds it by its entry point, "tests.point:Point"."""

from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

GYM_ID = "TestPoint-v3"
STEPS = 15
Observation = dict[str, NDArray[np.float64]]


class Point(gymnasium.Env[Observation, NDArray[np.float32]]):
    """Moves by a tenth of its action; pays minus the distance to the goal; a success within 0.3 of it."""

    def __init__(self, render_mode: str | None = None) -> None:
        box = spaces.Box(-np.inf, np.inf, (2,), np.float64)
        self.observation_space = spaces.Dict(observation=box, achieved_goal=box, desired_goal=box)
        self.action_space = spaces.Box(-1.0, 1.0, (2,), np.float32)

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Observation, dict[str, Any]]:
        super().reset(seed=seed)
        self.position, self.goal = self.np_random.uniform(-5, 5, 2), np.zeros(2)
        self.goal = self.position + self.np_random.choice([-1.0, 1.0], 2)
        self.velocity = np.zeros(2)
        return self.look(), {}

    def look(self) -> Observation:
        return {"observation": self.velocity, "achieved_goal": self.position.copy(), "desired_goal": self.goal.copy()}

    def step(self, action: NDArray[np.float32]) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        self.velocity = np.clip(action, -1, 1).astype(np.float64) * 0.1
        self.position = self.position + self.velocity
        distance = float(np.abs(self.goal - self.position).max())
        return self.look(), -distance, False, False, {"success": distance < 0.3}


def register() -> None:
    """Make the environment known to Gymnasium, once."""
    if GYM_ID not in gymnasium.registry:
        gymnasium.register(GYM_ID, "tests.point:Point", max_episode_steps=STEPS)


def collect(dataset_id: str, episodes: int = 40) -> str:
    """A local Minari dataset of a policy that walks to its goal, with Minari's own collector format."""
    import warnings

    import minari
    from minari.data_collector import EpisodeBuffer

    register()
    env, buffers, rng = gymnasium.make(GYM_ID), [], np.random.default_rng(0)
    for episode in range(episodes):
        seen, actions, rewards = [env.reset(seed=episode)[0]], [], []
        for _ in range(STEPS):
            way = seen[-1]["desired_goal"] - seen[-1]["achieved_goal"]
            actions.append(np.clip(way * 5 + rng.normal(0, 0.2, 2), -1, 1).astype(np.float32))
            observation, reward, *_ = env.step(actions[-1])
            seen.append(observation)
            rewards.append(reward)
        stacked = {key: np.stack([one[key] for one in seen]) for key in seen[0]}
        last = np.arange(STEPS) == STEPS - 1
        buffers.append(
            EpisodeBuffer(
                seed=episode, observations=stacked, actions=np.stack(actions), rewards=np.array(rewards),
                terminations=np.zeros(STEPS, bool), truncations=last,
            )
        )  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        minari.create_dataset_from_buffers(dataset_id, buffers, env=env)
    env.close()
    return dataset_id
