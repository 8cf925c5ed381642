"""What reads with a trunk a few tokens at a time, and who makes it."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Protocol

from torch import Tensor

from transfer.decoding.cached import CachedDecoder
from transfer.decoding.folding import folded
from transfer.decoding.native import in_kernels, native_decoder
from transfer.decoding.untouched import changed
from transfer.models.trunk import Gains, Trunk
from transfer.runtime.logs import warn_once

log = logging.getLogger(__name__)


class Decoder(Protocol):
    """Reads the tokens of E sequences, each once, and gives what `Trunk.forward` gives for the whole sequences.

    Attributes:
        length: tokens that each sequence has.
    """

    length: int

    def read(self, tokens: Tensor, wanted: int = 1) -> Tensor:
        """Append tokens (E, n, D); returns the hidden vectors of the last of them, (E, wanted, D)."""
        ...

    def forget(self, length: int) -> None:
        """Go back to the first `length` tokens."""
        ...

    def select(self, rows: Tensor) -> None:
        """Go on with the sequences of some indices, (R,) int64 in any order; one may come several times."""
        ...


def make_decoder(trunk: Trunk, gains: Sequence[Gains] | None, sequences: int, capacity: int) -> Decoder:
    """The fastest decoder that gives what a trunk gives. It may read with the trunk itself: hand it one of your own.

    Args:
        trunk: in eval mode. One that is not as the library makes it (a hook, a class of somebody's own) is read through
            its own forward, slower, which is logged.
        gains: IA3 scales, (D) each.
        sequences: E.
        capacity: tokens that a sequence may have.

    Raises:
        TransferError: gains of single rows.
    """
    if why := changed(trunk):
        warn_once(log, f"{why}, so actions are chosen through its own forward, slower.")
        return CachedDecoder(trunk, gains, sequences, capacity, plain=False)
    trunk = folded(trunk, gains)
    if in_kernels(trunk):
        return native_decoder(trunk, sequences, capacity)
    return CachedDecoder(trunk, None, sequences, capacity)
