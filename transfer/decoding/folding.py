"""Copies of the weights of a block as decoders read them, with IA3 scales multiplied in."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from transfer.errors import TransferError
from transfer.models.trunk import Block, Gains, Trunk

Affine = tuple[Tensor, Tensor]
"""Weight and bias: (in, out) and (out) of a product, (D) and (D) of a LayerNorm."""


class Folded(NamedTuple):
    """A block: one product for queries, keys and values, (D, 3D), and IA3 scales multiplied in."""

    ln_1: Affine
    qkv: Affine
    out: Affine
    ln_2: Affine
    fc: Affine
    proj: Affine


@torch.no_grad()
def folded(block: Block, gains: Gains | None, scale: float = 1.0) -> Folded:
    """The weights of a block.

    Args:
        block: unchanged, see `transfer.decoding.untouched`; it is not written to.
        gains: (D) and (4D); None scales nothing.
        scale: what queries are multiplied by.

    Raises:
        TransferError: gains of single windows, (B, D).
    """
    attn, proj = block.attn, block.mlp.proj.weight
    weights = [attn.q.weight * scale, attn.k.weight, attn.v.weight]
    biases = [attn.q.bias * scale, attn.k.bias, attn.v.bias]
    if gains is not None:
        if gains.keys.dim() != 1:
            raise TransferError("a decoder takes one gain a feature, (D), not one a window, (B, D).")
        weights[1:] = [weights[1] * gains.keys[:, None], weights[2] * gains.values[:, None]]
        biases[1:] = [biases[1] * gains.keys, biases[2] * gains.values]
        proj = proj * gains.feed_forward
    return Folded(
        _norm(block.ln_1),
        (_turned(torch.cat(weights)), torch.cat(biases)),
        (_turned(attn.o.weight), attn.o.bias.clone()),
        _norm(block.ln_2),
        (_turned(block.mlp.fc.weight), block.mlp.fc.bias.clone()),
        (_turned(proj), block.mlp.proj.bias.clone()),
    )


@torch.no_grad()
def ends(trunk: Trunk) -> tuple[Affine, Affine]:
    """The LayerNorm before the blocks, and the one behind them."""
    return _norm(trunk.ln_in), _norm(trunk.ln_out)


def _norm(norm: nn.LayerNorm) -> Affine:
    return norm.weight.clone(), norm.bias.clone()


def _turned(weight: Tensor) -> Tensor:
    return weight.t().clone(memory_format=torch.contiguous_format)
