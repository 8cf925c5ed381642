"""Playing episodes: each has its own seed and its own slot, and nothing is reset until a whole wave is over.

On a CPU of two cores or more a wave plays in two halves: while the model reads for one, a thread steps the environments
of the other. What is no wave of halves plays in the calling thread.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from typing import NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from transfer.decoding.history import check_decode
from transfer.errors import TransferError
from transfer.evaluation.slots import Slot, Task, opened
from transfer.evaluation.waves import Played, Seen, Wave
from transfer.numbers import MOST_ENVS, MOST_EPISODES, MOST_SEED, seen, whole
from transfer.runtime.process import acting, isolated

FIRST_SEED = 10_000
WORTH_HALVING = 8  # environments of a name; with fewer, two small forwards cost more than the simulators
Actions = dict[str, NDArray[np.float32]]
OnEpisode = Callable[[int], None]


class Settings(NamedTuple):
    """How much to play, and how: what `evaluate`, `evaluate_together` and `calibrate` have in common."""

    num_episodes: int
    num_envs: int
    decode: str
    first_seed: int
    on_episode: OnEpisode | None

    @classmethod
    def of(
        cls, num_episodes: object, num_envs: object, decode: object, first_seed: object, on_episode: OnEpisode | None
    ) -> Settings:
        """What a caller gave, as plain values.

        Raises:
            TransferError: a value of a wrong type or size, an unknown decode.
        """
        if on_episode is not None and not callable(on_episode):
            raise TransferError(f"on_episode={seen(on_episode)}: a function of the finished episodes, or None.")
        return cls(
            whole(num_episodes, "num_episodes", least=1, most=MOST_EPISODES),
            whole(num_envs, "num_envs", least=1, most=MOST_ENVS),
            check_decode(decode),
            whole(first_seed, "first_seed", least=0, most=MOST_SEED - MOST_EPISODES),
            on_episode,
        )


class Group(Protocol):
    """Acts in the environments of several names in lockstep."""

    def step(self, seen: Mapping[str, Seen]) -> dict[str, Tensor]:
        """Actions (E, A) by name, for what the environments of the name show."""
        ...

    def select(self, rows: Mapping[str, Tensor]) -> None:
        """Go on with some of the environments, (E,) boolean by name; a name without any left is over."""
        ...


def play(
    tasks: Mapping[str, Task], group: Callable[[dict[str, int]], Group], device: torch.device, settings: Settings
) -> dict[str, Played]:
    """Play the same number of episodes for each name.

    Args:
        tasks: what to play, by name.
        group: makes who acts, for a number of environments by name; called once a wave, or half a wave.
        device: where observations go.
        settings: N episodes, of which i has seed first_seed + i; environments of each name at a time; and what is
            called with the number of finished episodes, of all names together, whenever it has grown.

    Raises:
        TransferError: an environment cannot be built, fails, or answers what is no number.
    """
    number, first_seed = settings.num_episodes, settings.first_seed
    seeds, count = first_seed + np.arange(number), min(settings.num_envs, number)
    done: dict[str, list[Played]] = {name: [] for name in tasks}
    with ExitStack() as stack:
        alone = count * len(tasks) == 1
        slots = {
            name: [stack.enter_context(opened(task, i, alone)) for i in range(count)] for name, task in tasks.items()
        }
        simulator = stack.enter_context(ThreadPoolExecutor(1, "simulator"))
        for part in np.split(seeds, range(count, number, count)):
            crews = make_crews(tasks, slots, part, group, device)
            finish(crews, simulator, (int(part[0]) - first_seed) * len(tasks), settings.on_episode)
            for name in tasks:
                done[name] += [crew.waves[name].played() for crew in crews]
    return {name: Played(*map(np.concatenate, zip(*some, strict=True))) for name, some in done.items()}


def usable_cores() -> int:
    """Cores that this process may run on; with one of them a second thread only takes turns with the first."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def make_crews(
    tasks: Mapping[str, Task],
    slots: Mapping[str, list[Slot]],
    seeds: NDArray[np.int64],
    group: Callable[[dict[str, int]], Group],
    device: torch.device,
) -> list[Crew]:
    """Of one wave: its halves on a CPU, where that is worth it, else all in one."""
    halves = 2 if device.type == "cpu" and usable_cores() > 1 and len(seeds) >= WORTH_HALVING else 1
    crews, first = [], 0
    for some in np.array_split(seeds, halves):
        seats = slice(first, first + len(some))
        waves = {name: Wave(slots[name][seats], some, task, device) for name, task in tasks.items()}
        crews.append(Crew(waves, acting(group)({name: len(some) for name in tasks})))
        first = seats.stop
    return crews


def finish(crews: list[Crew], simulator: ThreadPoolExecutor, before: int, on_episode: OnEpisode | None) -> None:
    """Play until all episodes are over: one crew acts while the environments of the other move."""
    submit = simulator.submit if len(crews) > 1 else _here
    moving: dict[int, Future[bool]] = {}
    going = dict(enumerate(crews))
    while going:
        for number, crew in list(going.items()):
            if number in moving and moving.pop(number).result():
                crew.leave_behind()
                if on_episode is not None:
                    on_episode(before + sum(crew.finished for crew in crews))
            if crew.going:
                moving[number] = submit(crew.move, crew.act())
            else:
                del going[number]


def _here(move: Callable[[Actions], bool], actions: Actions) -> Future[bool]:
    """Move without another thread: environments see none of PyTorch's modes of this one either."""
    over: Future[bool] = Future()
    with isolated():
        over.set_result(move(actions))
    return over


class Crew:
    """Some environments of each name that play in lockstep, and who acts in them."""

    def __init__(self, waves: dict[str, Wave], group: Group) -> None:
        self.waves = self.going = waves
        self.group = group
        self.stay: dict[str, NDArray[np.bool_]] = {}
        self.finished = 0

    @acting
    def act(self) -> Actions:
        """Actions (E, A) by name, for what the environments show."""
        actions = self.group.step({name: wave.seen() for name, wave in self.going.items()})
        return {name: some.float().cpu().numpy() for name, some in actions.items()}

    def move(self, actions: Actions) -> bool:
        """Step the environments; returns whether an episode is over."""
        self.stay = {name: wave.step(actions[name]) for name, wave in self.going.items()}
        return not all(rows.all() for rows in self.stay.values())

    @acting
    def leave_behind(self) -> None:
        """Go on without the episodes that are over."""
        self.finished = sum(len(wave.slots) - len(wave.alive) for wave in self.waves.values())
        rows = {name: torch.from_numpy(rows).to(self.going[name].device) for name, rows in self.stay.items()}
        self.going = {name: wave for name, wave in self.going.items() if len(wave.alive)}
        if self.going:
            self.group.select(rows)
