"""One environment and its current episode.

An environment is other people's code, so its errors are raised with the seed and the step.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from transfer.data.environment.answers import reward, success, vector
from transfer.data.environment.spec import EnvironmentSpec
from transfer.errors import TransferError
from transfer.numbers import seen
from transfer.runtime.process import isolated

if TYPE_CHECKING:
    import gymnasium

log = logging.getLogger(__name__)
INTERFACE = (
    "Gymnasium's reset(seed=...) returns (observation, info) and its step (observation, reward, terminated, truncated, "
    "info), with a dict as info; wrap an environment that speaks old Gym's interface."
)
ALONE = "With num_envs=1 there is one environment at a time, in the calling thread."


class Task(NamedTuple):
    """The environment, and whether to build whatever environment the spec names."""

    env_spec: EnvironmentSpec
    trust: bool = False


class Slot:
    """An environment and its episodes, one after another.

    Args:
        env: observations are state vectors (S,).
        env_spec: its sizes and name.
        alone: whether it is the only environment of the rollout.

    Raises:
        TransferError: it takes actions of another size than `env_spec` says.
    """

    def __init__(self, env: gymnasium.Env[Any, Any], env_spec: EnvironmentSpec, alone: bool) -> None:
        self.env, self.name, self.alone, self.seed, self.time = env, env_spec.name, alone, -1, 0
        self.size = env_spec.state_size
        space: Any = env.action_space
        self.low: Any = getattr(space, "low", ())
        self.high: Any = getattr(space, "high", ())
        if np.shape(self.low) != (env_spec.action_size,):
            raise TransferError(f"'{self.name}' takes {seen(space)}, the policy makes {env_spec.action_size} numbers.")

    def reset(self, seed: int) -> NDArray[Any]:
        """Open the episode of a seed; returns its first state.

        Raises:
            TransferError: with the seed and the step, as `step` does.
        """
        self.seed, self.time = seed, 0
        try:
            answer = self.env.reset(seed=seed)
            if not isinstance(answer, (tuple, list)) or len(answer) != 2 or not isinstance(answer[1], Mapping):
                raise TransferError(f"reset returned {seen(answer)}. {INTERFACE}")
            return self._copy(answer[0])
        except Exception as error:
            raise self.failed(error) from error

    def step(self, action: NDArray[np.float32]) -> tuple[NDArray[Any] | None, float, int]:
        """Act, (A,).

        Returns:
            the next state, None where the episode is over; the reward; and what
            `transfer.data.environment.answers.success` reads.
        """
        self.time += 1
        try:
            answer = self.env.step(action)
            if not isinstance(answer, (tuple, list)) or len(answer) != 5 or not isinstance(answer[4], Mapping):
                raise TransferError(f"step returned {seen(answer)}. {INTERFACE}")
            observation, paid, terminated, truncated, info = answer
            if isinstance(terminated, str) or isinstance(truncated, str):  # "no" would end the episode
                raise TransferError(f"step returned {seen(answer)}. {INTERFACE}")
            state = None if terminated or truncated else self._copy(observation)
            return state, reward(paid), success(info) if info else -1
        except Exception as error:
            raise self.failed(error) from error

    def _copy(self, observation: Any) -> NDArray[Any]:
        """The state (S,); arrays of floats are checked for all environments at once, in `Wave`."""
        if type(observation) is np.ndarray and observation.dtype.kind == "f":
            return observation.copy()
        return vector(observation, self.size)

    def failed(self, error: Exception | str) -> TransferError:
        """An error with the seed and the step."""
        what = str(error)
        if isinstance(error, Exception) and not isinstance(error, TransferError):
            said = " ".join(what.split())[:300].rstrip(".")
            what = f"the environment raised {type(error).__name__}{said and f': {said}'}.{self._hint(error)}"
        return TransferError(f"'{self.name}', episode of seed {self.seed}, step {self.time}: {what}")

    def _hint(self, error: Exception) -> str:
        unpacked = isinstance(error, ValueError) and "values to unpack" in str(error)
        seedless = isinstance(error, TypeError) and "seed" in str(error)
        if unpacked or seedless:
            return f" {INTERFACE}"
        return "" if self.alone else f" {ALONE}"


@contextmanager
def opened(task: Task, count: int) -> Iterator[list[Slot]]:
    """Slots for `count` episodes at a time, closed afterwards. Raises TransferError as `_opened`."""
    with ExitStack() as stack:
        yield [stack.enter_context(_opened(task, number, count == 1)) for number in range(count)]


@contextmanager
def _opened(task: Task, number: int, alone: bool) -> Iterator[Slot]:
    """A slot with a new environment, closed afterwards; an error of closing is logged.

    Raises:
        TransferError: it cannot be built; says `number`, how many were built before.
    """
    env_spec = task.env_spec
    try:
        with isolated():
            env = env_spec.make(trust=task.trust)
    except TransferError as error:
        more = f" {number} were built before, so perhaps there can be one only. {ALONE}" if number else ""
        raise type(error)(f"{error}{more}") from error
    try:
        yield Slot(env, env_spec, alone)
    finally:
        try:
            with isolated():
                env.close()
        except Exception as error:
            log.warning("'%s' could not be closed: %s: %s", env_spec.name, type(error).__name__, error)
