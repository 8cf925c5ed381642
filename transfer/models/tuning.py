"""The interface of tunings: small trainable changes of a frozen trunk, which belong to an adapter."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import ClassVar

from torch import Tensor, nn

from transfer import registry
from transfer.errors import BrokenKind, TransferError, unknown
from transfer.numbers import MOST_DEPTH, MOST_WIDTH, seen, whole
from transfer.registry import PartSpec

BLOCK = ("q", "k", "v", "o", "fc", "proj", "ln_1", "ln_2")
"""Layers of each block that a tuning can change."""
ENDS = ("ln_in", "ln_out")
"""The LayerNorms before and behind the blocks."""
SITES = (*BLOCK, *ENDS)
Affine = tuple[Tensor, Tensor]
"""Weight and bias: (out, in) and (out) of a linear layer, (D) and (D) of a LayerNorm."""


class Tuning(nn.Module):
    """Changes what some layers of a trunk compute; none of the trunk's modules is wrapped or renamed.

    A new one leaves the trunk's output unchanged to the bit. Layers are told by the number of their block and their
    site; `ln_in` and `ln_out` belong to block 0.

    Args:
        width, depth: of the trunk.

    Attributes:
        sites: of `SITES`, those that it changes.
    """

    sites: Collection[str]
    seed_name: ClassVar[str] = "tuning"

    def __init__(self, width: int, depth: int) -> None:
        super().__init__()
        self.width, self.depth = whole(width, "width", 2, MOST_WIDTH), whole(depth, "depth", 1, MOST_DEPTH)

    def change(self, layer: int, site: str, compute: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
        """The changed output of a layer that computes `compute(x)`."""
        x = self.before(layer, site, x)
        return self.after(layer, site, x, compute(x))

    def before(self, layer: int, site: str, x: Tensor) -> Tensor:
        """The input of a layer, (..., in), changed."""
        return x

    def after(self, layer: int, site: str, x: Tensor, y: Tensor) -> Tensor:
        """The output y (..., out) of a layer for the input x (..., in), changed."""
        return y

    def fold(self, layer: int, site: str, weight: Tensor, bias: Tensor) -> Affine | None:
        """Weight and bias of a layer that computes the same without a tuning; None where there is none.

        Where a site has none, actions are chosen with the tuning beside the trunk, slower.
        """
        return None


def fold_of(tuning: Tuning, layer: int, site: str, weight: Tensor, bias: Tensor) -> Affine | None:
    """`Tuning.fold`; None too where a class below the one that folds, or the object itself, computes otherwise."""
    ways, order = ("change", "before", "after"), type(tuning).__mro__

    def place(name: str) -> int:
        return next(i for i, kind in enumerate(order) if name in vars(kind))

    if "fold" not in vars(tuning) and any(name in vars(tuning) or place(name) < place("fold") for name in ways):
        return None
    return tuning.fold(layer, site, weight, bias)


def make_tuning(spec: PartSpec, width: int, depth: int) -> Tuning:
    """The tuning of a kind and its options, for a trunk of a width and depth.

    Raises:
        TransferError: an unknown kind, an option that it does not take, or sites that no trunk has.
    """
    tuning: Tuning = registry.build("tuning", spec, width, depth)
    if getattr(tuning, "width", None) is None:
        raise BrokenKind(f"the constructor of the tuning '{spec.kind}' does not call super().__init__(width, depth).")
    sites = getattr(tuning, "sites", None)
    if isinstance(sites, str) or not isinstance(sites, Collection) or not sites:
        raise BrokenKind(f"sites of the tuning '{spec.kind}' is {seen(sites)}; some of {', '.join(SITES)} are needed.")
    for site in sites:
        if site not in SITES:
            raise BrokenKind(str(unknown(f"site of the tuning '{spec.kind}'", site, SITES)))
    return tuning


def tuned(tuning: Tuning | None, layer: int, site: str, compute: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """The output of a layer, changed where a tuning has its site."""
    if tuning is None or site not in tuning.sites:
        return compute(x)
    return tuning.change(layer, site, compute, x)


def check_depth(tuning: Tuning, width: int, depth: int) -> None:
    """Raise TransferError for a tuning that was made for a trunk of another shape."""
    if (tuning.width, tuning.depth) != (width, depth):
        raise TransferError(
            f"a {type(tuning).__name__} for a trunk of width {tuning.width} and depth {tuning.depth}, this one has "
            f"width {width} and depth {depth}."
        )
