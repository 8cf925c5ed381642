"""Whether modules compute what their classes say, so that faster code may take their place."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import torch.nn.modules.module as torch_module
from torch import nn

HOOKS = ("forward_hooks", "forward_pre_hooks", "backward_hooks", "backward_pre_hooks")


class Original(NamedTuple):
    """What a class was when it was looked at: its forward, and the names of all its methods."""

    forward: Callable[..., Any]
    methods: frozenset[str]


Originals = Mapping[type[nn.Module], Original]


def originals(*kinds: type[nn.Module]) -> Originals:
    """Classes as they are now, at the import of whoever asks."""
    return {
        kind: Original(kind.forward, frozenset(n for n in dir(kind) if callable(getattr(kind, n)))) for kind in kinds
    }


def changes(part: nn.Module, known: Originals) -> Iterable[str]:
    """What is not as the library made it, in words: another class, a hook, a replaced method."""
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
