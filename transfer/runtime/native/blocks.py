"""PyTorch's side of blocks.c."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from transfer.decoding.tables import ActionTables
from transfer.runtime.native import address, kernels
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
    """`ActionTables` as choosing.c reads them: copies."""

    def __init__(self, tables: ActionTables) -> None:
        parts = (tables.edges, tables.rows, tables.slope, tables.weights, tables.biases, tables.centers)
        self.kept = [
            None if x is None else x.detach().float().clone(memory_format=torch.contiguous_format) for x in parts
        ]
        self.size, bins = tables.rows.shape[:2]
        self.sizes = self.size, bins, tables.weights.shape[1]
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
    """The blocks of a trunk.

    Args:
        layers: the twelve weights of each block, in the order of `Layer` in blocks.c.
        ends: weight and bias of the first and of the last LayerNorm.
        eps: of all LayerNorms.
    """

    def __init__(self, layers: Sequence[Sequence[Tensor]], ends: Sequence[Tensor], eps: float) -> None:
        self.kept = [[x.detach().contiguous() for x in layer] for layer in (*layers, ends)]
        self.eps, self.depth = eps, len(layers)
        pointers = [x.data_ptr() for layer in self.kept[:-1] for x in layer]  # C knows addresses alone
        assert len(pointers) == POINTERS * self.depth
        self.layers = (ctypes.c_void_p * len(pointers))(*pointers)

    def __reduce__(self) -> tuple[type[Blocks], tuple[Any, ...]]:
        """A copy has addresses of its own."""
        return Blocks, (self.kept[:-1], self.kept[-1], self.eps)

    def read(self, tokens: Tensor, past: Tensor, known: int, wanted: int) -> Tensor:
        """Hidden vectors (E, wanted, D) of the last of tokens (E, n, D).

        Args:
            tokens: to append.
            past: keys and values (depth, 1, E, H, `native.room(...)`, 2 D/H), zeros at first; laid out as in blocks.c.
            known: tokens read before.
            wanted: tokens whose hidden vectors are returned.
        """
        tokens = tokens.float().contiguous()  # under autocast they may have been made in bfloat16
        hidden = tokens.new_empty(tokens.shape[0], wanted, tokens.shape[2])
        counts = map(ctypes.c_long, (known, tokens.shape[1], wanted))
        least = max(1, WORTH_A_THREAD // tokens.shape[1])
        arguments = self._model(past), address(tokens), address(hidden), *counts
        in_parts(kernels().decoder_read, len(tokens), least, *arguments)
        return hidden

    def choose(self, tokens: Tensor, times: Tensor, choices: Choices, past: Tensor, known: int) -> Tensor:
        """Actions (E, A), one dimension by one, behind tokens (E, n, D); see `transfer.decoding.native.Decoder.choose`.

        Args:
            tokens: to append.
            times: (E, D), added to the dimensions' tokens.
            choices: of the adapter.
            past: as for `read`.
            known: tokens read before.
        """
        tokens, times = tokens.float().contiguous(), times.float().contiguous()
        actions = tokens.new_empty(len(tokens), choices.size)
        counts = map(ctypes.c_long, (known, tokens.shape[1]))
        least = max(1, WORTH_A_THREAD // (tokens.shape[1] + choices.size))
        arguments = self._model(past), choices.struct, address(tokens), address(times), address(actions), *counts
        in_parts(kernels().decoder_choose, len(tokens), least, *arguments)
        return actions

    def _model(self, past: Tensor) -> _Model:
        ends = (x.data_ptr() for x in self.kept[-1])
        sizes = (*past.shape[2:5], past.shape[5] // 2)
        return _Model(ctypes.addressof(self.layers), *ends, past.data_ptr(), self.depth, *sizes, self.eps)
