"""Rollouts: each episode has its own seed and its own slot, and nothing is reset before its wave is over.

On a CPU of two cores or more a wave is played in two halves: while the model acts for one, a thread steps the
environments of the other. A wave in one piece is played in the calling thread.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray

from transfer.evaluation.slots import Slot, Task
from transfer.evaluation.waves import Played, Wave
from transfer.models.acting import Command, Planner

FIRST_SEED = 10_000
"""Environment seed of an evaluation's first episode."""
WORTH_HALVING = 8  # episodes; with fewer, two small forwards cost more than the simulators
OnEpisode = Callable[[int], None]
Plan = Callable[[NDArray[np.int64]], tuple[Planner, Command]]


def rollout(
    slots: Sequence[Slot],
    task: Task,
    plan: Plan,
    device: torch.device,
    seeds: NDArray[np.int64],
    on_episode: OnEpisode | None = None,
) -> Played:
    """Play episodes, in waves of as many as there are slots.

    Args:
        slots: environments.
        task: environment spec.
        plan: makes planner and command for E episodes of seeds (E,); called at the beginning of a wave, for each of its
            halves.
        device: where observations go.
        seeds: (N,), one for each episode.
        on_episode: called with the number of finished episodes whenever it has grown.

    Raises:
        TransferError: an environment fails, or answers what is no number.
    """
    finished, done = 0, list[Wave]()
    with ThreadPoolExecutor(1, "simulator") as simulator:
        for part in np.split(seeds, range(len(slots), len(seeds), len(slots))):
            halves = _halves(slots, part, task, plan, device)
            turns = deque[tuple[Wave, Callable[[], int]]]((half, lambda: 0) for half in halves)
            while turns:
                half, moved = turns.popleft()
                ended = moved()
                finished += ended
                if ended and on_episode is not None:
                    on_episode(finished)
                if len(half.going):
                    move = partial(half.step, half.act())
                    turns.append((half, simulator.submit(move).result if len(halves) > 1 else move))
            done += halves
    return Played(*map(np.concatenate, zip(*(wave.played() for wave in done), strict=True)))


def _halves(
    slots: Sequence[Slot], seeds: NDArray[np.int64], task: Task, plan: Plan, device: torch.device
) -> list[Wave]:
    """One wave: in halves on a CPU with a second core, else in one piece."""
    pieces = 2 if device.type == "cpu" and usable_cores() > 1 and len(seeds) >= WORTH_HALVING else 1
    halves, first = [], 0
    for some in np.array_split(seeds, pieces):
        halves.append(Wave(slots[first : first + len(some)], some, task, *plan(some), device))
        first += len(some)
    return halves


def usable_cores() -> int:
    """Cores that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
