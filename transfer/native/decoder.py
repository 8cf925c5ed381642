"""PyTorch's side of decoder.c."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence

from torch import Tensor

from transfer.native import address, in_parts, kernels

WORTH_A_THREAD = 24  # tokens
POINTERS = 12  # weights of a block, see `Layer` in decoder.c


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


class Blocks:
    """The blocks of a trunk.

    Args:
        layers: the twelve weights of each block, in the order of `Layer` in decoder.c.
        ends: weight and bias of the first and of the last LayerNorm.
        eps: of all LayerNorms.
    """

    def __init__(self, layers: Sequence[Sequence[Tensor]], ends: Sequence[Tensor], eps: float) -> None:
        self.kept = [[x.detach().contiguous() for x in layer] for layer in (*layers, ends)]  # C knows addresses alone
        self.eps, self.depth = eps, len(layers)
        pointers = [x.data_ptr() for layer in self.kept[:-1] for x in layer]
        assert len(pointers) == POINTERS * self.depth
        self.layers = (ctypes.c_void_p * len(pointers))(*pointers)

    def read(self, tokens: Tensor, past: Tensor, known: int, wanted: int) -> Tensor:
        """Hidden vectors (E, wanted, D) of the last of tokens (E, n, D).

        Args:
            tokens: to append.
            past: keys and values (depth, 1, E, H, `native.room(...)`, 2 D/H), zeros at first; laid out as in decoder.c.
            known: tokens read before.
            wanted: tokens whose hidden vectors are returned.
        """
        tokens, hidden = tokens.contiguous(), tokens.new_empty(tokens.shape[0], wanted, tokens.shape[2])
        ends = (x.data_ptr() for x in self.kept[-1])
        sizes = (*past.shape[2:5], past.shape[5] // 2)
        model = _Model(ctypes.addressof(self.layers), *ends, past.data_ptr(), self.depth, *sizes, self.eps)
        counts = map(ctypes.c_long, (known, tokens.shape[1], wanted))
        least = max(1, WORTH_A_THREAD // tokens.shape[1])
        in_parts(kernels().decoder_read, len(tokens), least, model, address(tokens), address(hidden), *counts)
        return hidden
