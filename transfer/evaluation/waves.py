"""One wave of episodes: an episode in each of E environments, stepped one after another.

Each environment gets an action array of its own. Its answer is copied before the next environment is stepped, which may
answer in the same array.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from transfer.data.environment.answers import first_infinite, misshapen
from transfer.errors import TransferError
from transfer.evaluation.slots import Slot, Task
from transfer.models.acting import Command, Planner, Step
from transfer.runtime.process import inference_only, isolated

SAMPLED = 10  # steps between kept actions


class Played(NamedTuple):
    """Returns, lengths and successes (1, 0, or -1 where never reported) of N episodes, each (N,).

    `actions` are those of every tenth step, (M, A).
    """

    returns: NDArray[np.float64]
    lengths: NDArray[np.int64]
    successes: NDArray[np.int8]
    actions: NDArray[np.float32]


class Wave:
    """One episode in each of E environments, in lockstep; those that are over are not stepped.

    Args:
        slots: E of them.
        seeds: (E,) of their episodes.
        task: environment spec.
        planner: for the E environments.
        command: of the E episodes.
        device: where observations go.

    Attributes:
        going: indices of the episodes that are not over.

    Raises:
        TransferError: an environment fails, breaks Gymnasium's interface, or gives an observation that is no state.
    """

    def __init__(
        self,
        slots: Sequence[Slot],
        seeds: NDArray[np.int64],
        task: Task,
        planner: Planner,
        command: Command,
        device: torch.device,
    ) -> None:
        self.slots, self.task, self.planner, self.command, self.device = slots, task, planner, command, device
        self.time, self.paid = 0, np.zeros(len(slots))
        self.going = np.arange(len(slots))
        self.left: NDArray[np.int64] | None = (
            None  # indices, among those that acted last, of those that go on; None where none ended
        )
        self.returns, self.lengths = np.zeros(len(slots)), np.zeros(len(slots), np.int64)
        self.successes = np.full(len(slots), -1, np.int8)
        self.sample: list[NDArray[np.float32]] = []
        with isolated():
            self.states = self._gather([slot.reset(int(seed)) for slot, seed in zip(slots, seeds, strict=True)])

    @inference_only
    def act(self) -> NDArray[np.float32]:
        """Actions (E, A) for the episodes that go on."""
        if self.left is not None:
            left = torch.from_numpy(self.left).to(self.device)
            self.planner.select(left)
            self.command.select(left)
        times = torch.full((len(self.going),), self.time, dtype=torch.int64, device=self.device)
        step = Step(torch.from_numpy(self.states).to(self.device), torch.from_numpy(self.paid), times)
        step = step._replace(columns=self.command.columns(step))
        actions: NDArray[np.float32] = self.planner.act(step).float().cpu().numpy()
        if actions.shape != (wanted := (len(self.going), self.task.env_spec.action_size)):
            raise TransferError(f"the planner's actions have shape {actions.shape}; {wanted} is needed.")
        return actions

    @isolated()
    def step(self, actions: NDArray[np.float32]) -> int:
        """Step the environments of the episodes that go on, (E, A); returns how many of them ended.

        Raises:
            TransferError: an action or an answer is not finite, or an environment fails.
        """
        self._check("the policy's action", actions)
        actions = np.clip(actions, self.slots[0].low, self.slots[0].high)
        if self.time % SAMPLED == 0:
            self.sample.append(actions.copy())
        self.time += 1
        answers = [self.slots[i].step(action) for i, action in zip(self.going.tolist(), actions, strict=True)]
        states, paid, said = zip(*answers, strict=True)
        self.returns[self.going] += paid
        self.successes[self.going] = np.maximum(self.successes[self.going], said)
        self.lengths[self.going] += 1
        last = self.time == self.task.env_spec.max_episode_steps
        left = np.array([i for i, state in enumerate(states) if not last and state is not None], np.int64)
        ended = len(self.going) - len(left)
        self.left, self.going = left if ended else None, self.going[left]
        self.paid = np.array(paid, np.float64)[left]
        self.states = self._gather([states[i] for i in left.tolist()])
        return ended

    def _gather(self, states: list[NDArray[Any]]) -> NDArray[np.float32]:
        """The states (E, S) of the episodes that go on.

        Raises:
            TransferError: one has another shape, or is not finite.
        """
        size = self.task.env_spec.state_size
        for state, i in zip(states, self.going.tolist(), strict=True):
            if state.shape != (size,):
                raise self.slots[i].failed(misshapen(state.shape, size))
        with np.errstate(over="ignore"):  # too large for float32: infinite, refused below
            gathered = np.array(states).reshape(-1, size).astype(np.float32)
        self._check("the observation", gathered)
        return gathered

    def _check(self, what: str, values: NDArray[np.float32]) -> None:
        """Raise TransferError unless the actions or states (E, n) of the episodes that go on are finite."""
        if not np.isfinite(values).all():
            i = int(np.flatnonzero(~np.isfinite(values).all(1))[0])
            raise self.slots[self.going[i]].failed(f"{what} is not finite: {first_infinite(values[i])}.")

    def played(self) -> Played:
        """Returns, lengths, successes and some actions of the E episodes."""
        return Played(self.returns, self.lengths, self.successes, np.concatenate(self.sample))
