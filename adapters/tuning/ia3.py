"""IA3: a learned scale for each key, value and feed-forward activation of a trunk (Liu et al. 2022, 2205.05638)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from transfer.models.tuning import Affine, Tuning
from transfer.runtime.layers.scaling import scale


class IA3(Tuning):
    """depth * (D + D + 4D) parameters. All start at one, which leaves the trunk's output unchanged to the bit.

    The vectors are 1-D because weight decay leaves out tensors below 2-D, and decay would pull the scales towards zero.
    """

    sites = ("k", "v", "proj")
    seed_name = "ia3"

    def __init__(self, width: int, depth: int) -> None:
        super().__init__(width, depth)
        self.keys = nn.ParameterList(nn.Parameter(torch.ones(width)) for _ in range(depth))
        self.values = nn.ParameterList(nn.Parameter(torch.ones(width)) for _ in range(depth))
        self.feed_forward = nn.ParameterList(nn.Parameter(torch.ones(4 * width)) for _ in range(depth))

    def before(self, layer: int, site: str, x: Tensor) -> Tensor:
        """Scale the feed-forward activations, (..., 4D), which are the input of `proj`."""
        return scale(x, self.feed_forward[layer]) if site == "proj" else x

    def after(self, layer: int, site: str, x: Tensor, y: Tensor) -> Tensor:
        """Scale keys and values, (..., D)."""
        return y if site == "proj" else scale(y, self._gain(layer, site))

    def fold(self, layer: int, site: str, weight: Tensor, bias: Tensor) -> Affine:
        """Scale the columns of `proj`, the rows of `k` and `v`."""
        if site == "proj":
            return weight * self.feed_forward[layer], bias
        gain = self._gain(layer, site)
        return weight * gain[:, None], bias * gain

    def _gain(self, layer: int, site: str) -> Tensor:
        return (self.keys if site == "k" else self.values)[layer]
