"""Causal attention over whole windows: the fused kernel on a GPU, blocked matrix products on a CPU.

PyTorch's fused CPU kernel reaches a third of the machine's matrix rate in float32 and gains nothing from bfloat16.
Plain products of all scores at once are fast until the scores leave the cache. So here some heads and a quarter of the
queries are multiplied at a time: their scores stay in the cache, keys behind the last query are never touched, and only
q, k and v are kept for the backward pass, as in FlashAttention (Dao et al. 2022, arXiv 2205.14135).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

CACHE = 2**21  # bytes of scores at a time


def causal_attention(q: Tensor, k: Tensor, v: Tensor, scale: float | None = None) -> Tensor:
    """Attention of every token to itself and those before it.

    Args:
        q: queries (B, H, L, D/H).
        k: keys, of the same shape and dtype.
        v: values, likewise.
        scale: of the scores; default: one over the root of D/H.

    Returns:
        (B, H, L, D/H).
    """
    if q.device.type != "cpu" or q.dtype not in (torch.float32, torch.bfloat16):
        return F.scaled_dot_product_attention(q, k, v, is_causal=True, scale=scale)
    flat = (x.flatten(0, 1) for x in (q, k, v))
    scale = q.shape[-1] ** -0.5 if scale is None else scale
    with torch.autocast("cpu", enabled=False):  # it would take the softmax in float32
        out: Tensor = _Blocked.apply(*flat, scale)
    return out.unflatten(0, q.shape[:2])


class _Blocked(torch.autograd.Function):
    """Causal attention of (N, L, d) queries, keys and values, N = B * H; weights are computed again going backward."""

    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor, scale: float) -> Tensor:
        ctx.save_for_backward(q, k, v)
        ctx.scale = scale
        out = torch.empty_like(q)
        future = _future(q)
        for heads, rows, seen in _blocks(q):
            weights = _weights(q[heads, rows], k[heads, seen], future[rows, seen], scale)
            out[heads, rows] = torch.bmm(weights, v[heads, seen])
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        q, k, v = ctx.saved_tensors
        dq, dk, dv = torch.empty_like(q), torch.zeros_like(k), torch.zeros_like(v)
        future, scale = _future(q), ctx.scale
        for heads, rows, seen in _blocks(q):
            g = grad[heads, rows]
            weights = _weights(q[heads, rows], k[heads, seen], future[rows, seen], scale)
            dv[heads, seen] += torch.bmm(weights.transpose(1, 2), g)
            dweights = torch.bmm(g, v[heads, seen].transpose(1, 2))
            dscores = torch.ops.aten._softmax_backward_data(dweights, weights, -1, q.dtype)  # (n, rows, seen)
            dq[heads, rows] = torch.bmm(dscores, k[heads, seen])
            dk[heads, seen] += torch.bmm(dscores.transpose(1, 2), q[heads, rows])
        return dq.mul_(scale), dk.mul_(scale), dv, None


def _future(q: Tensor) -> Tensor:
    """(L, L), minus infinity where a key comes after the query."""
    return q.new_full((q.shape[1], q.shape[1]), float("-inf")).triu(1)


def _blocks(q: Tensor) -> Iterator[tuple[slice, slice, slice]]:
    """Slices of heads, of queries, and of the keys that these queries see."""
    count, length = q.shape[:2]
    rows = max(32, -(-length // 4))
    heads = max(1, CACHE // (rows * length * q.element_size()))
    for first in range(0, count, heads):
        for start in range(0, length, rows):
            end = min(start + rows, length)
            yield slice(first, first + heads), slice(start, end), slice(end)


def _weights(q: Tensor, k: Tensor, future: Tensor, scale: float) -> Tensor:
    """Softmax of scaled scores, (n, rows, seen)."""
    masked = future.expand(len(q), -1, -1)
    return torch.baddbmm(masked, q, k.transpose(1, 2), alpha=scale).softmax(-1)
