"""Copies of modules, which training, swapping parts or setting modes of the original does not reach."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from transfer.runtime.process import isolated

Module = TypeVar("Module", bound=nn.Module)


def snapshot(module: Module) -> Module:
    """A frozen copy of a module in eval mode with tensors of its own; what is shared inside is copied once.

    Hooks and what they remember, tokenizers and settings are shared with the original. Half precision becomes float32,
    or everything float64 where a parameter is float64: products need one dtype.
    """
    wide = torch.float64 if any(p.dtype == torch.float64 for p in module.parameters()) else torch.float32

    def copied(tensor: Tensor) -> Tensor:
        narrow = tensor.is_floating_point() and tensor.element_size() < wide.itemsize
        return tensor.detach().to(wide if narrow else tensor.dtype, copy=True)

    with isolated(), torch.no_grad():
        twin: Module = _twin(module, copied, {})
    return twin


def lent(module: Module) -> Module:
    """A frozen copy of a module in eval mode over the same tensors: modes and attributes are its own."""
    twin: Module = _twin(module, lambda x: x.detach().clone() if x.is_inference() else x.detach(), {})
    return twin


def _twin(x: Any, tensor: Callable[[Tensor], Tensor], made: dict[int, Any]) -> Any:
    """Copies modules, parameters and buffers, in lists too (a recurrent layer keeps one); other objects are shared.

    `tensor` copies a tensor; `made` holds copies by the id of the original.
    """
    if type(x) in (list, tuple):
        return type(x)(_twin(one, tensor, made) for one in x)
    if type(x) is dict:  # hooks are in dictionaries of another type
        return {key: _twin(one, tensor, made) for key, one in x.items()}
    if id(x) not in made and isinstance(x, nn.Parameter):
        made[id(x)] = nn.Parameter(tensor(x), requires_grad=False)
    elif id(x) not in made and isinstance(x, nn.Module):
        twin = made[id(x)] = object.__new__(type(x))
        vars(twin).update({name: _twin(one, tensor, made) for name, one in vars(x).items()}, training=False)
        for name, one in x._buffers.items():
            if one is not None and id(one) not in made:
                made[id(one)] = tensor(one)
            twin._buffers[name] = made.get(id(one))
    return made.get(id(x), x)
