"""Playing episodes: each has its own seed and its own slot, and nothing is reset until a whole wave is over.

On a CPU of two cores or more a wave plays in two halves: while the model acts for one, a thread steps the environments
of the other. A wave in one piece plays in the calling thread.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from transfer.decoding.planner import check_decode
from transfer.errors import TransferError
from transfer.evaluation.slots import Slot, Task
from transfer.evaluation.waves import Played, Wave
from transfer.models.acting import Planner
from transfer.numbers import MOST_ENVS, MOST_EPISODES, MOST_SEED, seen, whole

FIRST_SEED = 10_000
"""Environment seed of an evaluation's first episode."""
WORTH_HALVING = 8  # episodes; with fewer, two small forwards cost more than the simulators
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


def rollout(
    slots: Sequence[Slot], task: Task, plan: Callable[[int], Planner], device: torch.device, settings: Settings
) -> Played:
    """Play episodes, in waves of as many as there are slots.

    Args:
        slots: environments.
        task: what is played in them.
        plan: makes the planner for E environments; called at the beginning of a wave, for each of its halves.
        device: where observations go.
        settings: N episodes, of which i has seed first_seed + i.

    Raises:
        TransferError: an environment fails, or answers what is no number.
    """
    finished, done = 0, list[Wave]()
    with ThreadPoolExecutor(1, "simulator") as simulator:
        seeds = settings.first_seed + np.arange(settings.num_episodes)
        for part in np.split(seeds, range(len(slots), len(seeds), len(slots))):
            halves = _halves(slots, part, task, plan, device)
            turns = deque[tuple[Wave, Callable[[], int]]]((half, lambda: 0) for half in halves)
            while turns:
                half, moved = turns.popleft()
                ended = moved()
                finished += ended
                if ended and settings.on_episode is not None:
                    settings.on_episode(finished)
                if len(half.going):
                    move = partial(half.step, half.act())
                    turns.append((half, simulator.submit(move).result if len(halves) > 1 else move))
            done += halves
    return Played(*map(np.concatenate, zip(*(wave.played() for wave in done), strict=True)))


def _halves(
    slots: Sequence[Slot],
    seeds: NDArray[np.int64],
    task: Task,
    plan: Callable[[int], Planner],
    device: torch.device,
) -> list[Wave]:
    """One wave: in halves on a CPU, where that is worth it, else in one piece."""
    pieces = 2 if device.type == "cpu" and usable_cores() > 1 and len(seeds) >= WORTH_HALVING else 1
    halves, first = [], 0
    for some in np.array_split(seeds, pieces):
        halves.append(Wave(slots[first : first + len(some)], some, task, plan(len(some)), device))
        first += len(some)
    return halves


def usable_cores() -> int:
    """Cores that this process may run on; with one of them a second thread only takes turns with the first."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def counted_from(before: int, on_episode: OnEpisode | None) -> OnEpisode | None:
    """`on_episode` for one of several rollouts: it is told of the `before` episodes of those before, too."""
    return None if on_episode is None else lambda finished: on_episode(before + finished)
