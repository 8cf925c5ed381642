"""Checks that modules compute what their classes define, so that faster code may replace them."""

from __future__ import annotations

import functools
from collections.abc import Collection, Iterable, Mapping
from types import FunctionType
from typing import NamedTuple

import torch.nn.modules.module as torch_module
from torch import nn

from transfer.models.trunk import Attention, Block, FeedForward, TimeEmbedding, Trunk, TrunkConfig
from transfer.runtime.layers.dropout import Dropout
from transfer.runtime.layers.linear import Linear
from transfer.runtime.process import shapes_alone
from transfer.runtime.seeding import seeded

HOOKS = ("forward_hooks", "forward_pre_hooks", "backward_hooks", "backward_pre_hooks")


class Original(NamedTuple):
    """The names of all methods of a class, and its own ones besides those of `nn.Module`, at the time of the import."""

    names: frozenset[str]
    own: Mapping[str, FunctionType]

    @classmethod
    def of(cls, kind: type[nn.Module]) -> Original:
        """Those of a class, read now."""
        methods = {name: getattr(kind, name) for name in dir(kind) if callable(getattr(kind, name))}
        functions = {name: one for name, one in methods.items() if isinstance(one, FunctionType)}
        own = {name: one for name, one in functions.items() if one is not getattr(nn.Module, name, None)}
        return cls(frozenset(methods), {name: one for name, one in own.items() if not name.startswith("__")})


Originals = Mapping[type[nn.Module], Original]


def originals(*kinds: type[nn.Module]) -> Originals:
    """Methods of classes, read now."""
    return {kind: Original.of(kind) for kind in kinds}


def changes(part: nn.Module, known: Originals, leave: Collection[nn.Module] = ()) -> Iterable[str]:
    """Every change of a part, in words: another class, a hook, a replaced method; some modules inside are left out."""
    left = {id(module) for one in leave for module in one.modules()}
    for name, module in part.named_modules():
        if id(module) in left:
            continue
        where = f"'{name}'" if name else f"the {type(part).__name__} itself"
        original = known.get(type(module))
        if original is None:
            yield f"{where} is a {type(module).__name__}"
        elif any(getattr(module, f"_{hooks}") for hooks in HOOKS):
            yield f"{where} has a hook"
        elif not original.names.isdisjoint(vars(module)):
            yield f"{where} has a method of its own"
        else:
            replaced = [name for name, one in original.own.items() if getattr(type(module), name, None) is not one]
            yield from (f"the class of {where} has another {name}" for name in replaced)
    if any(getattr(torch_module, f"_global_{hooks}") for hooks in HOOKS):
        yield "PyTorch calls a hook for every module"


_TRUNK = originals(
    Trunk, TimeEmbedding, Block, Attention, FeedForward, Linear, nn.Linear, nn.LayerNorm, nn.ModuleList, Dropout
)


def changed(trunk: Trunk) -> str:
    """Why faster code cannot replace a trunk (a hook, a wrapper, another class or shape), in words; "" where it can.

    What its method shares between environments is called in any case, so it may be anything.
    """
    found = next(iter(changes(trunk, _TRUNK, set(trunk.shared.values()))), "") or _misshapen(trunk)
    return f"trunk: {found}" if found else ""


def _misshapen(trunk: Trunk) -> str:
    """The first shape, dtype or setting that differs from the trunk's config, in words."""
    fresh = _shapes(trunk.config)
    left = {id(x) for one in trunk.shared.values() for x in one.parameters()}
    found = {name: tuple(x.shape) for name, x in trunk.named_parameters() if id(x) not in left}
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
        trunk = Trunk(config)
        left = {id(x) for one in trunk.shared.values() for x in one.parameters()}
        return {name: tuple(x.shape) for name, x in trunk.named_parameters() if id(x) not in left}
