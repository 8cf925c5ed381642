"""Some steps, and a batch of windows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from transfer.errors import TransferError, unknown
from transfer.numbers import seen

# Dimensions and kind of each tensor; the mask comes first, because the others are compared with it.
_WANTED = {
    "mask": (2, "bool"),
    "states": (3, "real numbers"),
    "actions": (3, "real numbers"),
    "rewards": (2, "real numbers"),
    "times": (2, "whole numbers"),
}


@dataclass(frozen=True, kw_only=True)
class Steps:
    """T consecutive steps of B windows or environments; nothing is checked.

    Attributes:
        states: (B, T, S) float32, as the environment gave them.
        actions: (B, T, A) float32; while acting, empty for steps whose action is being chosen.
        rewards: (B, T) float32.
        times: (B, T) int64, step in the episode.
        columns: more numbers of each step, (B, T) or (B, T, m), by name: "returns", "horizon", ...
    """

    states: Tensor
    actions: Tensor
    rewards: Tensor
    times: Tensor
    columns: Mapping[str, Tensor] = field(default_factory=dict)

    def column(self, name: str) -> Tensor:
        """One of the columns. Raises TransferError where there is none of that name."""
        if name not in self.columns:
            raise unknown("column", name, self.columns, "Windows hold those of their WindowSpec: method.windows.")
        return self.columns[name]


@dataclass(frozen=True, kw_only=True)
class Batch(Steps):
    """B windows of T consecutive steps, padded on the right.

    Attributes:
        mask: (B, T) bool, True on real steps.

    Raises:
        TransferError: something that is no tensor, of another shape or of another kind of numbers.
    """

    mask: Tensor

    def __post_init__(self) -> None:
        for name, (ndim, kind) in _WANTED.items():
            _check(name, getattr(self, name), self.mask, (ndim,), kind)
        for name, value in self.columns.items():
            _check(f"columns['{name}']", value, self.mask, (2, 3), "real numbers")

    def to(self, device: torch.device | str) -> Batch:
        """The same batch on a device."""
        tensors = {name: getattr(self, name).to(device, non_blocking=True) for name in _WANTED}
        columns = {name: value.to(device, non_blocking=True) for name, value in self.columns.items()}
        return Batch(**tensors, columns=columns)


def _check(name: str, value: object, mask: Tensor, ndims: tuple[int, ...], kind: str) -> None:
    """Raise TransferError unless it is a tensor of some numbers of dimensions, the mask's shape, and some kind."""
    if not isinstance(value, Tensor):
        raise TransferError(f"Batch.{name} must be a tensor, got {seen(value)}.")
    if value.dim() not in ndims or value.shape[:2] != mask.shape:
        raise TransferError(
            f"Batch.{name} is {tuple(value.shape)} beside a mask of {tuple(mask.shape)}; the mask must be (B, T), "
            "states and actions (B, T, size), rewards and times (B, T), columns (B, T) or (B, T, size)."
        )
    if _kind(value.dtype) != kind:
        raise TransferError(f"Batch.{name} holds {str(value.dtype).removeprefix('torch.')}, {kind} wanted.")


def _kind(dtype: torch.dtype) -> str:
    if dtype.is_floating_point:
        return "real numbers"
    return "bool" if dtype == torch.bool else "complex numbers" if dtype.is_complex else "whole numbers"
