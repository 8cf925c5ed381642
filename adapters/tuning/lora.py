"""LoRA: a product of low rank beside some linear layers of a trunk (Hu et al. 2021, 2106.09685)."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from transfer.errors import TransferError, unknown
from transfer.models.tuning import Affine, Tuning
from transfer.numbers import MOST_WIDTH, real, seen, whole

LINEAR = ("q", "k", "v", "o", "fc", "proj")
INPUTS, OUTPUTS = {"proj": 4}, {"fc": 4}  # numbers of a layer, in widths; one elsewhere


class LoRA(Tuning):
    """W x + (alpha / rank) B A x at each of its sites; A is drawn as a linear layer's weights, B starts at zero.

    Args:
        width, depth: of the trunk.
        rank: rows of A and columns of B.
        alpha: scale of the product, times rank.
        sites: of the linear layers "q", "k", "v", "o", "fc" and "proj", those that it changes.
    """

    seed_name = "lora"

    def __init__(
        self, width: int, depth: int, *, rank: int = 8, alpha: float = 16.0, sites: Sequence[str] = ("q", "v")
    ) -> None:
        super().__init__(width, depth)
        self.check(rank=rank, alpha=alpha, sites=sites)
        self.sites, self.scale = tuple(sites), alpha / rank
        places = [(layer, site) for layer in range(depth) for site in self.sites]
        self.down = nn.ParameterDict()
        self.up = nn.ParameterDict()
        for layer, site in places:
            down = torch.empty(rank, INPUTS.get(site, 1) * width)
            nn.init.kaiming_uniform_(down, a=math.sqrt(5))
            self.down[f"{layer}_{site}"] = nn.Parameter(down)
            self.up[f"{layer}_{site}"] = nn.Parameter(torch.zeros(OUTPUTS.get(site, 1) * width, rank))

    @classmethod
    def check(cls, *, rank: int, alpha: float, sites: Sequence[str]) -> None:
        """Raise TransferError for an unsound value of an option."""
        whole(rank, "adapter.tuning.rank", 1, MOST_WIDTH)
        real(alpha, "adapter.tuning.alpha", above=0)
        if isinstance(sites, str) or not isinstance(sites, Sequence) or not sites or len(set(sites)) != len(sites):
            raise TransferError(f"adapter.tuning.sites is {seen(sites)}; a list of distinct layers is needed.")
        for site in sites:
            if site not in LINEAR:
                raise unknown("adapter.tuning.sites", site, LINEAR)

    def after(self, layer: int, site: str, x: Tensor, y: Tensor) -> Tensor:
        """Add the product for the input x (..., in) to the output y (..., out)."""
        down, up = self.down[f"{layer}_{site}"], self.up[f"{layer}_{site}"]
        return y + self.scale * F.linear(F.linear(x, down), up)

    def fold(self, layer: int, site: str, weight: Tensor, bias: Tensor) -> Affine:
        """Into the layer's own weight."""
        product = self.up[f"{layer}_{site}"] @ self.down[f"{layer}_{site}"]
        return weight + self.scale * product, bias
