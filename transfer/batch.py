"""A batch of windows."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from transfer.errors import TransferError


@dataclass(frozen=True)
class Batch:
    """B windows of T consecutive steps, padded on the right.

    Attributes:
        states: (B, T, S) float32, as the environment gave them.
        actions: (B, T, A) float32.
        returns: (B, T) float32, undiscounted return-to-go, raw.
        times: (B, T) int64, step in the episode.
        mask: (B, T) bool, True on real steps.
    """

    states: Tensor
    actions: Tensor
    returns: Tensor
    times: Tensor
    mask: Tensor

    def __post_init__(self) -> None:
        shape = self.mask.shape
        if len(shape) != 2:
            raise TransferError(f"Batch.mask must be (B, T), got {tuple(shape)}.")
        for name in ("states", "actions", "returns", "times"):
            value = getattr(self, name)
            wanted = 3 if name in ("states", "actions") else 2
            if value.dim() != wanted or value.shape[:2] != shape:
                raise TransferError(f"Batch.{name} is {tuple(value.shape)} beside a mask of {tuple(shape)}.")

    def to(self, device: torch.device | str) -> Batch:
        """The same batch on a device."""
        return Batch(*(getattr(self, name).to(device, non_blocking=True) for name in self.__dataclass_fields__))
