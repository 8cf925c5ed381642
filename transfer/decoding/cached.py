"""Reading with a trunk that is not as the library makes it: through its own forward, whatever that computes."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import torch
from torch import Tensor

from transfer.models.trunk import Gains, Trunk
from transfer.runtime.logs import warn_once
from transfer.runtime.process import acting

log = logging.getLogger(__name__)
PIECES = (3, 1, 2, 1)  # tokens of the sequence by which a cache is tried


class Reader:
    """A `Decoder` that gives what `Trunk.forward` gives for the whole sequence.

    Tokens are read behind a cache, as long as that makes no difference: a part of somebody's own may know nothing of
    caches. Then the whole sequence is read each time.

    Args:
        trunk: in eval mode.
        gains: IA3 scales.
        rows: E.
        capacity: tokens that a sequence may have.
        why: in words, why no decoder can do it, for the log.
    """

    blocks = None  # there are no weights laid out for kernels

    @acting
    def __init__(self, trunk: Trunk, gains: Sequence[Gains] | None, rows: int, capacity: int, why: str) -> None:
        self.trunk, self.gains, weight = trunk, gains, trunk.ln_in.weight
        self.cache = trunk.empty_cache(rows, capacity, weight.dtype) if self._cacheable() else None
        self.tokens = weight.new_empty(rows, 0 if self.cache else capacity, len(weight))
        self.length = 0
        warn_once(log, f"{why}, so actions are chosen through its own forward, slower.")

    def read(self, tokens: Tensor, wanted: int = 1) -> Tensor:
        """Append tokens (E, n, D); returns the hidden vectors of the last of them, (E, wanted, D)."""
        end = self.length + tokens.shape[1]
        if self.cache is not None:
            hidden, self.cache = self.trunk(tokens, self.gains, None, self.cache)
        else:
            self.tokens[:, self.length : end] = tokens
            hidden, _ = self.trunk(self.tokens[:, :end], self.gains)
        self.length = end
        return hidden[:, hidden.shape[1] - wanted :]

    def forget(self, length: int) -> None:
        """Go back to the first `length` tokens."""
        self.length = min(length, self.length)
        if self.cache is not None:
            self.cache = self.cache.first(self.length)

    def select(self, rows: Tensor) -> None:
        """Go on with some sequences, (E,) boolean."""
        self.tokens = self.tokens[rows]
        self.cache = None if self.cache is None else self.cache.select(rows)

    def _cacheable(self) -> bool:
        """Whether a short sequence comes out the same in pieces, each behind a cache, as in one."""
        weight = self.trunk.ln_in.weight
        angles = torch.arange(sum(PIECES) * len(weight), dtype=weight.dtype, device=weight.device)
        tokens = angles.sin().view(1, -1, len(weight))
        cache, parts = self.trunk.empty_cache(1, sum(PIECES), weight.dtype), []
        try:
            whole, _ = self.trunk(tokens, self.gains)
            for piece in tokens.split(PIECES, 1):
                hidden, cache = self.trunk(piece, self.gains, None, cache)
                parts.append(hidden)
            return torch.allclose(torch.cat(parts, 1), whole, rtol=1e-4, atol=1e-5)
        except Exception:  # whatever a part of somebody's own does with what it does not expect
            return False
