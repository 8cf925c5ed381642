"""The interface of decoders, which read a trunk's tokens a few at a time, and the choice among their makers."""

from __future__ import annotations

import logging
from typing import Protocol

from torch import Tensor

from transfer.decoding.cached import CachedDecoder
from transfer.decoding.folding import foldable
from transfer.decoding.native import in_kernels, native_decoder
from transfer.decoding.untouched import changed
from transfer.models.trunk import Trunk
from transfer.models.tuning import Tuning
from transfer.runtime.logs import warn_once

log = logging.getLogger(__name__)


class Decoder(Protocol):
    """Reads the tokens of E sequences, each once; the hidden vectors are those of `Trunk.forward`.

    Attributes:
        length: tokens read of each sequence.
    """

    length: int

    def read(self, tokens: Tensor, wanted: int = 1) -> Tensor:
        """Append tokens (E, n, D); returns the hidden vectors of the last of them, (E, wanted, D)."""
        ...

    def forget(self, length: int) -> None:
        """Go back to the first `length` tokens."""
        ...

    def select(self, rows: Tensor) -> None:
        """Keep the sequences of some indices, (R,) int64 in any order; an index may come several times."""
        ...


def make_decoder(trunk: Trunk, tuning: Tuning | None, sequences: int, capacity: int) -> Decoder:
    """The fastest decoder for a trunk.

    Args:
        trunk: its weights are copied, where `slow` finds no reason against that; else it is read through its own
            forward, so give a copy in eval mode, and a warning says that this is slower.
        tuning: of the trunk.
        sequences: E.
        capacity: most tokens of a sequence.
    """
    if why := slow(trunk, tuning):
        warn_once(log, f"{why}, so actions are chosen through the trunk's own forward, slower.")
        return CachedDecoder(trunk, tuning, sequences, capacity, plain=False)
    return (native_decoder if in_kernels(trunk) else CachedDecoder)(trunk, tuning, sequences, capacity)


def slow(trunk: Trunk, tuning: Tuning | None) -> str:
    """Why a decoder cannot have weights of its own (a changed trunk, a tuning without `fold`), "" where it can."""
    why = changed(trunk)
    return why if why or foldable(trunk, tuning) else f"{type(tuning).__name__} cannot be folded into weights"
