"""Copies of modules, which training, swapping parts or setting modes of the original does not reach."""

from __future__ import annotations

from collections.abc import Callable
from types import MethodType
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from transfer.runtime.process import isolated
from transfer.storage.fingerprints import check_values

Module = TypeVar("Module", bound=nn.Module)


def snapshot(module: Module) -> Module:
    """A frozen copy of a module in eval mode with tensors of its own; what is shared inside is copied once.

    Hooks and what they remember, tokenizers and settings are shared with the original. Half precision becomes float32,
    or everything float64 where a parameter is float64: products need one dtype. A module that was compiled in place
    (`module.compile()`) has a copy that is not compiled.

    Raises:
        TransferError: a tensor on the device "meta".
    """
    for name, tensor in (*module.named_parameters(), *module.named_buffers()):
        check_values(name, tensor)
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
    """Copies modules, parameters and buffers, in lists too (a recurrent layer keeps one), and methods of modules.

    Other objects are shared. `tensor` copies a tensor; `made` holds copies by the id of the original.
    """
    if type(x) in (list, tuple):
        return type(x)(_twin(one, tensor, made) for one in x)
    if type(x) is dict:  # hooks are in dictionaries of another type
        return {key: _twin(one, tensor, made) for key, one in x.items()}
    if type(x) is MethodType and isinstance(x.__self__, nn.Module):  # a `forward` that was replaced, say
        return MethodType(x.__func__, _twin(x.__self__, tensor, made))
    if id(x) not in made and isinstance(x, nn.Parameter):
        made[id(x)] = nn.Parameter(tensor(x), requires_grad=False)
    elif id(x) not in made and isinstance(x, nn.Module):
        twin = made[id(x)] = object.__new__(type(x))
        vars(twin).update({name: _twin(one, tensor, made) for name, one in vars(x).items()}, training=False)
        vars(twin).pop("_compiled_call_impl", None)  # calls the original
        for kind in ("_parameters", "_modules"):  # an OrderedDict after `del` in a Sequential
            vars(twin)[kind] = {name: _twin(one, tensor, made) for name, one in vars(x)[kind].items()}
        for name, one in x._buffers.items():
            if one is not None and id(one) not in made:
                made[id(one)] = tensor(one)
            twin._buffers[name] = made.get(id(one))
    return made.get(id(x), x)
