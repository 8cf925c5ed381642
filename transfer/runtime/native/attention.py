"""PyTorch's side of attention.c."""

from __future__ import annotations

import ctypes
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from transfer.runtime.native import address, kernels, members
from transfer.runtime.native.threads import in_parts

WORTH_A_THREAD = 16  # heads of windows


class CausalAttention(torch.autograd.Function):
    """Computes `transfer.runtime.layers.attention.causal_attention`; saves the log of each query's sum."""

    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor, scale: float) -> Tensor:
        """(B, H, L, size) each -> the same."""
        q, k, v = _rows(q), _rows(k), _rows(v)
        out, logs = _like(q), torch.empty(q.shape[:3], dtype=torch.float32, device=q.device)
        shape = _Shape(*q.shape[1:], q.dtype == torch.bfloat16, scale)
        views = (*map(_View.of, (q, k, v, out)), address(logs))
        in_parts(kernels().attention_forward, len(logs.flatten(0, 1)), WORTH_A_THREAD, *views, shape)
        ctx.save_for_backward(q, k, v, logs)
        ctx.shape = shape
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        """Computes the attention weights again, which saves memory."""
        q, k, v, logs = ctx.saved_tensors
        given, made = (q, k, v, _rows(grad)), (_like(q), _like(k), _like(v))
        views = (*map(_View.of, given), address(logs), *map(_View.of, made))
        in_parts(kernels().attention_backward, len(logs.flatten(0, 1)), WORTH_A_THREAD, *views, ctx.shape)
        return *made, None


class _View(ctypes.Structure):
    """Of a tensor (B, H, L, size) with adjacent vectors; strides are counted in elements."""

    _fields_ = (*members(ctypes.c_void_p, "data"), *members(ctypes.c_long, "batch", "head", "row"))

    @classmethod
    def of(cls, x: Tensor) -> _View:
        return cls(x.data_ptr(), *x.stride()[:3])


class _Shape(ctypes.Structure):
    _fields_ = (*members(ctypes.c_long, "heads", "length", "size", "half"), *members(ctypes.c_float, "scale"))


def _rows(x: Tensor) -> Tensor:
    return x if x.stride(3) == 1 else x.contiguous()


def _like(x: Tensor) -> Tensor:
    """Empty (B, H, L, size) in memory as (B, L, H, size), so that joining the heads copies nothing."""
    return x.new_empty(x.shape[0], x.shape[2], x.shape[1], x.shape[3]).transpose(1, 2)
