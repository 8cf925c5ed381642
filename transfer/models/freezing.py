"""Choosing what trains, and proving that the rest did not move."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from torch import nn

from transfer.errors import TransferError, unknown
from transfer.numbers import seen


@dataclass(frozen=True)
class PartCount:
    """How much of a part trains."""

    tensors: int
    numbers: int
    bytes: int


@dataclass(frozen=True)
class Selection:
    """What `train_only` selected: the names of the tensors, and counts by part."""

    names: tuple[str, ...]
    parts: dict[str, PartCount]
    total: int

    @property
    def numbers(self) -> int:
        """Numbers that train."""
        return sum(part.numbers for part in self.parts.values())

    @property
    def share(self) -> float:
        """Share of the model's numbers that train, 0 to 1."""
        return self.numbers / self.total

    @property
    def bytes(self) -> int:
        """Bytes of what trains."""
        return sum(part.bytes for part in self.parts.values())

    def to_json(self) -> dict[str, Any]:
        """Counts for a results file."""
        parts = {name: asdict(part) for name, part in self.parts.items()}
        counts = {"numbers": self.numbers, "total": self.total, "share": self.share, "bytes": self.bytes}
        return {**counts, "tensors": len(self.names), "parts": parts}


def train_only(model: nn.Module, parts: Sequence[str]) -> Selection:
    """Let some parts of a model train and freeze all others.

    Sets `requires_grad` on every parameter, and puts frozen parts in eval mode (no dropout), selected ones in training
    mode.

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
    numbers = sum(p.numel() for p in chosen)
    return PartCount(len(chosen), numbers, sum(p.numel() * p.element_size() for p in chosen))
