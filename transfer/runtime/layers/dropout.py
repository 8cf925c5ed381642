"""Dropout from 16 random bits a number, a fifth of the time that PyTorch's takes on a CPU."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from transfer.runtime.distributed import rank, size
from transfer.runtime.seeding import generator

LEVELS = 2**16


class Dropout(nn.Module):
    """Zeroes numbers at random while training and scales the others so that the mean stays.

    PyTorch draws 64 bits a number on a CPU; one draw serves four numbers here. So the probability is rounded to a
    multiple of 2**-16, and the scale is made for the rounded one. Of several processes that train together each sees an
    equal block of a batch's rows, and drops what one process would drop there.

    The bits are those of the current training step, see `transfer.runtime.seeding.step_noise`; outside of `fit`,
    torch's.

    Args:
        p: probability of a zero.
    """

    def __init__(self, p: float) -> None:
        super().__init__()
        self.cut = round(p * LEVELS)  # of 65,536 levels, those that give a zero

    def forward(self, x: Tensor) -> Tensor:
        """Any shape, the same shape."""
        if not self.training or not self.cut:
            return x
        first, whole = rank() * x.numel(), size() * x.numel()
        words = torch.empty(-(-whole // 4), dtype=torch.int64, device=x.device)
        # torch.compile knows no generators of one's own, so what it compiles draws from torch's
        own = None if torch.compiler.is_compiling() else generator(x.device)
        words.random_(-(2**63), None, generator=own)
        noise = words.view(torch.int16)[first : first + x.numel()].view(x.shape)
        keep = (noise >= self.cut - LEVELS // 2).to(x.dtype)
        return x * keep.mul_(LEVELS / (LEVELS - self.cut))

    def extra_repr(self) -> str:
        """For `print(model)`."""
        return f"p={self.cut / LEVELS:.6g}"
