"""Selecting the parts that train, and freezing the others."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn

from transfer.errors import TransferError, unknown
from transfer.numbers import seen


@dataclass(frozen=True)
class PartCount:
    """Tensors, parameters and bytes of a part that trains."""

    tensors: int
    parameters: int
    bytes: int


@dataclass(frozen=True)
class Selection:
    """The tensors that `train_only` selected, and their counts.

    Attributes:
        names: of the tensors that train.
        parts: counts by name of the part.
        total: parameters of the model.
    """

    names: tuple[str, ...]
    parts: dict[str, PartCount]
    total: int

    @property
    def parameters(self) -> int:
        """Trainable parameters."""
        return sum(part.parameters for part in self.parts.values())

    @property
    def share(self) -> float:
        """Trainable parameters as a share of all, 0 to 1."""
        return self.parameters / self.total

    @property
    def bytes(self) -> int:
        """Of the trainable parameters."""
        return sum(part.bytes for part in self.parts.values())

    def to_json(self) -> dict[str, Any]:
        """Counts for a results file."""
        parts = {
            name: {"tensors": p.tensors, "numbers": p.parameters, "bytes": p.bytes} for name, p in self.parts.items()
        }
        counts = {"numbers": self.parameters, "total": self.total, "share": self.share}
        return {**counts, "bytes": self.bytes, "tensors": len(self.names), "parts": parts}


def train_only(model: nn.Module, parts: Sequence[str]) -> Selection:
    """Let some parts of a model train and freeze all others.

    Sets `requires_grad` on every parameter. Frozen parts are in eval mode (no dropout), selected ones in training mode.

    Args:
        model: with a method `parts()`.
        parts: names of the parts that train.

    Raises:
        TransferError: a model without parts, no part given, a name the model does not have, or a part without
            parameters.
    """
    if not isinstance(model, nn.Module) or not callable(getattr(model, "parts", None)):
        raise TransferError(f"a {type(model).__name__} has no parts() to choose from: give a TransferModel.")
    if isinstance(parts, str) or not isinstance(parts, Iterable):
        raise TransferError(f"parts={seen(parts)}: a list of names is needed, as ['state', 'action'].")
    have: dict[str, nn.Module] = model.parts()  # type: ignore[operator]
    parts = list(parts)  # a generator is read once
    if not parts:
        raise TransferError(f"nothing was selected to train. Known parts: {', '.join(have)}.")
    for name in parts:
        if not isinstance(name, str) or name not in have:
            raise unknown("part", name, have, "A part that the adapter was built without cannot train.")
    model.requires_grad_(False).eval()
    counts = {name: _select(name, have[name]) for name in dict.fromkeys(parts)}
    names = tuple(name for name, p in model.named_parameters() if p.requires_grad)
    return Selection(names, counts, sum(p.numel() for p in model.parameters()))


def _select(name: str, part: nn.Module) -> PartCount:
    chosen = list(part.requires_grad_(True).train().parameters())
    if not chosen:
        raise TransferError(f"part '{name}' has no parameters to train.")
    return PartCount(len(chosen), sum(p.numel() for p in chosen), sum(p.nbytes for p in chosen))
