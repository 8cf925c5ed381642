"""BitFit: a change of each bias of a trunk (Ben Zaken et al. 2022, 2106.10199)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from transfer.models.tuning import ENDS, SITES, Affine, Tuning

WIDER = {"fc": 4}  # outputs of a layer, in widths; one elsewhere


class BitFit(Tuning):
    """Added to the biases of all linear layers and LayerNorms: depth * 11 D + 2 D parameters, zero at the start."""

    sites = SITES
    seed_name = "bitfit"

    def __init__(self, width: int, depth: int) -> None:
        super().__init__(width, depth)
        places = [(layer, site) for layer in range(depth) for site in SITES if layer == 0 or site not in ENDS]
        self.biases = nn.ParameterDict(
            {f"{layer}_{site}": torch.zeros(WIDER.get(site, 1) * width) for layer, site in places}
        )

    def after(self, layer: int, site: str, x: Tensor, y: Tensor) -> Tensor:
        """Add to the output (..., out) of a layer."""
        return y + self.biases[f"{layer}_{site}"].to(y.dtype)

    def fold(self, layer: int, site: str, weight: Tensor, bias: Tensor) -> Affine:
        """Into the layer's own bias."""
        return weight, bias + self.biases[f"{layer}_{site}"]
