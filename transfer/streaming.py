"""Decoding as trained: one action dimension after another, over a window that grows and restarts."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from transfer.decoder import Decoder
from transfer.errors import TransferError, unknown
from transfer.model import TransferModel

DECODES = ("autoregressive", "parallel")


class _Step(NamedTuple):
    """One past step of E environments: states (E, S), returns (E,), times (E,), actions (E, A)."""

    states: Tensor
    returns: Tensor
    times: Tensor
    actions: Tensor


class Stream:
    """Actions for E environments in lockstep, each token read through a key/value cache.

        context:  step 0, 1, ... T-1, then again from the newest T/2 steps, whose keys and values are recomputed once

    So what the trunk sees is always a window as in training, and each token is computed at most twice. A sliding cache
    would combine keys that no training window ever saw together.

    Args:
        model: in eval mode.
        rows: E.
        context: T, steps.
        decode: "autoregressive", where each action dimension is chosen knowing those before it (eq. 5 of the
            tokenized-action paper), or "parallel", where all are read at once behind tokens of the value 0, which is
            what that paper's code does.
    """

    def __init__(self, model: TransferModel, rows: int, context: int, decode: str = "autoregressive") -> None:
        if decode not in DECODES:
            raise unknown("decode", decode, DECODES)
        if context < 2:
            raise TransferError(f"context={context}: a stream needs at least 2 steps.")
        self.model, self.context, self.decode = model, context, decode
        self.past: list[_Step] = []
        self.pending: Tensor | None = None  # tokens (E, n, D) chosen, but not yet read by the trunk
        room = context * model.tokens_per_step
        self.decoder = Decoder(model.trunk, model.adapter.gains(), rows, room)

    def step(self, states: Tensor, returns: Tensor, times: Tensor) -> Tensor:
        """Actions (E, A) for states (E, S), returns still wanted (E,) and step numbers (E,)."""
        if len(self.past) == self.context:
            self._restart()
        time = self.model.trunk.time(times[:, None])  # (E, 1, D)
        head = [self.model.embed_return(returns[:, None])[:, 0], self.model.adapter.embed_state(states[:, None])[:, 0]]
        tokens = [*([] if self.pending is None else [self.pending]), *(part + time for part in head)]
        hidden = self.decoder.read(torch.cat(tokens, 1))  # (E, 1, D), at the state token
        actions = self._choose(hidden, time)  # (E, A)
        self.past.append(_Step(states, returns, times, actions))
        return actions

    def _choose(self, hidden: Tensor, time: Tensor) -> Tensor:
        """Actions from the hidden vector at the state token, and the action tokens that the trunk has yet to read."""
        action = self.model.adapter.action
        if not action.spread:
            chosen = action.predict(hidden)
            self.pending = action(chosen[:, None])[:, 0] + time
            return chosen
        values = self._parallel(hidden, time) if self.decode == "parallel" else self._one_by_one(hidden, time)
        unread = 0 if self.decode == "parallel" else action.action_size - 1
        self.pending = action(values[:, unread:], unread) + time
        return values

    def _one_by_one(self, hidden: Tensor, time: Tensor) -> Tensor:
        action = self.model.adapter.action
        values: list[Tensor] = []
        for i in range(action.action_size):
            if i:
                hidden = self.decoder.read(action(values[-1], i - 1) + time)
            values.append(action.predict(hidden, i))  # (E, 1)
        return torch.cat(values, 1)

    def _parallel(self, hidden: Tensor, time: Tensor) -> Tensor:
        action, rows = self.model.adapter.action, len(hidden)
        if action.action_size > 1:
            before, unknown_yet = self.decoder.length, action.action_size - 1
            zeros = action(hidden.new_zeros(rows, unknown_yet)) + time
            hidden = torch.cat([hidden, self.decoder.read(zeros, unknown_yet)], 1)  # (E, A, D)
            self.decoder.forget(before)  # the zeros; the chosen action is read with the next step
        return action.predict(hidden)

    def _restart(self) -> None:
        """Read the newest T/2 steps again, as a window of their own."""
        self.past = self.past[-(self.context // 2) :]
        states, returns, times, actions = (torch.stack(column, 1) for column in zip(*self.past, strict=True))
        self.pending = None
        self.decoder.forget(0)
        self.decoder.read(self.model.tokens(states, actions, returns, times), 0)

    def select(self, rows: Tensor) -> None:
        """Go on with some of the environments, (E,) boolean."""
        self.past = [_Step(*(column[rows] for column in step)) for step in self.past]
        self.pending = self.pending[rows] if self.pending is not None else None
        self.decoder.select(rows)
