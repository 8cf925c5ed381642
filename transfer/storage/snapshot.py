"""Copies of modules to act with: what is trained, swapped or set to another mode meanwhile does not reach them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from transfer.runtime.process import isolated

Module = TypeVar("Module", bound=nn.Module)


def snapshot(module: Module) -> Module:
    """See `snapshots`."""
    return snapshots([module])[0]


def snapshots(modules: Sequence[Module]) -> list[Module]:
    """Twins of modules, in eval mode, with tensors of their own; what several of them share is copied once.

    Everything else is the original's: hooks and whatever they remember, tokenizers, settings. Half precision becomes
    float32, or all is float64 where a parameter is: numbers of other precision do not multiply.
    """
    double = any(p.dtype == torch.float64 for module in modules for p in module.parameters())
    copies = _Copies(torch.float64 if double else torch.float32)
    with isolated(), torch.no_grad():
        return [copies.module(module) for module in modules]


def lent(module: Module) -> Module:
    """A twin of a module over the same tensors, frozen and in eval mode; what is set on it is not set on the other."""
    return _Lent(torch.float32).module(module)


class _Copies:
    """Of modules and tensors, by the id of the original."""

    def __init__(self, dtype: torch.dtype) -> None:
        self.dtype = dtype
        self.made: dict[int, Any] = {}

    def module(self, module: Module) -> Module:
        if id(module) not in self.made:
            twin = self.made[id(module)] = object.__new__(type(module))
            vars(twin).update(vars(module), training=False)
            for name, one in vars(module).items():
                if type(one) in (list, tuple, dict):  # hooks are in dictionaries of another type
                    vars(twin)[name] = self.value(one)
            for kind in ("_parameters", "_modules"):
                vars(twin)[kind] = {name: self.value(one) for name, one in vars(module)[kind].items()}
            twin._buffers = {name: one if one is None else self.tensor(one) for name, one in module._buffers.items()}
        twin_of: Module = self.made[id(module)]
        return twin_of

    def value(self, x: Any) -> Any:
        """Copies of modules and parameters, in lists too (a recurrent layer keeps one), else the same."""
        if isinstance(x, nn.Module):
            return self.module(x)
        if isinstance(x, nn.Parameter):
            return nn.Parameter(self.tensor(x), requires_grad=False)
        if type(x) in (list, tuple):
            return type(x)(map(self.value, x))
        return {key: self.value(one) for key, one in x.items()} if type(x) is dict else x

    def tensor(self, tensor: Tensor) -> Tensor:
        if id(tensor) not in self.made:
            narrow = tensor.is_floating_point() and tensor.element_size() < self.dtype.itemsize
            self.made[id(tensor)] = tensor.detach().to(self.dtype if narrow else tensor.dtype, copy=True)
        copied: Tensor = self.made[id(tensor)]
        return copied


class _Lent(_Copies):
    """Twins whose tensors are the original's."""

    def tensor(self, tensor: Tensor) -> Tensor:
        return tensor.detach().clone() if tensor.is_inference() else tensor.detach()
