"""A linear layer whose float32 products go through oneDNN on a CPU.

PyTorch multiplies float32 matrices through MKL, which reaches 65 to 90 % of its best rate on products as thin as a
trunk's. oneDNN, which PyTorch's compiler uses for float32, reaches all of it.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from transfer.runtime.process import isolated


class Linear(nn.Linear):
    """`torch.nn.Linear`, faster in float32 on a CPU; parameters, names and gradients are the same."""

    def forward(self, input: Tensor) -> Tensor:
        """(..., in) -> (..., out)."""
        plain = input.device.type == "cpu" and input.dtype == self.weight.dtype == torch.float32
        if not plain or torch.is_autocast_enabled("cpu") or torch.compiler.is_compiling() or not _available():
            return super().forward(input)
        out: Tensor = _Affine.apply(input, self.weight, self.bias)
        return out


class _Affine(torch.autograd.Function):
    """x (..., in) times weight (out, in), plus bias (out) or None."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(x if weight.requires_grad else None, weight if x.requires_grad else None)
        return _product(x, weight, bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        x, weight = ctx.saved_tensors
        rows = grad.flatten(0, -2)
        return (
            None if weight is None else _product(grad, weight.t().contiguous(), None),
            None if x is None else rows.t() @ x.flatten(0, -2),
            rows.sum(0) if ctx.needs_input_grad[2] else None,
        )


def _product(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    # torch.compile turns F.linear into this call on a CPU; it has no public name.
    out: Tensor = torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")
    return out


@cache
def _available() -> bool:
    """Whether this build of PyTorch has the product and computes it correctly."""
    with isolated():
        values = torch.arange(128, dtype=torch.float32)
        x, weight, bias = values[:32].view(4, 8), values.view(16, 8), values[:16]
        try:
            return torch.equal(_product(x, weight, bias), F.linear(x, weight, bias))  # whole numbers: no rounding
        except (AttributeError, RuntimeError, NotImplementedError):
            return False


def small_linear(inputs: int, outputs: int) -> nn.Linear:
    """PyTorch's linear layer, weights of standard deviation 0.02 and a bias of zero, as GPT-2 starts its layers."""
    layer = nn.Linear(inputs, outputs)
    nn.init.normal_(layer.weight, std=0.02)
    nn.init.zeros_(layer.bias)
    return layer
