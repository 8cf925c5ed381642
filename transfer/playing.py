"""Playing episodes: each has its own seed and its own slot, and nothing is reset until a whole wave is over.

On a CPU a wave plays in two halves: while the model reads for one, a thread steps the environments of the other.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, closing
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from transfer.errors import TransferError
from transfer.specs import EnvironmentSpec

if TYPE_CHECKING:
    import gymnasium

FIRST_SEED = 10_000
WORTH_HALVING = 8  # environments of a name; with fewer, two small forwards cost more than the simulators
Seen = tuple[Tensor, Tensor, Tensor]
"""What E environments show a policy: states (E, S), returns still wanted (E,), step numbers (E,)."""


class Group(Protocol):
    """Acts in the environments of several names in lockstep."""

    def step(self, seen: Mapping[str, Seen]) -> dict[str, Tensor]:
        """Actions (E, A) by name, for what the environments of the name show."""
        ...

    def select(self, rows: Mapping[str, Tensor]) -> None:
        """Go on with some of the environments, (E,) boolean by name; a name without any left is over."""
        ...


class Task(NamedTuple):
    """What a name plays: the environment, and the raw return to ask for."""

    env_spec: EnvironmentSpec
    target_return: float


class Played(NamedTuple):
    """Of N episodes the returns, lengths, successes (1, 0, or -1 where the environment never said), each (N,).

    `actions` are every tenth of those taken, (M, A).
    """

    returns: NDArray[np.float64]
    lengths: NDArray[np.int64]
    successes: NDArray[np.int8]
    actions: NDArray[np.float32]


def play(
    tasks: Mapping[str, Task],
    group: Callable[[dict[str, int]], Group],
    device: torch.device,
    num_episodes: int,
    num_envs: int,
    first_seed: int,
    on_episode: Callable[[int], None] | None,
) -> dict[str, Played]:
    """Play the same number of episodes for each name.

    Args:
        tasks: what to play, by name.
        group: makes who acts, for a number of environments by name; called once a wave, or half a wave.
        device: where observations go.
        num_episodes: N; episode i has seed first_seed + i.
        num_envs: environments of each name at a time.
        first_seed: of the environments.
        on_episode: called with the number of finished episodes, of all names together, whenever it has grown.
    """
    if num_episodes < 1 or num_envs < 1:
        raise TransferError(f"num_episodes={num_episodes} and num_envs={num_envs} must be at least 1.")
    seeds, count = first_seed + np.arange(num_episodes), min(num_envs, num_episodes)
    done: dict[str, list[Played]] = {name: [] for name in tasks}
    with ExitStack() as stack:
        slots = {
            name: [stack.enter_context(closing(task.env_spec.make())) for _ in range(count)]
            for name, task in tasks.items()
        }
        simulator = stack.enter_context(ThreadPoolExecutor(1, "simulator"))
        for part in np.split(seeds, range(count, num_episodes, count)):
            crews = make_crews(tasks, slots, part, group, device)
            finish(crews, simulator, (int(part[0]) - first_seed) * len(tasks), on_episode)
            for name in tasks:
                done[name] += [crew.waves[name].played() for crew in crews]
    return {name: Played(*map(np.concatenate, zip(*some, strict=True))) for name, some in done.items()}


def make_crews(
    tasks: Mapping[str, Task],
    slots: Mapping[str, list[gymnasium.Env[Any, Any]]],
    seeds: NDArray[np.int64],
    group: Callable[[dict[str, int]], Group],
    device: torch.device,
) -> list[Crew]:
    """Of one wave: its halves on a CPU, where that is worth it, else all in one."""
    halves = 2 if device.type == "cpu" and len(seeds) >= WORTH_HALVING else 1
    crews, first = [], 0
    for some in np.array_split(seeds, halves):
        seats = slice(first, first + len(some))
        waves = {name: _Wave(slots[name][seats], some, task, device) for name, task in tasks.items()}
        crews.append(Crew(waves, group({name: len(some) for name in tasks})))
        first = seats.stop
    return crews


def finish(
    crews: list[Crew], simulator: ThreadPoolExecutor, before: int, on_episode: Callable[[int], None] | None
) -> None:
    """Play until all episodes are over: one crew acts while the environments of the other move."""
    moving: dict[int, Future[bool]] = {}
    going = dict(enumerate(crews))
    while going:
        for number, crew in list(going.items()):
            if number in moving and moving.pop(number).result():
                crew.leave_behind()
                if on_episode is not None:
                    on_episode(before + sum(crew.finished for crew in crews))
            if crew.going:
                moving[number] = simulator.submit(crew.move, crew.act())
            else:
                del going[number]


class Crew:
    """Some environments of each name that play in lockstep, and who acts in them."""

    def __init__(self, waves: dict[str, _Wave], group: Group) -> None:
        self.waves = self.going = waves
        self.group = group
        self.stay: dict[str, NDArray[np.bool_]] = {}
        self.finished = 0

    def act(self) -> dict[str, NDArray[np.float32]]:
        """Actions (E, A) by name, for what the environments show."""
        actions = self.group.step({name: wave.seen() for name, wave in self.going.items()})
        return {name: some.cpu().numpy() for name, some in actions.items()}

    def move(self, actions: dict[str, NDArray[np.float32]]) -> bool:
        """Step the environments; returns whether an episode is over."""
        self.stay = {name: wave.step(actions[name]) for name, wave in self.going.items()}
        return not all(rows.all() for rows in self.stay.values())

    def leave_behind(self) -> None:
        """Go on without the episodes that are over."""
        self.finished = sum(len(wave.envs) - len(wave.alive) for wave in self.waves.values())
        rows = {name: torch.from_numpy(rows).to(self.going[name].device) for name, rows in self.stay.items()}
        self.going = {name: wave for name, wave in self.going.items() if len(wave.alive)}
        if self.going:
            self.group.select(rows)


class _Wave:
    """One episode in each of some environments; those that are over cost nothing."""

    def __init__(
        self, envs: list[gymnasium.Env[Any, Any]], seeds: NDArray[np.int64], task: Task, device: torch.device
    ) -> None:
        self.envs, self.task, self.device, self.time = envs, task, device, 0
        self.alive = np.arange(len(envs))
        self.states = np.stack([env.reset(seed=int(seed))[0] for env, seed in zip(envs, seeds, strict=True)])
        self.returns, self.lengths = np.zeros(len(envs)), np.zeros(len(envs), np.int64)
        self.successes = np.full(len(envs), -1, np.int8)
        self.sample: list[NDArray[np.float32]] = []

    def seen(self) -> Seen:
        """What the environments show that are not over."""
        wanted = (self.task.target_return - self.returns[self.alive]).astype(np.float32)
        times = torch.full((len(self.alive),), self.time, device=self.device)
        states = torch.from_numpy(self.states.astype(np.float32))
        return states.to(self.device), torch.from_numpy(wanted).to(self.device), times

    def step(self, actions: NDArray[np.float32]) -> NDArray[np.bool_]:
        """Act, (E, A); returns which of the E environments go on, (E,)."""
        space: Any = self.envs[0].action_space
        actions = np.clip(actions, space.low, space.high)
        if self.time % 10 == 0:
            self.sample.append(actions)
        steps = [self.envs[i].step(action) for i, action in zip(self.alive, actions, strict=True)]
        self.returns[self.alive] += [float(step[1]) for step in steps]
        self.lengths[self.alive] += 1
        said = [int(step[4].get("success", -1)) for step in steps]
        self.successes[self.alive] = np.maximum(self.successes[self.alive], said)
        self.time += 1
        last = self.time == self.task.env_spec.max_episode_steps
        going = np.array([not (last or step[2] or step[3]) for step in steps])
        self.states, self.alive = np.stack([step[0] for step in steps])[going], self.alive[going]
        return going

    def played(self) -> Played:
        """What came of it."""
        return Played(self.returns, self.lengths, self.successes, np.concatenate(self.sample))
