"""A batch of windows."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from transfer.errors import TransferError
from transfer.numbers import seen

# Dimensions and kind of each tensor; the mask comes first, because the others are compared with it.
_WANTED = {
    "mask": (2, "bool"),
    "states": (3, "real numbers"),
    "actions": (3, "real numbers"),
    "returns": (2, "real numbers"),
    "times": (2, "whole numbers"),
}


@dataclass(frozen=True)
class Batch:
    """B windows of T consecutive steps, padded on the right.

    Attributes:
        states: (B, T, S) float32, as the environment gave them.
        actions: (B, T, A) float32.
        returns: (B, T) float32, undiscounted return to go, raw.
        times: (B, T) int64, step in the episode.
        mask: (B, T) bool, True on real steps.
    """

    states: Tensor
    actions: Tensor
    returns: Tensor
    times: Tensor
    mask: Tensor

    def __post_init__(self) -> None:
        for name, (ndim, kind) in _WANTED.items():
            value = getattr(self, name)
            if not isinstance(value, Tensor):
                raise TransferError(f"Batch.{name} must be a tensor, got {seen(value)}.")
            if value.dim() != ndim or value.shape[:2] != self.mask.shape:
                raise TransferError(
                    f"Batch.{name} is {tuple(value.shape)} beside a mask of {tuple(self.mask.shape)}; the mask must be "
                    "(B, T), states and actions (B, T, size), returns and times (B, T)."
                )
            if _kind(value.dtype) != kind:
                raise TransferError(f"Batch.{name} holds {str(value.dtype).removeprefix('torch.')}, {kind} wanted.")

    def to(self, device: torch.device | str) -> Batch:
        """The same batch on a device."""
        return Batch(*(getattr(self, name).to(device, non_blocking=True) for name in self.__dataclass_fields__))


def _kind(dtype: torch.dtype) -> str:
    if dtype.is_floating_point:
        return "real numbers"
    return "bool" if dtype == torch.bool else "complex numbers" if dtype.is_complex else "whole numbers"
