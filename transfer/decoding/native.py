"""The maker of decoders that read in the C kernels of a CPU."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from transfer.decoding.tables import tables_of
from transfer.models.trunk import Block, Trunk
from transfer.runtime import native
from transfer.runtime.native.blocks import Blocks, Choices


def in_kernels(trunk: Trunk) -> bool:
    """Whether the kernels can read for a trunk: float32 on a CPU, and heads of a size that they take."""
    weight, config = trunk.ln_in.weight, trunk.config
    plain = weight.device.type == "cpu" and weight.dtype == torch.float32
    return plain and native.fits(config.width // config.heads)


@torch.no_grad()
def native_decoder(trunk: Trunk, sequences: int, capacity: int) -> Blocks:
    """A `transfer.decoding.decoder.Decoder` with copies of the weights of a trunk.

    Args:
        trunk: `in_kernels` and unchanged, see `transfer.decoding.untouched`.
        sequences: E.
        capacity: most tokens of a sequence.
    """
    layers = [_layer(block) for block in trunk.blocks]  # type: ignore[arg-type]
    ends = *_norm(trunk.ln_in), *_norm(trunk.ln_out)
    return Blocks(layers, ends, trunk.ln_in.eps, trunk.config.heads, sequences, capacity)


def native_choice(decoder: object, action: Any) -> Callable[[Tensor, Tensor], Tensor] | None:
    """A function that chooses all dimensions of a spread action in C; None where decoder or embedding cannot.

    Returns:
        tokens (E, n, D) to read and the time's vector (E, 1, D) -> actions (E, A), scaled.
    """
    if not isinstance(decoder, Blocks) or (tables := tables_of(action)) is None:
        return None
    return partial(decoder.choose, choices=Choices(*tables))


def _layer(block: Block) -> tuple[Tensor, ...]:
    """The weights of a block in the order of `Layer` in native/blocks.c, (in, out) each, with the scale of scores."""
    attn, mlp = block.attn, block.mlp
    scale = (attn.q.in_features // attn.heads) ** -0.5
    weight = torch.cat([attn.q.weight * scale, attn.k.weight, attn.v.weight])
    bias = torch.cat([attn.q.bias * scale, attn.k.bias, attn.v.bias])
    return (
        *_norm(block.ln_1),
        *(_turned(weight), bias),
        *(_turned(attn.o.weight), attn.o.bias.clone()),
        *_norm(block.ln_2),
        *(_turned(mlp.fc.weight), mlp.fc.bias.clone()),
        *(_turned(mlp.proj.weight), mlp.proj.bias.clone()),
    )


def _norm(norm: nn.LayerNorm) -> tuple[Tensor, Tensor]:
    return norm.weight.clone(), norm.bias.clone()


def _turned(weight: Tensor) -> Tensor:
    return weight.t().clone(memory_format=torch.contiguous_format)
