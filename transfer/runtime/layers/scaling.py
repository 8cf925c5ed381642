"""The product of activations and a gain, rounded once."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

TOKENS = 512  # at a time: their float32 copies stay in the cache


def scale(x: Tensor, gain: Tensor) -> Tensor:
    """The product of x (..., D) and a gain (D), in the dtype of x.

    The product is computed in float32 and rounded once: bfloat16 would hide changes of the gain below 0.4 %.
    """
    if x.device.type != "cpu":
        return (x * gain).to(x.dtype)
    out: Tensor = _Scale.apply(x, gain)
    return out


class _Scale(torch.autograd.Function):
    """x (..., D) times a gain (D) on a CPU, TOKENS at a time."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, gain: Tensor) -> Tensor:
        ctx.save_for_backward(x, gain)
        out = torch.empty_like(x, memory_format=torch.contiguous_format)
        for part, into in zip(_parts(x), _parts(out), strict=True):
            into.copy_(part.float() * gain)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None]:
        x, gain = ctx.saved_tensors
        dx, dgain = torch.empty_like(x, memory_format=torch.contiguous_format), torch.zeros_like(gain)
        for part, incoming, into in zip(_parts(x), _parts(grad), _parts(dx), strict=True):
            change = incoming.float()
            into.copy_(change * gain)
            dgain += (change * part.float()).sum(0)
        return dx, dgain


def _parts(x: Tensor) -> tuple[Tensor, ...]:
    """(..., D) as pieces (n, D) of the same memory where it is contiguous."""
    return x.flatten(0, -2).split(TOKENS)
