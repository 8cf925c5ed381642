"""IA3 scales multiplied into the weights of a trunk."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from transfer.errors import TransferError
from transfer.models.trunk import Block, Gains, Trunk
from transfer.runtime.process import isolated
from transfer.storage.snapshot import lent


def folded(trunk: Trunk, gains: Sequence[Gains] | None) -> Trunk:
    """A trunk without gains that computes what `trunk` computes with them.

    It has new weights where gains scale them, and shares the others. Without gains it is `trunk`.

    Args:
        trunk: unchanged, see `transfer.decoding.untouched`; it is not written to.
        gains: (D) each; None scales nothing.

    Raises:
        TransferError: gains of single windows, (B, D).
    """
    if gains is None:
        return trunk
    twin = lent(trunk)
    for block, own in zip(twin.blocks, gains, strict=True):
        _fold(block, own)  # type: ignore[arg-type]
    return twin


def _fold(block: Block, gains: Gains) -> None:
    if gains.keys.dim() != 1:
        raise TransferError("a decoder takes one gain a feature, (D), not one a window, (B, D).")
    attn, mlp = block.attn, block.mlp
    with isolated(), torch.no_grad():
        for layer, gain in ((attn.k, gains.keys), (attn.v, gains.values)):
            layer.weight, layer.bias = _own(layer.weight * gain[:, None]), _own(layer.bias * gain)
        mlp.proj.weight = _own(mlp.proj.weight * gains.feed_forward)


def _own(x: Tensor) -> nn.Parameter:
    return nn.Parameter(x, requires_grad=False)
