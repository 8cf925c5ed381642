"""PyTorch's side of blocks.c and choosing.c."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from transfer.runtime.layers.cache import length_after
from transfer.runtime.native import address, elsewhere, kernels, lanes, members, room
from transfer.runtime.native.threads import in_parts

WORTH_A_THREAD = 24  # tokens
POINTERS = 12  # weights of a block, see `Layer` in blocks.c


class _Model(ctypes.Structure):
    _fields_ = (
        ("layers", ctypes.POINTER(ctypes.c_void_p)),
        *members(ctypes.c_void_p, "ln_in", "ln_in_bias", "ln_out", "ln_out_bias", "past"),
        *members(ctypes.c_long, "depth", "sequences", "heads", "capacity", "size"),
        *members(ctypes.c_float, "eps"),
    )


class _Tables(ctypes.Structure):
    _fields_ = (
        *members(ctypes.c_void_p, "edges", "rows", "slope", "weights", "biases", "centers"),
        *members(ctypes.c_long, "size", "bins", "outputs"),
    )


class _Addressed:
    """Has `addresses` of its tensors, which are found again in a copy or another process."""

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in vars(self).items() if key != "addresses"}


class Choices(_Addressed):
    """Copies of an adapter's tables for choosing.c; see `Tables` there for the arguments."""

    def __init__(
        self, edges: Tensor, rows: Tensor, slope: Tensor | None, weights: Tensor, biases: Tensor, centers: Tensor | None
    ) -> None:
        parts = (edges, rows, slope, weights, biases, centers)
        self.kept = [
            None if x is None else x.detach().float().clone(memory_format=torch.contiguous_format) for x in parts
        ]
        self.size, bins = rows.shape[:2]
        self.sizes = self.size, bins, weights.shape[1]

    @cached_property
    def addresses(self) -> _Tables:
        """As C takes them."""
        return _Tables(*(None if x is None else x.data_ptr() for x in self.kept), *self.sizes)


class Blocks(_Addressed):
    """The blocks of a trunk, with the keys and values of the tokens that E sequences have read.

    Args:
        layers: the twelve weights of each block, in the order of `Layer` in blocks.c.
        ends: weight and bias of the first and of the last LayerNorm.
        eps: of all LayerNorms.
        heads: of a block.
        sequences: E.
        capacity: tokens that a sequence may have.
    """

    def __init__(
        self,
        layers: Sequence[Sequence[Tensor]],
        ends: Sequence[Tensor],
        eps: float,
        heads: int,
        sequences: int,
        capacity: int,
    ) -> None:
        self.kept = [[x.detach().contiguous() for x in layer] for layer in (*layers, ends)]
        self.eps, self.heads, self.capacity, self.length = eps, heads, capacity, 0
        size, self.lanes = len(ends[0]) // heads, lanes()
        # Keys and values, laid out as in blocks.c.
        self.past = ends[0].new_zeros(len(layers), sequences, heads, room(capacity), 2 * size)

    @cached_property
    def addresses(self) -> _Model:
        """As C takes them. Raises TransferError where the past is laid out for another processor."""
        if self.lanes != lanes():
            raise elsewhere()
        pointers = [x.data_ptr() for layer in self.kept[:-1] for x in layer]
        assert len(pointers) == POINTERS * len(self.past)
        layers = (ctypes.c_void_p * len(pointers))(*pointers)
        ends = (x.data_ptr() for x in self.kept[-1])
        depth, sequences, heads, tokens, both = self.past.shape
        return _Model(layers, *ends, self.past.data_ptr(), depth, sequences, heads, tokens, both // 2, self.eps)

    def read(self, tokens: Tensor, wanted: int = 1) -> Tensor:
        """Append tokens (E, n, D); returns the hidden vectors of the last of them, (E, wanted, D).

        Raises:
            TransferError: as `transfer.runtime.layers.cache.length_after`; C would write beyond its memory.
        """
        end, tokens = self._end(tokens), tokens.float().contiguous()  # bfloat16 where made under autocast
        hidden = tokens.new_empty(tokens.shape[0], wanted, tokens.shape[2])
        counts = map(ctypes.c_long, (self.length, tokens.shape[1], wanted))
        least = max(1, WORTH_A_THREAD // tokens.shape[1])
        arguments = self.addresses, address(tokens), address(hidden), *counts
        in_parts(kernels().decoder_read, len(tokens), least, *arguments)
        self.length = end
        return hidden

    def choose(self, tokens: Tensor, time: Tensor, choices: Choices) -> Tensor:
        """Append tokens (E, n, D), and those of all action dimensions but the last as they are chosen, one by one.

        A few sequences choose all dimensions before the next few begin, so that the cache keeps their keys and values.

        Args:
            tokens: the last of them predicts the first dimension.
            time: (E, 1, D), added to the dimensions' tokens.
            choices: of the adapter.

        Returns:
            actions (E, A).

        Raises:
            TransferError: as `read`.
        """
        end = self._end(tokens, choices.size - 1)
        tokens, time = tokens.float().contiguous(), time.float().contiguous()
        actions = tokens.new_empty(len(tokens), choices.size)
        counts = map(ctypes.c_long, (self.length, tokens.shape[1]))
        least = max(1, WORTH_A_THREAD // (tokens.shape[1] + choices.size))
        arguments = self.addresses, choices.addresses, address(tokens), address(time), address(actions), *counts
        in_parts(kernels().decoder_choose, len(tokens), least, *arguments)
        self.length = end
        return actions

    def forget(self, length: int) -> None:
        """Go back to the first `length` tokens."""
        self.length = min(length, self.length)

    def select(self, sequences: Tensor) -> None:
        """Keep the sequences of some indices, (R,) int64, which may repeat."""
        self.past = self.past.index_select(1, sequences)
        vars(self).pop("addresses", None)  # found anew

    def _end(self, tokens: Tensor, more: int = 0) -> int:
        return length_after(self.length, tokens, self.past.shape[1], len(self.kept[-1][0]), self.capacity, more)
