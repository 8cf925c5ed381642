"""One wave of episodes: an episode in each of some environments of one name, stepped one after another.

Environments get actions of their own. What one answers is read before the next is asked, which may answer in the same
array.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from transfer.data.environment.answers import first_infinite, misshapen
from transfer.evaluation.slots import Slot, Task
from transfer.runtime.process import isolated

SAMPLED = 10  # every so many steps the actions are kept
Seen = tuple[Tensor, Tensor, Tensor]
"""What E environments show a policy: states (E, S), returns still wanted (E,), step numbers (E,)."""


class Played(NamedTuple):
    """Of N episodes the returns, lengths, successes (1, 0, or -1 where the environment never said), each (N,).

    `actions` are every tenth of those taken, (M, A).
    """

    returns: NDArray[np.float64]
    lengths: NDArray[np.int64]
    successes: NDArray[np.int8]
    actions: NDArray[np.float32]


class Wave:
    """One episode in each of some environments; those that are over cost nothing.

    Args:
        slots: E of them.
        seeds: (E,) of their episodes.
        task: what is played.
        device: where observations go.

    Raises:
        TransferError: an environment fails, does not speak Gymnasium's interface, or shows what is no state.
    """

    def __init__(self, slots: Sequence[Slot], seeds: NDArray[np.int64], task: Task, device: torch.device) -> None:
        self.slots, self.task, self.device, self.time = slots, task, device, 0
        self.alive = np.arange(len(slots))
        self.returns, self.lengths = np.zeros(len(slots)), np.zeros(len(slots), np.int64)
        self.successes = np.full(len(slots), -1, np.int8)
        self.sample: list[NDArray[np.float32]] = []
        with isolated():
            self.states = self._gather([slot.reset(int(seed)) for slot, seed in zip(slots, seeds, strict=True)])

    def seen(self) -> Seen:
        """What the environments show that are not over."""
        wanted = (self.task.target_return - self.returns[self.alive]).astype(np.float32)
        times = torch.full((len(self.alive),), self.time, dtype=torch.int64, device=self.device)
        return torch.from_numpy(self.states).to(self.device), torch.from_numpy(wanted).to(self.device), times

    def step(self, actions: NDArray[np.float32]) -> NDArray[np.bool_]:
        """Act, (E, A); returns which of the E environments go on, (E,). To be called where no mode of PyTorch's is on.

        Raises:
            TransferError: an action or an answer is not finite, or an environment fails.
        """
        self._check("the policy's action", actions)
        actions = np.clip(actions, self.slots[0].low, self.slots[0].high)
        if self.time % SAMPLED == 0:
            self.sample.append(actions.copy())
        self.time += 1
        answers = [self.slots[i].step(action) for i, action in zip(self.alive.tolist(), actions, strict=True)]
        states, paid, said = zip(*answers, strict=True)
        self.returns[self.alive] += paid
        self.successes[self.alive] = np.maximum(self.successes[self.alive], said)
        self.lengths[self.alive] += 1
        last = self.time == self.task.env_spec.max_episode_steps
        going = np.array([not last and state is not None for state in states])
        self.alive = self.alive[going]
        self.states = self._gather([state for state in states if not last and state is not None])
        return going

    def _gather(self, states: list[NDArray[Any]]) -> NDArray[np.float32]:
        """The states (E, S) of the environments that go on.

        Raises:
            TransferError: one has another shape, or is not finite.
        """
        size = self.task.env_spec.state_size
        for state, i in zip(states, self.alive.tolist(), strict=True):
            if state.shape != (size,):
                raise self.slots[i].failed(misshapen(state.shape, size))
        with np.errstate(over="ignore"):  # what is too large for float32 becomes infinite, and is told of
            rows = np.array(states).reshape(-1, size).astype(np.float32)
        self._check("the observation", rows)
        return rows

    def _check(self, what: str, rows: NDArray[np.float32]) -> None:
        """Raise TransferError unless the numbers (E, n), a row for each environment that goes on, are finite."""
        if not np.isfinite(rows).all():
            row = int(np.flatnonzero(~np.isfinite(rows).all(1))[0])
            raise self.slots[self.alive[row]].failed(f"{what} is not finite: {first_infinite(rows[row])}.")

    def played(self) -> Played:
        """What came of it."""
        return Played(self.returns, self.lengths, self.successes, np.concatenate(self.sample))
