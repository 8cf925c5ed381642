"""Checks that modules compute what their classes define, so that faster code may replace them."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import torch.nn.modules.module as torch_module
from torch import nn

from transfer.models.trunk import Attention, Block, FeedForward, TimeEmbedding, Trunk, TrunkConfig
from transfer.runtime.layers.dropout import Dropout
from transfer.runtime.layers.linear import Linear
from transfer.runtime.process import shapes_alone
from transfer.runtime.seeding import seeded

HOOKS = ("forward_hooks", "forward_pre_hooks", "backward_hooks", "backward_pre_hooks")


class Original(NamedTuple):
    """The forward of a class and the names of its methods, at the time of the import."""

    forward: Callable[..., Any]
    methods: frozenset[str]


Originals = Mapping[type[nn.Module], Original]


def originals(*kinds: type[nn.Module]) -> Originals:
    """Forward and methods of classes, read now."""
    return {
        kind: Original(kind.forward, frozenset(n for n in dir(kind) if callable(getattr(kind, n)))) for kind in kinds
    }


def changes(part: nn.Module, known: Originals) -> Iterable[str]:
    """Every change of a part, in words: another class, a hook, a replaced method."""
    for name, module in part.named_modules():
        where = f"'{name}'" if name else f"the {type(part).__name__} itself"
        original = known.get(type(module))
        if original is None:
            yield f"{where} is a {type(module).__name__}"
        elif any(getattr(module, f"_{hooks}") for hooks in HOOKS):
            yield f"{where} has a hook"
        elif not original.methods.isdisjoint(vars(module)):
            yield f"{where} has a method of its own"
        elif type(module).forward is not original.forward:
            yield f"the class of {where} has another forward"
    if any(getattr(torch_module, f"_global_{hooks}") for hooks in HOOKS):
        yield "PyTorch calls a hook for every module"


_TRUNK = originals(
    Trunk, TimeEmbedding, Block, Attention, FeedForward, Linear, nn.Linear, nn.LayerNorm, nn.ModuleList, Dropout
)


def changed(trunk: Trunk) -> str:
    """Why faster code cannot replace a trunk (a hook, a wrapper, another class or shape), in words; "" where it can."""
    found = next(iter(changes(trunk, _TRUNK)), "") or _misshapen(trunk)
    return f"trunk: {found}" if found else ""


def _misshapen(trunk: Trunk) -> str:
    """The first shape, dtype or setting that differs from the trunk's config, in words."""
    fresh = _shapes(trunk.config)
    found = {name: tuple(x.shape) for name, x in trunk.named_parameters()}
    names = [name for name in {**found, **fresh} if found.get(name) != fresh.get(name)]
    if names:
        return f"'{names[0]}' has the shape {found.get(names[0])}, the config says {fresh.get(names[0])}"
    if len({(x.dtype, x.device) for x in trunk.parameters()}) > 1:
        return "parts have different dtypes or devices"
    if len({m.eps for m in trunk.modules() if isinstance(m, nn.LayerNorm)}) > 1:
        return "LayerNorms have a different eps"
    heads = {m.heads for m in trunk.modules() if isinstance(m, Attention)}
    return "" if heads == {trunk.config.heads} else f"blocks have {heads} heads"


@functools.lru_cache(maxsize=32)
def _shapes(config: TrunkConfig) -> dict[str, tuple[int, ...]]:
    with shapes_alone(), seeded(0, "shapes"):
        return {name: tuple(x.shape) for name, x in Trunk(config).named_parameters()}
