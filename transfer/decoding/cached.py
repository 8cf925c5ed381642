"""The maker of decoders in PyTorch, for every device: the trunk itself, behind a cache."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from transfer.errors import TransferError
from transfer.models.trunk import Gains, Trunk
from transfer.runtime.process import inference_only

PIECES = (3, 1, 2, 1)  # tokens of the sequence by which a cache is tried


class CachedDecoder:
    """A `transfer.decoding.decoder.Decoder` that reads through `Trunk.forward`.

    Keys and values are kept in memory that is laid out once. A part of somebody's own may know nothing of caches: where
    one makes a difference, the whole sequence is read each time.

    Args:
        trunk: in eval mode.
        gains: IA3 scales.
        sequences: E.
        capacity: tokens that a sequence may have.
        plain: whether the trunk is as the library makes it: a cache serves, and the last block computes what is wanted
            alone.
    """

    def __init__(
        self, trunk: Trunk, gains: Sequence[Gains] | None, sequences: int, capacity: int, plain: bool = True
    ) -> None:
        self.trunk, self.gains, self.plain, self.capacity = trunk, gains, plain, capacity
        weight = trunk.ln_in.weight
        cached = plain or self._cacheable()
        self.cache = trunk.empty_cache(sequences, capacity, weight.dtype) if cached else None
        self.tokens = weight.new_empty(sequences, 0 if cached else capacity, len(weight))
        self.length = 0

    def read(self, tokens: Tensor, wanted: int = 1) -> Tensor:
        """Append tokens (E, n, D); returns the hidden vectors of the last of them, (E, wanted, D).

        Raises:
            TransferError: more tokens than there is room for.
        """
        end = self.length + tokens.shape[1]
        if end > self.capacity:
            raise TransferError(f"{end} tokens for a decoder with room for {self.capacity}.")
        if self.cache is None:
            self.tokens[:, self.length : end] = tokens
            hidden, _ = self.trunk(self.tokens[:, :end], self.gains)
        elif self.plain:
            hidden, self.cache = self.trunk(tokens, None, None, self.cache, lambda x: x[:, x.shape[1] - wanted :])
        else:
            hidden, self.cache = self.trunk(tokens, self.gains, None, self.cache)
        self.length = end
        return hidden[:, hidden.shape[1] - wanted :]

    def forget(self, length: int) -> None:
        """Go back to the first `length` tokens."""
        self.length = min(length, self.length)
        if self.cache is not None:
            self.cache = self.cache.cut(self.length)

    def select(self, rows: Tensor) -> None:
        """Go on with the sequences of some indices, (R,) int64; one may come several times."""
        self.tokens = self.tokens[rows]
        self.cache = None if self.cache is None else self.cache.select(rows)

    @inference_only
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
