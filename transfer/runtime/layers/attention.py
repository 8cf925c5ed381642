"""Causal attention over whole windows: PyTorch's fused kernel on a GPU, the library's C kernel on a CPU.

PyTorch's fused CPU kernel reaches a third of the machine's matrix rate in float32 and gains nothing from bfloat16.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from transfer.runtime import native
from transfer.runtime.native.attention import CausalAttention


def causal_attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Attention of every token to itself and earlier ones: (B, H, L, D/H) of one dtype each -> the same."""
    ours = q.device.type == "cpu" and q.dtype in (torch.float32, torch.bfloat16) and not torch.compiler.is_compiling()
    if not ours or not native.fits(q.shape[3]):
        return F.scaled_dot_product_attention(q, k, v, is_causal=True)
    out: Tensor = CausalAttention.apply(q, k, v, q.shape[-1] ** -0.5)
    return out
