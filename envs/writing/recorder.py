"""Recording episodes while somebody's own loop plays an environment.

Letters: T steps of an episode, S numbers of an observation, A of an action.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
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
class Recording:
    """One episode as it was played; everything in it is a copy.

    Attributes:
        observations: T + 1 of them, each (S,) or a mapping of such, in the types of the environment's space.
        actions: T of them, (A,) each, as they were asked for.
        rewards: T of them.
        successes: T of them: 1 yes, 0 no, -1 nothing said.
        seed: of the reset, None where none was given.
        terminated: whether the task ended it; else it was cut, by a limit, by a reset, or because it is still running.
    """

    observations: list[Observation]
    actions: list[Array] = field(default_factory=list)
    rewards: list[float] = field(default_factory=list)
    successes: list[int] = field(default_factory=list)
    seed: int | None = None
    terminated: bool = False

    def __len__(self) -> int:
        """T."""
        return len(self.rewards)

    def stacked(self) -> Observation:
        """Observations (T + 1, S), or a mapping of such."""
        first = self.observations[0]
        if isinstance(first, dict):
            return {key: np.stack([one[key] for one in self.observations]) for key in first}
        return np.stack(self.observations)  # type: ignore[arg-type]

    def told(self) -> dict[str, Array]:
        """Infos (T + 1, ...) as Minari keeps them: success, where the environment spoke of it."""
        if max(self.successes, default=-1) < 0:
            return {}
        return {"success": np.array([0, *self.successes]) > 0}


class Recorder(gymnasium.Wrapper[Any, Any, Any, Any]):
    """An environment that remembers what is done in it.

        env = Recorder(gymnasium.make("Pendulum-v1"))
        ... reset and step it as always ...
        episodes = env.episodes()
        save_dataset(env, "mine/pendulum-v0")

    An episode that is cut, by a limit, by a reset or because it is still running, counts as truncated where it is; one
    without a step does not count. Record outermost: what other wrappers make of observations, actions and rewards is
    what will be played.

    Args:
        env: one environment with vectors (or Dicts of vectors) as observations and a vector as action.

    Raises:
        TransferError: no single environment, or other spaces.
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
        self._finished: list[Recording] = []
        self._running: Recording | None = None

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Begins an episode; one that was still running is kept as cut."""
        self._finish()
        observation, info = self.env.reset(seed=seed, options=options)
        self._running = Recording([self._copied(observation)], seed=seed)
        return observation, info

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """Takes a step and remembers it.

        Raises:
            TransferError: before a reset, after the end of an episode, or numbers that are not finite or of another
                shape than the spaces say. The step is not remembered then, and as what the environment made of it is
                not known either, the episode ends before it.
        """
        running = self._running
        if running is None:
            raise TransferError("the recorded environment has to be reset first, at the beginning of each episode")
        asked = self._own(action, self.env.action_space, "the action")  # before an environment can change it
        try:
            observation, reward, terminated, truncated, info = self.env.step(action)
            shown, paid = self._copied(observation), answers.reward(reward)
        except BaseException:  # also Ctrl-C in a notebook, after which the loop may go on
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

    def recordings(self) -> Iterator[Recording]:
        """The episodes so far that have a step, the running one last."""
        yield from self._finished
        if self._running is not None and len(self._running):
            yield self._running

    def episodes(self, name: str = "recorded", env: Any = None) -> Episodes:
        """What was recorded so far, ready for training.

        Args:
            name: how errors, results and adapters call it.
            env: the environment to evaluate in, where the recorded one cannot be built again (a wrapper holds a
                function, say), as `Episodes.from_arrays` takes it; default: the recorded one.

        Raises:
            TransferError: nothing was recorded, or the environment has no Gymnasium spec.
        """
        parts = list(self.recordings())
        if not parts:
            raise TransferError("nothing was recorded yet: reset and step the recorder first")
        shown = [one.stacked() for one in parts]
        return Episodes.from_arrays(
            _joined(shown),
            np.concatenate([one.actions for one in parts]),
            [reward for one in parts for reward in one.rewards],
            [len(one) for one in parts],
            self.env if env is None else env,
            name,
        )

    def clear(self) -> None:
        """Forgets the episodes that have ended."""
        self._finished = []

    @property
    def num_episodes(self) -> int:
        """Episodes so far that have a step."""
        return sum(1 for _ in self.recordings())

    @property
    def spec(self) -> EnvSpec | None:  # type: ignore[override]
        """Of the environment inside: whoever builds it anew wants no recorder."""
        return self.env.spec

    def _finish(self) -> None:
        if self._running is not None and len(self._running):
            self._finished.append(self._running)
        self._running = None

    def _copied(self, observation: Any) -> Observation:
        """Our own copy of an observation."""
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


def _joined(shown: list[Observation]) -> Observation:
    """Observations before each action, of all episodes one after another."""
    first = shown[0]
    if isinstance(first, dict):
        return {key: np.concatenate([one[key][:-1] for one in shown]) for key in first}
    return np.concatenate([one[:-1] for one in shown])  # type: ignore[index]
