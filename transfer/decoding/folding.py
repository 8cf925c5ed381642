"""Copies of the weights of a trunk as decoders read them, with a tuning folded in."""

from __future__ import annotations

from typing import NamedTuple

import torch

from transfer.models.trunk import Trunk
from transfer.models.tuning import BLOCK, ENDS, Affine, Tuning, fold_of


class Folded(NamedTuple):
    """A block; weights of products are turned, (in, out), and those of queries, keys and values are one, (D, 3D)."""

    ln_1: Affine
    qkv: Affine
    out: Affine
    ln_2: Affine
    fc: Affine
    proj: Affine


class FoldedTrunk(NamedTuple):
    """The LayerNorm before the blocks, the blocks, and the LayerNorm behind them."""

    ln_in: Affine
    blocks: list[Folded]
    ln_out: Affine


@torch.no_grad()
def foldable(trunk: Trunk, tuning: Tuning | None) -> bool:
    """Whether weights can hold a tuning at all of its sites in every layer."""
    if tuning is None:
        return True
    places = [(layer, site) for layer in range(len(trunk.blocks)) for site in BLOCK] + [(0, site) for site in ENDS]
    held = [place for place in places if place[1] in tuning.sites]
    return all(fold_of(tuning, *place, *_affine(trunk, *place)) is not None for place in held)


@torch.no_grad()
def folded(trunk: Trunk, tuning: Tuning | None, scale: float = 1.0) -> FoldedTrunk:
    """The weights of a trunk.

    Args:
        trunk: unchanged, see `transfer.decoding.untouched`; it is not written to.
        tuning: `foldable`.
        scale: factor of the queries.
    """

    def at(layer: int, site: str) -> Affine:
        weight, bias = _affine(trunk, layer, site)
        found = fold_of(tuning, layer, site, weight, bias) if tuning is not None and site in tuning.sites else None
        return found or (weight, bias)

    def block(layer: int) -> Folded:
        q, k, v = (at(layer, site) for site in ("q", "k", "v"))
        qkv = torch.cat([q[0] * scale, k[0], v[0]]), torch.cat([q[1] * scale, k[1], v[1]])
        others = (at(layer, site) for site in ("o", "fc", "proj"))
        out, fc, proj = map(_turned, others)
        return Folded(_copied(at(layer, "ln_1")), _turned(qkv), out, _copied(at(layer, "ln_2")), fc, proj)

    blocks = [block(layer) for layer in range(len(trunk.blocks))]
    return FoldedTrunk(_copied(at(0, "ln_in")), blocks, _copied(at(0, "ln_out")))


def _affine(trunk: Trunk, layer: int, site: str) -> Affine:
    """Weight and bias of a layer."""
    module = trunk.at(layer, site)
    return module.weight, module.bias


def _copied(norm: Affine) -> Affine:
    return norm[0].clone(), norm[1].clone()


def _turned(affine: Affine) -> Affine:
    weight, bias = affine
    return weight.t().clone(memory_format=torch.contiguous_format), bias.clone()
