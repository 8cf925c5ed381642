"""Recording episodes in the user's own loop.

Letters: T steps of an episode, S observation size, A action size.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

from transfer.data.arrays import own
from transfer.data.environment import answers
from transfer.data.environment.observations import slices_of_space, vector_size
from transfer.data.episodes import Episodes
from transfer.errors import TransferError
from transfer.numbers import seen

if TYPE_CHECKING:
    from gymnasium.envs.registration import EnvSpec

Array = NDArray[Any]
Observation = Array | dict[str, Array]


@dataclass
class RecordedEpisode:
    """One recorded episode. All arrays are copies.

    An episode that is not terminated counts as truncated: by a limit, by a reset, or because it is still running.
    """

    observations: list[Observation]  # T + 1 of them, (S,) or a mapping of such, in the dtypes of the space
    actions: list[Array] = field(default_factory=list)  # T of them, (A,), as passed to `step`
    rewards: list[float] = field(default_factory=list)  # T of them
    successes: list[int] = field(default_factory=list)  # T of them: 1 success, 0 none, -1 not reported
    seed: int | None = None  # of the reset
    terminated: bool = False

    def __len__(self) -> int:
        """T."""
        return len(self.rewards)

    def stacked(self) -> Observation:
        """Returns the observations (T + 1, S), or a mapping of such."""
        return _each(np.stack, self.observations)

    def infos(self) -> dict[str, Array]:
        """Returns infos (T + 1, ...) as Minari stores them: success, if the environment reported it."""
        if max(self.successes, default=-1) < 0:
            return {}
        return {"success": np.array([0, *self.successes]) > 0}


class Recorder(gymnasium.Wrapper[Any, Any, Any, Any]):
    """A wrapper that records the episodes of an environment.

        env = Recorder(gymnasium.make("Pendulum-v1"))
        ... reset and step it as always ...
        episodes = env.episodes()
        save_dataset(env, "mine/pendulum-v0")

    An episode that is not terminated counts as truncated at its last step: by a limit, by a reset, or because it is
    still running. Episodes without a step are left out. Put the recorder outside of all other wrappers, so that it
    records their observations, actions and rewards.

    Args:
        env: one environment with vectors (or Dicts of vectors) as observations and vectors as actions.

    Raises:
        TransferError: several environments, another type, or other spaces.
    """

    def __init__(self, env: gymnasium.Env[Any, Any]) -> None:
        if not isinstance(env, gymnasium.Env):
            raise TransferError(
                f"a Recorder takes one environment, as gymnasium.make(...) gives it; got {seen(env)}. Of several, "
                "record each by itself."
            )
        super().__init__(env)
        slices_of_space(env.observation_space)
        vector_size(env.action_space)
        self._finished: list[RecordedEpisode] = []
        self._running: RecordedEpisode | None = None

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Begins an episode. One that was running is kept as truncated."""
        self._finish()
        observation, info = self.env.reset(seed=seed, options=options)
        self._running = RecordedEpisode([self._copied(observation)], seed=seed)
        return observation, info

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """Takes a step and records it.

        Raises:
            TransferError: a step before a reset or after the end of an episode, or values that are not finite or do not
                have the shape of their space. The step is not recorded, and the recorded episode ends before it,
                because the state of the environment is not known.
        """
        running = self._running
        if running is None:
            raise TransferError("the recorded environment has to be reset first, at the beginning of each episode")
        asked = self._own(action, self.env.action_space, "the action")  # copied before the environment can change it
        try:
            observation, reward, terminated, truncated, info = self.env.step(action)
            shown, paid = self._copied(observation), answers.reward(reward)
        except BaseException:  # Ctrl-C too, after which a notebook may continue
            self._finish()
            raise
        running.observations.append(shown)
        running.actions.append(asked)
        running.rewards.append(paid)
        running.successes.append(answers.success(info) if isinstance(info, Mapping) else -1)
        running.terminated = bool(terminated)
        if terminated or truncated:
            self._finish()
        return observation, reward, terminated, truncated, info

    def recordings(self) -> Iterator[RecordedEpisode]:
        """The episodes so far that have a step, the running one last."""
        yield from self._finished
        if self._running is not None and len(self._running):
            yield self._running

    def episodes(self, name: str = "recorded", env: Any = None) -> Episodes:
        """Returns the recorded episodes, ready for training.

        Args:
            name: their name in errors, results and adapters.
            env: the environment to evaluate in, if the recorded one cannot be built again (for example because a
                wrapper holds a function), as `Episodes.from_arrays` takes it; default: the recorded one.

        Raises:
            TransferError: nothing was recorded, or the environment has no Gymnasium spec.
        """
        parts = list(self.recordings())
        if not parts:
            raise TransferError("nothing was recorded yet: reset and step the recorder first")
        # the observations before each action, of all episodes in order
        shown = _each(lambda each: np.concatenate([one[:-1] for one in each]), [one.stacked() for one in parts])
        return Episodes.from_arrays(
            shown,
            np.concatenate([one.actions for one in parts]),
            [reward for one in parts for reward in one.rewards],
            [len(one) for one in parts],
            self.env if env is None else env,
            name,
        )

    def clear(self) -> None:
        """Drops the episodes that have ended."""
        self._finished = []

    @property
    def num_episodes(self) -> int:
        """Number of recorded episodes with at least one step."""
        return sum(1 for _ in self.recordings())

    @property
    def spec(self) -> EnvSpec | None:  # type: ignore[override]
        """The spec of the environment inside, so that building from it makes no recorder."""
        return self.env.spec

    def _finish(self) -> None:
        if self._running is not None and len(self._running):
            self._finished.append(self._running)
        self._running = None

    def _copied(self, observation: Any) -> Observation:
        """A copy of an observation."""
        space = self.env.observation_space
        if not isinstance(space, gymnasium.spaces.Dict):
            return self._own(observation, space, "the observation")
        if not isinstance(observation, Mapping) or set(observation) != set(space.spaces):
            raise TransferError(f"the observation is {seen(observation)}; keys {', '.join(space.spaces)} wanted")
        return {key: self._own(observation[key], one, f"'{key}'") for key, one in space.spaces.items()}

    def _own(self, values: Any, space: Any, what: str) -> Array:
        name = f"{what} of step {len(self._running or ()) + 1} of episode {len(self._finished)}"
        copy = own(values, name, 1, space.dtype)
        if copy.shape != space.shape:
            raise TransferError(f"{name} has shape {copy.shape}, the environment's space {space.shape}")
        if not np.isfinite(copy).all():
            raise TransferError(f"{name} is not finite: {copy}")
        return copy


def _each(join: Callable[[list[Array]], Array], shown: list[Observation]) -> Observation:
    """Joins arrays, or mappings of arrays key by key."""
    first = shown[0]
    if isinstance(first, dict):
        return {key: join([one[key] for one in shown]) for key in first}
    return join(shown)  # type: ignore[arg-type]
