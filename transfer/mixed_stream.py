"""Decoding for several adapters in lockstep: one forward of the shared trunk reads the newest tokens of all rows."""

from __future__ import annotations

from collections.abc import Generator, Mapping

import torch
from torch import Tensor

from transfer.errors import TransferError, unknown
from transfer.mixed import MixedModel, stacked, unstacked
from transfer.model import TransferModel
from transfer.playing import Seen
from transfer.streaming import DECODES


class _Lane:
    """The environments of one adapter: their past, and how their next action comes about."""

    def __init__(self, model: TransferModel, decode: str) -> None:
        self.model, self.decode = model, decode
        self.past: list[tuple[Tensor, ...]] = []  # of each step states (E, S), returns (E,), times (E,), actions (E, A)
        self.unread: list[Tensor] = []  # tokens (E, n, D) of the past that the trunk has yet to read

    def act(self, states: Tensor, returns: Tensor, times: Tensor) -> Generator[Tensor, Tensor, Tensor]:
        """Actions (E, A); on the way yields tokens (E, n, D) and is sent what the trunk makes of them, (E, n, D)."""
        time = self.model.trunk.time(times[:, None])  # (E, 1, D)
        head = [self.model.embed_return(returns[:, None])[:, 0], self.model.adapter.embed_state(states[:, None])[:, 0]]
        hidden = yield torch.cat([*self.unread, *(part + time for part in head)], 1)
        actions = yield from self._choose(hidden[:, -1:], time)
        self.past.append((states, returns, times, actions))
        return actions

    def _choose(self, hidden: Tensor, time: Tensor) -> Generator[Tensor, Tensor, Tensor]:
        """Actions from the hidden vector (E, 1, D) at the state token; goes on as `act` does."""
        action = self.model.adapter.action
        if not action.spread:
            whole: Tensor = action.predict(hidden)
            self.unread = [action(whole[:, None])[:, 0] + time]
            return whole
        values = yield from (self._parallel if self.decode == "parallel" else self._one_by_one)(hidden, time)
        known = 0 if self.decode == "parallel" else action.action_size - 1
        self.unread = [action(values[:, known:], known) + time]
        return values

    def _one_by_one(self, hidden: Tensor, time: Tensor) -> Generator[Tensor, Tensor, Tensor]:
        action = self.model.adapter.action
        values = [action.predict(hidden, 0)]  # (E, 1) each
        for i in range(1, action.action_size):
            hidden = yield action(values[-1], i - 1) + time
            values.append(action.predict(hidden, i))
        return torch.cat(values, 1)

    def _parallel(self, hidden: Tensor, time: Tensor) -> Generator[Tensor, Tensor, Tensor]:
        action = self.model.adapter.action
        if action.action_size > 1:
            zeros = hidden.new_zeros(len(hidden), action.action_size - 1)
            hidden = torch.cat([hidden, (yield action(zeros) + time)], 1)  # (E, A, D)
        values: Tensor = action.predict(hidden)
        return values

    def restart(self, steps: int) -> None:
        """Let the newest steps be all the past, to be read again."""
        self.past = self.past[-steps:]
        states, returns, times, actions = (torch.stack(column, 1) for column in zip(*self.past, strict=True))
        self.unread = [self.model.tokens(states, actions, returns, times)]

    def select(self, rows: Tensor) -> None:
        """Go on with some of the environments, (E,) boolean."""
        self.past = [tuple(column[rows] for column in step) for step in self.past]
        self.unread = [tokens[rows] for tokens in self.unread]


class MixedStream:
    """Actions for the environments of several adapters in lockstep, as `transfer.streaming.Stream` gives for each.

    A row reads its own tokens only. Where another adapter has more of them, the row's slot in the cache stays unused,
    and the mask hides it from all later tokens:

        slot       0   1   2   3   4   5   6     7   8   9
        hopper     R   s   a0  a1  -   -   -  |  a2  R   s   ...     3 action dimensions
        walker2d   R   s   a0  a1  a2  a3  a4 |  a5  R   s   ...     6, so 6 forwards a step serve both

    Args:
        model: in eval mode.
        rows: environments of each adapter, by its name.
        context: T, steps; the window grows to T, then restarts from the newest T/2.
        decode: "autoregressive" or "parallel", see `transfer.streaming.Stream`.

    Raises:
        TransferError: an unknown adapter or decode, no rows, a context without a past.
    """

    def __init__(
        self, model: MixedModel, rows: Mapping[str, int], context: int, decode: str = "autoregressive"
    ) -> None:
        if decode not in DECODES:
            raise unknown("decode", decode, DECODES)
        if context < 2:
            raise TransferError(f"context={context}: a stream needs at least 2 steps.")
        if not rows or min(rows.values()) < 1:
            raise TransferError(f"rows={dict(rows)}: a stream needs at least one environment for each adapter.")
        self.model, self.context, self.decode = model, context, decode
        self.lanes = {name: _Lane(model[name], decode) for name in rows}
        self._enter(dict(rows))
        self._forget()

    def _enter(self, rows: dict[str, int]) -> None:
        self.rows, self.gains = rows, self.model.gains(rows)

    def _forget(self) -> None:
        """An empty cache; `used` (B, slots) tells which of its slots hold a token."""
        count, trunk = sum(self.rows.values()), self.model.trunk
        slots = self.context * max(lane.model.tokens_per_step for lane in self.lanes.values())
        self.steps, self.cache = 0, trunk.empty_cache(count, slots)
        self.used = torch.ones(count, 0, dtype=torch.bool, device=self.model.device)

    def step(self, seen: Mapping[str, Seen]) -> dict[str, Tensor]:
        """Actions (E, A) of each adapter, for what its environments show.

        Raises:
            TransferError: `seen` is not of exactly the adapters that still have environments.
        """
        if set(seen) != set(self.rows):
            shown = ", ".join(seen) or "nothing"
            raise TransferError(f"the stream goes on with {', '.join(self.rows) or 'nothing'}, but was shown {shown}.")
        if self.steps == self.context:
            self._forget()
            self.steps = self.context // 2
            for lane in self.lanes.values():
                lane.restart(self.steps)
        self.steps += 1
        acting = {name: lane.act(*seen[name]) for name, lane in self.lanes.items()}
        tokens = {name: next(lane) for name, lane in acting.items()}
        return self._converse(acting, tokens)

    def _converse(
        self, acting: Mapping[str, Generator[Tensor, Tensor, Tensor]], tokens: dict[str, Tensor]
    ) -> dict[str, Tensor]:
        """Read what the lanes yield, one forward for all that still ask, until each has its action."""
        actions: dict[str, Tensor] = {}
        keep = True
        while tokens:
            hidden, tokens = self._read(tokens, keep), {}
            for name, part in hidden.items():
                try:
                    tokens[name] = acting[name].send(part)
                except StopIteration as over:
                    actions[name] = over.value
            keep = self.decode != "parallel"  # its zeros are forgotten; the chosen action is read with the next step
        return {name: actions[name] for name in self.rows}

    def _read(self, tokens: Mapping[str, Tensor], keep: bool) -> dict[str, Tensor]:
        """Hidden vectors of new tokens (E, n, D) of some adapters; what is not kept is as if never read."""
        nothing = torch.zeros(0, self.model.trunk.config.width, device=self.model.device)
        asked = [tokens.get(name, nothing.expand(count, -1, -1)) for name, count in self.rows.items()]
        x = stacked(asked)  # (B, n, D)
        slots = torch.arange(x.shape[1], device=x.device)
        new = torch.cat([(slots < part.shape[1]).expand(len(part), -1) for part in asked])  # (B, n)
        used = torch.cat([self.used, new], 1)  # (B, past + n)
        causal = used.new_ones(x.shape[1], used.shape[1]).tril(self.used.shape[1])  # (n, past + n)
        hidden, cache = self.model.trunk(x, self.gains, used[:, None, None] & causal, self.cache)
        if keep:
            self.cache, self.used = cache, used
        parts = zip(self.rows, unstacked(hidden, asked), strict=True)
        return {name: part for name, part in parts if name in tokens}

    def select(self, rows: Mapping[str, Tensor]) -> None:
        """Go on with some of the environments, (E,) boolean for each adapter; one without any left is over."""
        kept = torch.cat([rows[name] for name in self.rows])  # (B,)
        self.used, self.cache = self.used[kept], self.cache.select(kept)
        left = {name: int(rows[name].sum()) for name in self.rows}
        self.lanes = {name: lane for name, lane in self.lanes.items() if left[name]}
        for name, lane in self.lanes.items():
            lane.select(rows[name])
        self._enter({name: count for name, count in left.items() if count})
