"""Generating episodes of a bundled behaviour policy in MuJoCo, several environments at a time.

Letters: E environments stepped together, S state size, A action size, T steps of an episode.
"""

import functools
import itertools
import json
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import resources
from typing import Any, Self

import gymnasium
import numpy as np
from numpy.typing import NDArray

from transfer.envs.writing.minari_format import WholeEpisode
from transfer.errors import TransferError
from transfer.runtime.logs import quiet

Array = NDArray[np.float32]
NUM_ENVS = 16  # with one forward pass for all; with more of them MuJoCo takes nearly all the time
# Exploration noise in units of the policy's own standard deviation (envs/bundled/behaviours/README.md).
NOISE = {"hopper-medium": 1.0, "hopper-expert": 0.3, "walker2d-medium": 0.5, "walker2d-expert": 0.5}


@dataclass(frozen=True)
class Behaviour:
    """A Gaussian policy squashed by tanh, with two hidden layers of ReLU."""

    name: str  # such as "hopper-expert"
    gym_id: str  # the environment in which it was trained
    weights: dict[str, Array]  # "W0 b0 W1 b1 W2 b2 log_std_W log_std_b", W (in, out), float32
    noise: float  # factor on the standard deviation
    description: str  # how it was trained, as JSON

    @functools.cached_property
    def blocks(self) -> Array:
        """W1 as blocks of columns, (4, in, out / 4).

        OpenBLAS would split one product with the whole matrix over threads that wait for each other. On two busy cores
        that took 13 times as long.
        """
        size = len(self.weights["W1"])
        return np.ascontiguousarray(self.weights["W1"].reshape(size, 4, -1).transpose(1, 0, 2))

    @classmethod
    def load(cls, name: str) -> Self:
        """Loads one of the bundled policies."""
        with resources.as_file(resources.files("transfer.envs.bundled") / "behaviours" / f"{name}.npz") as path:
            with np.load(path, allow_pickle=False) as file:
                arrays = {key: file[key] for key in file.files}
        description = str(arrays.pop("meta"))
        return cls(name, json.loads(description)["env"], arrays, NOISE[name], description)

    def act(self, states: Array, normal: Array) -> Array:
        """Actions (E, A) in [-1, 1] for states (E, S) and standard normal noise (E, A)."""
        w = self.weights
        hidden = np.maximum(states @ w["W0"] + w["b0"], 0.0)  # (E, 256)
        columns = np.matmul(hidden, self.blocks)  # (4, E, 64)
        hidden = np.maximum(columns.transpose(1, 0, 2).reshape(hidden.shape) + w["b1"], 0.0)  # (E, 256)
        mean = hidden @ w["W2"] + w["b2"]  # (E, A)
        std = np.exp(np.clip(hidden @ w["log_std_W"] + w["log_std_b"], -20.0, 2.0))
        actions: Array = np.tanh(mean + np.float32(self.noise) * std * normal)
        return actions


class _Slot:
    """One environment and its running episode."""

    def __init__(self, gym_id: str) -> None:
        # Without wrappers, which cost a tenth of a step: `step` itself counts to the step limit.
        spec = gymnasium.spec(gym_id)
        if spec.max_episode_steps is None:
            raise TransferError(f"environment {gym_id} has no step limit, so its episodes may never end")
        self.limit = spec.max_episode_steps
        with quiet():
            self.env: gymnasium.Env[Any, Any] = gymnasium.make(spec, disable_env_checker=True).unwrapped
        self.episode = -1

    def start(self, entropy: tuple[int, int], episode: int) -> None:
        """Begins an episode. Its initial state and noise are functions of (seed, name, episode) alone."""
        self.episode, self.length, self.terminated = episode, 0, False
        rng = np.random.default_rng([*entropy, episode])
        self.seed = int(rng.integers(2**31))
        state, _ = self.env.reset(seed=self.seed)
        (action_size,) = self.env.action_space.shape or (0,)
        self.normal = rng.standard_normal((self.limit, action_size), dtype=np.float32)  # (T, A)
        self.observations = np.empty((self.limit + 1, len(state)))
        self.actions = np.empty((self.limit, action_size), dtype=np.float32)
        self.rewards = np.empty(self.limit)
        self.observations[0] = state

    def step(self, action: Array) -> bool:
        """Takes one step. Returns whether the episode has ended."""
        state, reward, self.terminated, _, _ = self.env.step(action)
        self.actions[self.length], self.rewards[self.length] = action, reward
        self.length += 1
        self.observations[self.length] = state
        return self.terminated or self.length == self.limit

    def recorded(self) -> WholeEpisode:
        """Returns the episode so far, copied."""
        observations, end = self.observations[: self.length + 1].copy(), self.length
        actions, rewards = self.actions[:end].copy(), self.rewards[:end].copy()
        return WholeEpisode(observations, actions, rewards, bool(self.terminated), self.seed)


def generate(behaviour: Behaviour, steps: int, seed: int, on_steps: Callable[[int], None]) -> list[WholeEpisode]:
    """Generates whole episodes of a behaviour until they have `steps` steps.

    Episodes are kept in the order in which they began. The order in which they ended would fill the dataset with short
    episodes.

    Args:
        behaviour: the policy.
        steps: cut after the first episode that reaches this many steps in total.
        seed: episode i is a function of (seed, behaviour's name, i).
        on_steps: called now and then with the steps taken so far, at most `steps`.
    """
    entropy = (seed, zlib.crc32(behaviour.name.encode()))
    slots = [_Slot(behaviour.gym_id) for _ in range(NUM_ENVS)]
    done: dict[int, WholeEpisode] = {}
    most = 0
    try:
        for taken in _run(behaviour, slots, entropy, done, steps):
            most = max(most, min(taken, steps))  # the count drops when an episode turns out to be superfluous
            on_steps(most)
    finally:
        for slot in slots:
            slot.env.close()
    return [done[index] for index in range(_needed(done, {}, steps))]


def _run(
    behaviour: Behaviour, slots: list[_Slot], entropy: tuple[int, int], done: dict[int, WholeEpisode], steps: int
) -> Iterator[int]:
    """Fills `done` with at least the needed episodes. Yields the number of steps taken at intervals."""
    for episode, slot in enumerate(slots):
        slot.start(entropy, episode)
    running, begun = dict(enumerate(slots)), len(slots)  # slots by row
    # An environment keeps its row, so that the arithmetic of an episode does not depend on which others have ended.
    states = np.zeros((len(slots), slots[0].observations.shape[1]), dtype=np.float32)  # (E, S)
    normal = np.zeros((len(slots), slots[0].actions.shape[1]), dtype=np.float32)  # (E, A)
    for tick in itertools.count():
        if not running:
            return
        for row, slot in running.items():
            states[row], normal[row] = slot.observations[slot.length], slot.normal[slot.length]
        actions = behaviour.act(states, normal)
        ended = [slot for row, slot in running.items() if slot.step(actions[row])]
        for slot in ended:
            done[slot.episode] = slot.recorded()
            if _needed(done, running, steps) > begun:
                slot.start(entropy, begun)
                begun += 1
        if ended or tick % 50 == 0:
            needed = _needed(done, running, steps)
            running = {row: slot for row, slot in running.items() if slot.episode < needed and slot.episode not in done}
            yield sum(len(one.rewards) for one in done.values()) + sum(slot.length for slot in running.values())


def _needed(done: dict[int, WholeEpisode], running: dict[int, _Slot], steps: int) -> int:
    """Number of first episodes that hold `steps` steps; one more than have begun if all together do not."""
    lengths = {slot.episode: slot.length for slot in running.values()}
    lengths |= {index: len(episode.rewards) for index, episode in done.items()}
    totals = itertools.accumulate(lengths[index] for index in range(len(lengths)))
    return next((index + 1 for index, total in enumerate(totals) if total >= steps), len(lengths) + 1)
