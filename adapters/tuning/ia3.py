"""IA3: a learned scale for each key, value and feed-forward activation of a trunk (Liu et al. 2022, 2205.05638)."""

from __future__ import annotations

import torch
from torch import nn

from transfer.models.trunk import Gains


class IA3(nn.Module):
    """depth * (D + D + 4D) parameters. All start at one, which leaves the trunk's output unchanged to the bit.

    The trunk takes them as an argument (`IA3.gains`); none of its modules is wrapped or renamed. The vectors are 1-D
    because weight decay leaves out tensors below 2-D, and decay would pull the scales towards zero.
    """

    def __init__(self, width: int, depth: int) -> None:
        super().__init__()
        self.keys = nn.ParameterList(nn.Parameter(torch.ones(width)) for _ in range(depth))
        self.values = nn.ParameterList(nn.Parameter(torch.ones(width)) for _ in range(depth))
        self.feed_forward = nn.ParameterList(nn.Parameter(torch.ones(4 * width)) for _ in range(depth))

    def gains(self) -> list[Gains]:
        """The scales, layer by layer, as `Trunk.forward` takes them."""
        return [Gains(*layer) for layer in zip(self.keys, self.values, self.feed_forward, strict=True)]
