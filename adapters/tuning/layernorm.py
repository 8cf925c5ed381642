"""Gains and shifts of a trunk's LayerNorms."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from transfer.models.tuning import ENDS, Affine, Tuning


class LayerNormTuning(Tuning):
    """A gain and a shift for each number behind each LayerNorm: 2 D for each of 2 depth + 2 of them."""

    sites = ("ln_1", "ln_2", *ENDS)
    seed_name = "layernorm"

    def __init__(self, width: int, depth: int) -> None:
        super().__init__(width, depth)
        places = [(layer, site) for layer in range(depth) for site in self.sites if layer == 0 or site not in ENDS]
        self.gains = nn.ParameterDict({f"{layer}_{site}": torch.ones(width) for layer, site in places})
        self.shifts = nn.ParameterDict({f"{layer}_{site}": torch.zeros(width) for layer, site in places})

    def after(self, layer: int, site: str, x: Tensor, y: Tensor) -> Tensor:
        """Scale and shift the output (..., D) of a LayerNorm."""
        return y * self.gains[f"{layer}_{site}"] + self.shifts[f"{layer}_{site}"]

    def fold(self, layer: int, site: str, weight: Tensor, bias: Tensor) -> Affine:
        """Into the LayerNorm's own gain and bias."""
        gain = self.gains[f"{layer}_{site}"]
        return weight * gain, bias * gain + self.shifts[f"{layer}_{site}"]
