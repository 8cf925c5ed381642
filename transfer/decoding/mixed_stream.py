"""Decoding for several adapters in lockstep."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from transfer.decoding.history import Lane
from transfer.decoding.native import in_kernels
from transfer.decoding.untouched import changed
from transfer.errors import TransferError
from transfer.evaluation.rollout import Group
from transfer.evaluation.waves import Seen
from transfer.models.mixed_model import MixedModel, gains_of_rows, stacked, unstacked
from transfer.numbers import MOST_CONTEXT, MOST_ENVS, whole
from transfer.runtime.process import acting
from transfer.storage.snapshot import snapshots


class MixedStream:
    """Actions for the environments of several adapters in lockstep, as `decoding.planner.Stream` gives for each.

    Args:
        model: trunk and adapters; what the stream acts with are copies of then.
        rows: environments of each adapter, by its name.
        context: T, steps, the window grows to T, then restarts from the newest T/2; default: that of each adapter.
        decode: "autoregressive" or "parallel", see `transfer.decoding.history.Lane`.

    Raises:
        TransferError: an unknown adapter or decode, no rows, a context that is no number of steps.
    """

    def __init__(
        self, model: MixedModel, rows: Mapping[str, int], context: int | None = None, decode: str = "autoregressive"
    ) -> None:
        if not isinstance(rows, Mapping) or not rows:
            raise TransferError(
                f"rows={rows!r:.60}: a stream needs environments for at least one adapter, by its name."
            )
        rows = {name: whole(count, f"rows of '{name}'", least=1, most=MOST_ENVS) for name, count in rows.items()}
        self.names = list(rows)
        asked = None if context is None else whole(context, "context", least=1, most=MOST_CONTEXT)
        contexts = {name: asked or model[name].context for name in rows}
        alone = in_kernels(model.trunk) or len(set(contexts.values())) > 1 or changed(model.trunk)
        self.group: Group = (_Each if alone else _OneForward)(model, dict(rows), contexts, decode)

    @acting
    def step(self, seen: Mapping[str, Seen]) -> dict[str, Tensor]:
        """The environment's actions (E, A) of each adapter, for what its environments show.

        Raises:
            TransferError: `seen` is not of exactly the adapters that still have environments.
        """
        if set(seen) != set(self.names):
            shown = ", ".join(seen) or "nothing"
            raise TransferError(f"the stream goes on with {', '.join(self.names) or 'nothing'}, but was shown {shown}.")
        return self.group.step(seen)

    @acting
    def select(self, rows: Mapping[str, Tensor]) -> None:
        """Go on with some of the environments, (E,) boolean for each adapter; one without any left is over."""
        self.names = [name for name in self.names if rows[name].any()]
        self.group.select(rows)


class _Each:
    """A stream for each adapter: the kernels read every row by itself, so nothing is gained by joining them.

    Without kernels too where windows restart at different steps, or a trunk is not as the library makes it.
    """

    def __init__(self, model: MixedModel, rows: dict[str, int], contexts: dict[str, int], decode: str) -> None:
        self.streams = {name: model[name].stream(count, contexts[name], decode) for name, count in rows.items()}

    def step(self, seen: Mapping[str, Seen]) -> dict[str, Tensor]:
        return {name: stream.step(*seen[name]) for name, stream in self.streams.items()}

    def select(self, rows: Mapping[str, Tensor]) -> None:
        self.streams = {name: stream for name, stream in self.streams.items() if rows[name].any()}
        for name, stream in self.streams.items():
            stream.select(rows[name])


class _OneForward:
    """One forward of the trunk for all rows.

    Where another adapter has more action dimensions, the rows of the one that has fewer wait:

        hopper       R s   a0   a1   -    -    -    |   a2 R s   ...    3 dimensions
        walker2d     R s   a0   a1   a2   a3   a4   |   a5 R s   ...    6, so 6 readings a step serve both

    Their slots in the cache stay unused then, and the mask hides these from all later tokens: `used` (B, slots) tells
    which hold one.
    """

    @acting
    def __init__(self, model: MixedModel, rows: dict[str, int], contexts: dict[str, int], decode: str) -> None:
        copies = snapshots([model[name] for name in rows])
        self.trunk, self.decode, (context,) = copies[0].trunk, decode, set(contexts.values())
        self.lanes = {name: Lane(copy, decode, context) for name, copy in zip(rows, copies, strict=True)}
        self.slots = context * max(model[name].tokens_per_step for name in rows)
        self._enter(rows)
        self.forget()

    def _enter(self, rows: dict[str, int]) -> None:
        self.rows = rows
        self.gains = gains_of_rows(
            self.trunk, [(self.lanes[name].model.adapter.gains(), n) for name, n in rows.items()]
        )

    def forget(self) -> None:
        """Begin anew."""
        count = sum(self.rows.values())
        weight = self.trunk.ln_in.weight
        self.cache = self.trunk.empty_cache(count, self.slots, weight.dtype)
        self.used = torch.ones(count, 0, dtype=torch.bool, device=weight.device)

    def step(self, seen: Mapping[str, Seen]) -> dict[str, Tensor]:
        """Read what the lanes yield, all that still ask at once, until each has its action."""
        if next(iter(self.lanes.values())).full:  # and so all of them
            self.forget()
            for lane in self.lanes.values():
                lane.restart()
        acting = {name: lane.act(*lane.taken(*seen[name])) for name, lane in self.lanes.items()}
        tokens, actions = {name: next(lane) for name, lane in acting.items()}, {}
        keep = True
        while tokens:
            hidden, tokens = self.read(tokens, keep), {}
            for name, part in hidden.items():
                try:
                    tokens[name] = acting[name].send(part)
                except StopIteration as over:
                    actions[name] = over.value
            keep = self.decode != "parallel"  # its zeros are forgotten; the chosen action is read with the next step
        return {name: actions[name] for name in self.lanes}

    def read(self, tokens: Mapping[str, Tensor], keep: bool) -> dict[str, Tensor]:
        """Hidden vectors of new tokens (E, n, D) of some adapters; what is not kept is as if never read."""
        nothing = self.trunk.ln_in.weight.new_zeros(0, self.trunk.config.width)
        asked = [tokens.get(name, nothing.expand(count, -1, -1)) for name, count in self.rows.items()]
        x = stacked(asked)  # (B, n, D)
        slots = torch.arange(x.shape[1], device=x.device)
        new = torch.cat([(slots < part.shape[1]).expand(len(part), -1) for part in asked])  # (B, n)
        used = torch.cat([self.used, new], 1)  # (B, past + n)
        causal = used.new_ones(x.shape[1], used.shape[1]).tril(self.used.shape[1])  # (n, past + n)
        hidden, cache = self.trunk(x, self.gains, used[:, None, None] & causal, self.cache)
        if keep:
            assert cache is not None  # one was given
            self.cache, self.used = cache, used
        parts = zip(self.rows, unstacked(hidden, asked), strict=True)
        return {name: part for name, part in parts if name in tokens}

    def select(self, rows: Mapping[str, Tensor]) -> None:
        kept = torch.cat([rows[name] for name in self.rows])  # (B,)
        self.used, self.cache = self.used[kept], self.cache.select(kept)
        left = {name: int(rows[name].sum()) for name in self.rows}
        self._enter({name: count for name, count in left.items() if count})
        self.lanes = {name: lane for name, lane in self.lanes.items() if left[name]}
        for name, lane in self.lanes.items():
            lane.select(rows[name])
