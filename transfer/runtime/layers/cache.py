"""Keys and values of the tokens that a trunk has read.

A forward returns a new `Cache` and the old one stays usable. Tokens are appended in place to shared storage, so
appending to the newest cache copies nothing; appending to an older one copies the storage. The exception is
`Cache.cut`: what is appended to its result overwrites the tokens of longer caches.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from transfer.errors import TransferError


def length_after(length: int, tokens: Tensor, sequences: int, width: int, capacity: int, more: int = 0) -> int:
    """Tokens of each of E sequences after `length` of them, the new ones (E, n, D), and `more`.

    Raises:
        TransferError: tokens of another number of sequences or another width, or more than there is room for.
    """
    if (len(tokens), tokens.shape[2]) != (sequences, width):
        raise TransferError(
            f"tokens of {len(tokens)} environments and width {tokens.shape[2]} for a decoder of {sequences} and "
            f"{width}."
        )
    end = length + tokens.shape[1] + more
    if end > capacity:
        raise TransferError(f"{end} tokens for a decoder with room for {capacity}.")
    return end


class _Storage:
    """Keys and values, (depth, E, H, capacity, D/H) each, of which the first `filled` positions are written."""

    def __init__(self, keys: Tensor, values: Tensor, filled: int) -> None:
        self.keys, self.values, self.filled = keys, values, filled

    def grown(self, length: int, capacity: int) -> _Storage:
        """A copy of the first `length` positions with room for `capacity`."""
        shape = (*self.keys.shape[:3], capacity, self.keys.shape[4])
        keys, values = self.keys.new_empty(shape), self.values.new_empty(shape)
        keys[:, :, :, :length] = self.keys[:, :, :, :length]
        values[:, :, :, :length] = self.values[:, :, :, :length]
        return _Storage(keys, values, length)


@dataclass(frozen=True)
class Cache:
    """The first `length` tokens of E environments in some storage."""

    storage: _Storage
    length: int

    @classmethod
    def empty(
        cls, depth: int, envs: int, heads: int, head_size: int, capacity: int, like: Tensor, dtype: torch.dtype
    ) -> Cache:
        """A cache with no tokens and room for `capacity` of them, on the device of `like`."""
        keys = torch.empty(depth, envs, heads, capacity, head_size, dtype=dtype, device=like.device)
        return cls(_Storage(keys, torch.empty_like(keys), 0), 0)

    def reserve(self, tokens: int) -> Cache:
        """A cache of the same tokens with room for `tokens` more."""
        storage, end = self.storage, self.length + tokens
        capacity = storage.keys.shape[3]
        if storage.filled == self.length and end <= capacity:
            return self
        room = capacity if end <= capacity else max(end, 2 * capacity)
        return Cache(storage.grown(self.length, room), self.length)

    def append(self, layer: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Write keys and values (E, H, n, D/H) behind the `length` tokens; returns all, (E, H, length + n, D/H).

        Call `reserve` before the first layer and `advanced` after the last.
        """
        end = self.length + keys.shape[2]
        all_keys, all_values = self.storage.keys[layer], self.storage.values[layer]
        all_keys.narrow(2, self.length, keys.shape[2]).copy_(keys)  # slicing would take longer than the copy
        all_values.narrow(2, self.length, keys.shape[2]).copy_(values)
        return all_keys.narrow(2, 0, end), all_values.narrow(2, 0, end)

    def advanced(self, tokens: int) -> Cache:
        """The cache after `tokens` appended positions."""
        self.storage.filled = self.length + tokens
        return Cache(self.storage, self.length + tokens)

    def cut(self, length: int) -> Cache:
        """The cache of the first `length` tokens, in the same storage; what is appended overwrites later tokens."""
        self.storage.filled = length
        return Cache(self.storage, length)

    def select(self, envs: Tensor) -> Cache:
        """The cache of some environments, (R,) indices or a (E,) boolean mask, with storage of its own."""
        return Cache(_Storage(self.storage.keys[:, envs], self.storage.values[:, envs], self.length), self.length)
