"""Decoding as trained: one action dimension after another, over a window that grows and restarts."""

from __future__ import annotations

from collections.abc import Generator, Sequence

from torch import Tensor, nn

from transfer.decoding.cached import Reader
from transfer.decoding.history import Lane
from transfer.decoding.native import Changed, Decoder
from transfer.decoding.tables import tables_of
from transfer.models.sequence_model import TransferModel
from transfer.models.trunk import Gains, Trunk
from transfer.numbers import MOST_ENVS, whole
from transfer.runtime.native.blocks import Choices
from transfer.runtime.process import acting
from transfer.storage.snapshot import snapshot


class Stream:
    """Actions for E environments in lockstep, each token read through a key/value cache.

        context:  step 0, 1, ... T-1, then again from the newest T/2 steps, whose keys and values are recomputed once

    So what the trunk sees is always a window as in training, and each token is computed at most twice. A sliding cache
    would combine keys that no training window ever saw together.

    It acts with a copy of the model of then: after training, make a new one. The model itself may meanwhile train, be
    swapped or change its mode. A trunk that is not as the library makes it (a hook, a class of somebody's own) is read
    by its own `forward`, slower.

    Args:
        model: whose weights to act with.
        rows: E.
        context: T, steps.
        decode: "autoregressive" or "parallel", see `transfer.decoding.history.Lane`.

    Raises:
        TransferError: an unknown decode; rows or a context that are no numbers of environments and steps.
    """

    def __init__(self, model: TransferModel, rows: int, context: int, decode: str = "autoregressive") -> None:
        rows, mine = whole(rows, "rows", least=1, most=MOST_ENVS), snapshot(model)
        trunk, gains, room = mine.trunk, mine.adapter.gains(), context * model.tokens_per_step
        self.lane = Lane(mine, decode, context)
        self.decoder, self.choices = _reader(trunk, gains, rows, room), None
        if isinstance(self.decoder, Decoder):
            trunk.blocks = nn.ModuleList()  # the decoder has their weights, laid out anew
            tables = tables_of(mine.adapter.action) if self.decoder.blocks and decode == "autoregressive" else None
            self.choices = Choices(tables) if tables is not None else None  # C chooses all dimensions in one call

    @acting
    def step(self, states: Tensor, returns: Tensor, times: Tensor) -> Tensor:
        """The environment's actions (E, A) for states (E, S), returns still wanted (E,) and step numbers (E,)."""
        if self.lane.full:
            self.lane.restart()
            self.decoder.forget(0)
        states, returns, times = self.lane.taken(states, returns, times)
        if self.choices is None:
            return self._converse(self.lane.act(states, returns, times))
        assert isinstance(self.decoder, Decoder)  # whose tables are read
        tokens, time = self.lane.ask(states, returns, times)
        return self.lane.keep(states, returns, times, time, self.decoder.choose(tokens, time[:, 0], self.choices))

    def _converse(self, acting: Generator[Tensor, Tensor, Tensor]) -> Tensor:
        """Read what the lane yields until it has its actions."""
        hidden = self.decoder.read(next(acting))
        try:
            while True:
                tokens, known = acting.send(hidden), self.decoder.length
                hidden = self.decoder.read(tokens, tokens.shape[1])
                if self.lane.decode == "parallel":
                    self.decoder.forget(known)
        except StopIteration as over:
            actions: Tensor = over.value
            return actions

    @acting
    def select(self, rows: Tensor) -> None:
        """Go on with some of the environments, (E,) boolean."""
        self.lane.select(rows)
        self.decoder.select(rows)


def _reader(trunk: Trunk, gains: Sequence[Gains] | None, rows: int, room: int) -> Decoder | Reader:
    """What reads with the weights of a trunk: as fast as can be where it is the library's own."""
    try:
        return Decoder(trunk, gains, rows, room)
    except Changed as why:
        return Reader(trunk, gains, rows, room, str(why))
