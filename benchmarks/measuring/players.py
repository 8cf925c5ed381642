"""Two ways of acting in E environments: the library's planner, and recomputing the whole window for each action."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import fields
from typing import Protocol

import torch
from torch import Tensor

from transfer import TransferModel
from transfer.data.batch import Batch
from transfer.models.acting import Step


class Actor(Protocol):
    """A planner, or a baseline in its place."""

    def act(self, step: Step) -> Tensor:
        """Actions (E, A)."""
        ...


class Recompute:
    """No cache: the newest T steps go through the trunk again for each forward.

    One forward per action dimension with a spread embedding, one per step otherwise. A forward reads all tokens of the
    window, those of the action dimensions that are still unknown (zeros) included.

    Args:
        model: in eval mode.
        context: T.
    """

    def __init__(self, model: TransferModel, context: int) -> None:
        self.model, self.context = model, context
        self.window: Batch | None = None

    def act(self, step: Step) -> Tensor:
        """Actions (E, A)."""
        action, states = self.model.adapter.action, step.states[:, None]
        unknown = states.new_zeros(len(states), 1, action.action_size)
        newest = Batch(
            states=states,
            actions=unknown,
            rewards=states.new_zeros(len(states), 1),
            times=step.times[:, None],
            mask=torch.ones(len(states), 1, dtype=torch.bool),
            columns={name: column[:, None] for name, column in step.columns.items()},
        )
        self.window = window = newest if self.window is None else _joined(self.window, newest, self.context)
        for i in range(action.tokens):
            hidden = self._hidden(window)  # (E, n, D)
            if action.tokens > 1:
                window.actions[:, -1, i] = action.predict(hidden[:, i : i + 1], self.model.shared, i)[:, 0]
            else:
                window.actions[:, -1] = action.predict(hidden, self.model.shared)
        return window.actions[:, -1].clone()

    def _hidden(self, window: Batch) -> Tensor:
        tokens = self.model.embed(window, self.model.values(window))
        return self.model.hidden(tokens, ["action"])["action"][:, -1]


def _joined(window: Batch, newest: Batch, context: int) -> Batch:
    def join(old: Tensor, new: Tensor) -> Tensor:
        return torch.cat([old, new], 1)[:, -context:]

    names = [field.name for field in fields(Batch) if field.name != "columns"]
    columns = {name: join(old, newest.columns[name]) for name, old in window.columns.items()}
    return Batch(**{name: join(getattr(window, name), getattr(newest, name)) for name in names}, columns=columns)


def made_up_states(model: TransferModel, envs: int) -> Tensor:
    """States (E, S) for a `Player` without environments."""
    return torch.randn(envs, model.env_spec.state_size, generator=torch.Generator().manual_seed(0))


class Player:
    """Acts in E environments, one cycle of the planner's window at a time.

    A planner fills its context of T steps and goes on from the newest T/2, so after T steps each T - T/2 steps hold
    exactly one restart: that is a cycle. The constructor fills the context.

    Args:
        actor: chooses the actions.
        states: (E, S), the first ones.
        context: T.
        move: steps the environments, actions (E, A) -> states (E, S); where there are none, the states stay.
    """

    def __init__(
        self, actor: Actor, states: Tensor, context: int, move: Callable[[Tensor], Tensor] | None = None
    ) -> None:
        self.actor, self.states, self.move = actor, states, move
        self.time, self.cycle = 0, context - context // 2
        self.play(context)

    @torch.inference_mode()
    def play(self, steps: int | None = None) -> tuple[float, float]:
        """A cycle, or some steps; returns the seconds of the actor and of the environments."""
        acted, moved, envs = 0.0, 0.0, len(self.states)
        for _ in range(self.cycle if steps is None else steps):
            began = time.perf_counter()
            step = Step(
                self.states,
                torch.zeros(envs, dtype=torch.float64),
                torch.full((envs,), self.time),
                {"returns": torch.full((envs,), 1000.0)},
            )
            actions = self.actor.act(step)
            between = time.perf_counter()
            if self.move is not None:
                self.states = self.move(actions)
            acted, moved = acted + between - began, moved + time.perf_counter() - between
            self.time += 1
        return acted, moved
