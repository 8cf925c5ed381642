"""The order of the token groups inside a step, and the positions that predict each group."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from transfer.errors import TransferError, unknown


@dataclass(frozen=True)
class Layout:
    """Token groups of one step; the token at a position predicts the next token of the sequence.

        step t:     R        s        a^0 ...  a^{n-1}     (n = 1 for whole actions, A for spread ones)
        before:              a^0      a^1 ...

    Args:
        groups: (name, number of tokens) in the order of the sequence.
        hides: groups whose tokens are not seen from later steps.
    """

    groups: tuple[tuple[str, int], ...]
    hides: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        names = [name for name, _ in self.groups]
        if len(set(names)) != len(names) or any(size < 1 for _, size in self.groups) or not names:
            raise TransferError(f"a layout needs distinct groups of at least one token, got {self.groups}.")
        for name in self.hides:
            self.span(name)  # an unknown name is an error

    @property
    def tokens(self) -> int:
        """K, tokens per step."""
        return sum(size for _, size in self.groups)

    def span(self, group: str) -> tuple[int, int]:
        """First position and size of a group inside the step."""
        start = 0
        for name, size in self.groups:
            if name == group:
                return start, size
            start += size
        raise unknown("token group", group, [name for name, _ in self.groups])

    def interleave(self, parts: Mapping[str, Tensor]) -> Tensor:
        """Groups of (B, T, n, D) -> one sequence (B, T*K, D)."""
        if set(parts) != {name for name, _ in self.groups}:
            raise TransferError(f"layout {self.groups} was given the groups {sorted(parts)}.")
        for name, size in self.groups:
            if parts[name].shape[2] != size:
                raise TransferError(f"group '{name}' has {parts[name].shape[2]} tokens, the layout wants {size}.")
        return torch.cat([parts[name] for name, _ in self.groups], 2).flatten(1, 2)

    def opens(self, group: str) -> bool:
        """Whether a group comes first in the step."""
        return self.span(group)[0] == 0

    def before(self, hidden: Tensor, group: str) -> Tensor:
        """Hidden (B, T*K, D) -> (B, T, n, D) at the positions that predict the tokens of a group.

        The first token of a step is predicted by the last one of the step before; that of a window by zeros.
        """
        start, size = self.span(group)
        if start == 0:
            hidden, start = F.pad(hidden[:, :-1], (0, 0, 1, 0)), 1
        return hidden.unflatten(1, (-1, self.tokens))[:, :, start - 1 : start - 1 + size]

    def at(self, hidden: Tensor, group: str) -> Tensor:
        """Hidden (B, T*K, D) -> (B, T, n, D) at the tokens of a group themselves."""
        start, size = self.span(group)
        return hidden.unflatten(1, (-1, self.tokens))[:, :, start : start + size]

    def mask(self, steps: int, causal: bool) -> Tensor | None:
        """Which tokens of T steps look at which, (T*K, T*K) bool; None where each looks at all before it."""
        if causal and not self.hides:
            return None
        length = steps * self.tokens
        mask = torch.ones(length, length, dtype=torch.bool)
        if causal:
            mask = mask.tril()
        step = torch.arange(length) // self.tokens
        for name in self.hides:
            start, size = self.span(name)
            place = torch.arange(length) % self.tokens
            hidden = (place >= start) & (place < start + size)
            mask &= ~hidden | (step == step[:, None])
        return mask
