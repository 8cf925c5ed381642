"""Timing in turns, the machine's own rates, and how many operations a training step needs."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

import torch

Result = TypeVar("Result")
LEAST = 3  # rounds, before `BUDGET` may end the measuring
BUDGET = 12.0  # seconds


class Skip(Exception):
    """A section cannot run here; says why, and what would change that."""


@dataclass(frozen=True)
class Row:
    """One ratio: scale * median(top) / median(bottom).

    Attributes:
        name: of the case.
        top, bottom: what was measured, one number per round.
        scale: what the ratio of the medians is multiplied by.
        values: absolute values, by the heading of their column.
    """

    name: str
    top: list[float]
    bottom: list[float]
    scale: float = 1.0
    values: dict[str, float] = field(default_factory=dict)

    @property
    def ratio(self) -> float:
        """The figure."""
        return self.scale * statistics.median(self.top) / statistics.median(self.bottom)

    @property
    def spread(self) -> tuple[float, float]:
        """Smallest and largest ratio within one round."""
        ratios = [self.scale * a / b for a, b in zip(self.top, self.bottom, strict=True)]
        return min(ratios), max(ratios)


def rounds(ways: dict[str, Callable[[], Result]], repeats: int) -> dict[str, list[Result]]:
    """Results of each way, called in turn (A B C A B C ...), so that a noisy machine hits all of them alike.

    A first round is thrown away. Ends after `repeats` rounds, or earlier when `BUDGET` is used up, but not before
    `LEAST` rounds.
    """
    found: dict[str, list[Result]] = {name: [] for name in ways}
    for way in ways.values():
        way()
    began = time.perf_counter()
    for done in range(repeats):
        if done >= LEAST and time.perf_counter() - began > BUDGET:
            break
        for name, way in ways.items():
            found[name].append(way())
    return found


def interleave(ways: dict[str, Callable[[], object]], repeats: int) -> dict[str, list[float]]:
    """Seconds of each way, in turns; see `rounds`."""
    return rounds({name: partial(seconds, way) for name, way in ways.items()}, repeats)


def seconds(work: Callable[[], object]) -> float:
    """Wall-clock seconds of one call."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def matrix_product(dtype: torch.dtype, size: int) -> tuple[Callable[[], object], float]:
    """A product of two square matrices, and its FLOPs: the machine's matrix rate is their quotient."""
    a, b = (torch.randn(size, size).to(dtype) for _ in range(2))
    return partial(torch.mm, a, b, out=torch.empty_like(a)), 2.0 * size**3


def memory_read(numbers: int) -> tuple[Callable[[], object], float]:
    """The sum over a large float32 tensor, and the bytes it reads: the machine's memory bandwidth."""
    return torch.ones(numbers).sum, 4.0 * numbers


@dataclass(frozen=True)
class Flops:
    """Model FLOPs of one forward over (B, L) tokens, in the trunk's blocks alone; a multiply-add counts as 2.

    Attributes:
        matrix: P = 2 B L 12 D^2 depth, the products with weights (four of D x D, two of D x 4D).
        attention: A = 4 B D depth L (L + 1) / 2, queries with keys and weights with values, causal pairs only.
    """

    matrix: float
    attention: float

    @classmethod
    def of(cls, batch: int, tokens: int, width: int, depth: int) -> Flops:
        """Of B windows of L tokens through `depth` blocks of width D."""
        pairs = tokens * (tokens + 1) / 2
        return cls(2.0 * batch * tokens * 12 * width**2 * depth, 4.0 * batch * width * depth * pairs)

    @property
    def full(self) -> float:
        """Of a training step of everything: 3P + 3.5A.

        The backward of a product with weights is two products, one for its input and one for its weights. The backward
        of fused attention is five products of the size of the forward's two: it computes the scores again.
        """
        return 3 * self.matrix + 3.5 * self.attention

    @property
    def frozen(self) -> float:
        """Of a step that trains embeddings alone: 2P + 3.5A, without the gradients of the trunk's weights."""
        return 2 * self.matrix + 3.5 * self.attention
