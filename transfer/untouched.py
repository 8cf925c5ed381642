"""Whether modules compute what their classes say, so that faster code may take their place."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch.nn.modules.module as torch_module
from torch import nn

HOOKS = ("forward_hooks", "forward_pre_hooks", "backward_hooks", "backward_pre_hooks")
Forwards = Mapping[type, Callable[..., Any]]


def forwards(*kinds: type[nn.Module]) -> Forwards:
    """The forward of each class as it is now, at the import of whoever asks."""
    return {kind: kind.forward for kind in kinds}


def changes(part: nn.Module, known: Forwards) -> Iterable[str]:
    """What is not as the library made it, in words: another class, a hook, a replaced method."""
    for name, module in part.named_modules():
        where = f"'{name}'" if name else f"the {type(part).__name__} itself"
        if type(module) not in known:
            yield f"{where} is a {type(module).__name__}"
        elif any(getattr(module, f"_{hooks}") for hooks in HOOKS):
            yield f"{where} has a hook"
        elif any(callable(getattr(type(module), attribute, None)) for attribute in vars(module)):
            yield f"{where} has a method of its own"
        elif type(module).forward is not known[type(module)]:
            yield f"the class of {where} has another forward"
    if any(getattr(torch_module, f"_global_{hooks}") for hooks in HOOKS):
        yield "PyTorch calls a hook for every module"
