"""The maker of decoders that read in the C kernels of a CPU."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from transfer.decoding.folding import folded
from transfer.decoding.tables import tables_of
from transfer.models.steps.group import PredictedGroup, Shared
from transfer.models.trunk import Trunk
from transfer.models.tuning import Tuning
from transfer.runtime import native
from transfer.runtime.native.blocks import Blocks, Choices


def in_kernels(trunk: Trunk) -> bool:
    """Whether the kernels can read for a trunk: float32 on a CPU, and heads of a size that they take."""
    weight, config = trunk.ln_in.weight, trunk.config
    plain = weight.device.type == "cpu" and weight.dtype == torch.float32
    return plain and native.fits(config.width // config.heads)


def native_decoder(trunk: Trunk, tuning: Tuning | None, sequences: int, capacity: int) -> Blocks:
    """A `transfer.decoding.decoder.Decoder` with copies of the weights of a trunk.

    Args:
        trunk: `in_kernels` and unchanged, see `transfer.decoding.untouched`.
        tuning: of the trunk, `transfer.decoding.folding.foldable`.
        sequences: E.
        capacity: most tokens of a sequence.
    """
    heads = trunk.config.heads
    scale = (trunk.config.width // heads) ** -0.5
    w = folded(trunk, tuning, scale)
    flat = [[x for affine in block for x in affine] for block in w.blocks]  # in the order of `Layer` in blocks.c
    outer = [*w.ln_in, *w.ln_out]
    return Blocks(flat, outer, trunk.ln_in.eps, heads, sequences, capacity)


def native_choice(decoder: object, action: PredictedGroup, shared: Shared) -> Callable[[Tensor, Tensor], Tensor] | None:
    """A function that chooses all dimensions of a spread action in C; None where decoder or embedding cannot.

    Returns:
        tokens (E, n, D) to read and the time's vector (E, 1, D) -> actions (E, A), scaled.
    """
    if not isinstance(decoder, Blocks) or (tables := tables_of(action, shared)) is None:
        return None
    return partial(decoder.choose, choices=Choices(*tables))
