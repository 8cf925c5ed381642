"""Weights as large as after training."""

import torch
from torch import nn

from transfer.adapters.tuning.ia3 import IA3


def enliven(module: nn.Module, seed: int) -> None:
    """Weights as large as after training: fresh ones are so small that mistakes hide below any tolerance."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter += torch.randn(parameter.shape, generator=generator) * 0.3


def some_ia3(width: int = 16, depth: int = 2, seed: int = 5) -> IA3:
    """IA3 vectors as after a long training."""
    ia3 = IA3(width, depth)
    enliven(ia3, seed)
    return ia3
