"""The maker of decoders that read in the C kernels of a CPU."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from transfer.decoding.folding import ends, folded
from transfer.decoding.tables import tables_of
from transfer.models.trunk import Gains, Trunk
from transfer.runtime import native
from transfer.runtime.native.blocks import Blocks, Choices


def in_kernels(trunk: Trunk) -> bool:
    """Whether the kernels can read for a trunk: float32 on a CPU, and heads of a size that they take."""
    weight, config = trunk.ln_in.weight, trunk.config
    plain = weight.device.type == "cpu" and weight.dtype == torch.float32
    return plain and native.fits(config.width // config.heads)


def native_decoder(trunk: Trunk, gains: Sequence[Gains] | None, sequences: int, capacity: int) -> Blocks:
    """A `transfer.decoding.decoder.Decoder` with copies of the weights of a trunk.

    Args:
        trunk: `in_kernels` and unchanged, see `transfer.decoding.untouched`.
        gains: IA3 scales, (D) each.
        sequences: E.
        capacity: most tokens of a sequence.
    """
    heads = trunk.config.heads
    scale = (trunk.config.width // heads) ** -0.5
    layers = [folded(block, gains[i] if gains else None, scale) for i, block in enumerate(trunk.blocks)]  # type: ignore[arg-type]
    flat = [[x for affine in layer for x in affine] for layer in layers]  # in the order of `Layer` in blocks.c
    outer = [x for norm in ends(trunk) for x in norm]
    return Blocks(flat, outer, trunk.ln_in.eps, heads, sequences, capacity)


def native_choice(decoder: object, action: Any) -> Callable[[Tensor, Tensor], Tensor] | None:
    """A function that chooses all dimensions of a spread action in C; None where decoder or embedding cannot.

    Returns:
        tokens (E, n, D) to read and the time's vector (E, 1, D) -> actions (E, A), scaled.
    """
    if not isinstance(decoder, Blocks) or (tables := tables_of(action)) is None:
        return None
    return partial(decoder.choose, choices=Choices(*tables))
