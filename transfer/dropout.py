"""Dropout from 16 random bits a number, a fifth of the time that PyTorch's takes on a CPU."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

LEVELS = 2**16


class Dropout(nn.Module):
    """Zeroes numbers at random while training and scales the others so that the mean stays.

    PyTorch draws 64 bits a number on a CPU; one draw serves four numbers here. So the probability is rounded to a
    multiple of 2**-16, and the scale is made for the rounded one.

    Args:
        p: probability of a zero.
    """

    def __init__(self, p: float) -> None:
        super().__init__()
        self.cut = round(p * LEVELS)  # of 65,536 levels, those that give a zero
        self.block, self.blocks = 0, 1  # which of how many equal blocks of a batch's rows it sees, see `block_of_rows`

    def forward(self, x: Tensor) -> Tensor:
        """Any shape, the same shape."""
        if not self.training or not self.cut:
            return x
        first, whole = self.block * x.numel(), self.blocks * x.numel()
        words = torch.empty(-(-whole // 4), dtype=torch.int64, device=x.device).random_(-(2**63), None)
        noise = words.view(torch.int16)[first : first + x.numel()].view(x.shape)
        keep = (noise >= self.cut - LEVELS // 2).to(x.dtype)
        return x * keep.mul_(LEVELS / (LEVELS - self.cut))

    def extra_repr(self) -> str:
        """For `print(model)`."""
        return f"p={self.cut / LEVELS:.6g}"


@contextmanager
def block_of_rows(model: nn.Module, block: int, blocks: int) -> Iterator[None]:
    """Inside, a model that sees one of several equal blocks of a batch drops what it would drop there in the whole."""
    drops = [module for module in model.modules() if isinstance(module, Dropout)]
    for drop in drops:
        drop.block, drop.blocks = block, blocks
    try:
        yield
    finally:
        for drop in drops:
            drop.block, drop.blocks = 0, 1
