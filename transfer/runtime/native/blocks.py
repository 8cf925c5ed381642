"""PyTorch's side of blocks.c and choosing.c."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from transfer.errors import TransferError
from transfer.runtime.native import address, kernels, room
from transfer.runtime.native.threads import in_parts

WORTH_A_THREAD = 24  # tokens
POINTERS = 12  # weights of a block, see `Layer` in blocks.c


class _Model(ctypes.Structure):
    _fields_ = (
        ("layers", ctypes.c_void_p),
        ("ln_in", ctypes.c_void_p),
        ("ln_in_bias", ctypes.c_void_p),
        ("ln_out", ctypes.c_void_p),
        ("ln_out_bias", ctypes.c_void_p),
        ("past", ctypes.c_void_p),
        ("depth", ctypes.c_long),
        ("sequences", ctypes.c_long),
        ("heads", ctypes.c_long),
        ("capacity", ctypes.c_long),
        ("size", ctypes.c_long),
        ("eps", ctypes.c_float),
    )


class _Tables(ctypes.Structure):
    _fields_ = (
        ("edges", ctypes.c_void_p),
        ("rows", ctypes.c_void_p),
        ("slope", ctypes.c_void_p),
        ("weights", ctypes.c_void_p),
        ("biases", ctypes.c_void_p),
        ("centers", ctypes.c_void_p),
        ("size", ctypes.c_long),
        ("bins", ctypes.c_long),
        ("outputs", ctypes.c_long),
    )


class Choices:
    """The tables of an adapter as choosing.c reads them: copies.

    Args:
        edges, rows, slope, weights, biases, centers: see `Tables` in choosing.c.
    """

    def __init__(
        self, edges: Tensor, rows: Tensor, slope: Tensor | None, weights: Tensor, biases: Tensor, centers: Tensor | None
    ) -> None:
        parts = (edges, rows, slope, weights, biases, centers)
        self.kept = [
            None if x is None else x.detach().float().clone(memory_format=torch.contiguous_format) for x in parts
        ]
        self.size, bins = rows.shape[:2]
        self.sizes = self.size, bins, weights.shape[1]
        self._find()

    def _find(self) -> None:
        """Where the tensors lie: C knows addresses alone."""
        self.struct = _Tables(*(None if x is None else x.data_ptr() for x in self.kept), *self.sizes)

    def __getstate__(self) -> dict[str, Any]:
        """Without addresses, which mean nothing in a copy or another process."""
        return {key: value for key, value in vars(self).items() if key != "struct"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._find()


class Blocks:
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
        size = len(ends[0]) // heads
        # Keys and values, laid out as in blocks.c.
        self.past = ends[0].new_zeros(len(layers), sequences, heads, room(capacity), 2 * size)
        self._find()

    def _find(self) -> None:
        """Where the weights lie: C knows addresses alone."""
        pointers = [x.data_ptr() for layer in self.kept[:-1] for x in layer]
        assert len(pointers) == POINTERS * len(self.past)
        self.layers = (ctypes.c_void_p * len(pointers))(*pointers)

    def __getstate__(self) -> dict[str, Any]:
        """Without addresses, which mean nothing in a copy or another process."""
        return {key: value for key, value in vars(self).items() if key != "layers"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._find()

    def read(self, tokens: Tensor, wanted: int = 1) -> Tensor:
        """Append tokens (E, n, D); returns the hidden vectors of the last of them, (E, wanted, D).

        Raises:
            TransferError: more tokens than there is room for.
        """
        end, tokens = self._end(tokens.shape[1]), tokens.float().contiguous()  # bfloat16 where made under autocast
        hidden = tokens.new_empty(tokens.shape[0], wanted, tokens.shape[2])
        counts = map(ctypes.c_long, (self.length, tokens.shape[1], wanted))
        least = max(1, WORTH_A_THREAD // tokens.shape[1])
        arguments = self._model(), address(tokens), address(hidden), *counts
        in_parts(kernels().decoder_read, len(tokens), least, *arguments)
        self.length = end
        return hidden

    def choose(self, tokens: Tensor, time: Tensor, choices: Choices) -> Tensor:
        """Append tokens (E, n, D), and those of all action dimensions but the last as they are chosen, one by one.

        A few sequences at a time, whose keys and values stay in the processor's cache from dimension to dimension.

        Args:
            tokens: the last of them predicts the first dimension.
            time: (E, 1, D), added to the dimensions' tokens.
            choices: of the adapter.

        Returns:
            actions (E, A).

        Raises:
            TransferError: more tokens than there is room for.
        """
        end = self._end(tokens.shape[1] + choices.size - 1)
        tokens, time = tokens.float().contiguous(), time.float().contiguous()
        actions = tokens.new_empty(len(tokens), choices.size)
        counts = map(ctypes.c_long, (self.length, tokens.shape[1]))
        least = max(1, WORTH_A_THREAD // (tokens.shape[1] + choices.size))
        arguments = self._model(), choices.struct, address(tokens), address(time), address(actions), *counts
        in_parts(kernels().decoder_choose, len(tokens), least, *arguments)
        self.length = end
        return actions

    def forget(self, length: int) -> None:
        """Go back to the first `length` tokens."""
        self.length = min(length, self.length)

    def select(self, rows: Tensor) -> None:
        """Go on with the sequences of some indices, (R,) int64; one may come several times."""
        self.past = self.past.index_select(1, rows)

    def _end(self, tokens: int) -> int:
        """The length with so many tokens more."""
        end = self.length + tokens
        if end > self.capacity:
            raise TransferError(f"{end} tokens for a decoder with room for {self.capacity}.")
        return end

    def _model(self) -> _Model:
        ends = (x.data_ptr() for x in self.kept[-1])
        depth, sequences, heads, tokens, both = self.past.shape
        sizes = depth, sequences, heads, tokens, both // 2
        return _Model(ctypes.addressof(self.layers), *ends, self.past.data_ptr(), *sizes, self.eps)
