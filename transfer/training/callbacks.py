"""The interface of callbacks: what happens beside a training."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from transfer.errors import TransferError, check_type
from transfer.models.acting import Trainable
from transfer.models.freezing import Selection
from transfer.numbers import whole


class Callback:
    """Inherit, and override what is needed. Rank 0 alone calls back; the seconds of callbacks are not counted.

    The state of a training is saved before `step` is called for that step. A kill in between would lose the call, so a
    resumed training repeats it, right after `start`: a callback that must not act twice remembers the step.

    Attributes:
        every: steps between two calls of `step`.
    """

    every: int = 1

    def start(self, model: Trainable, selection: Selection, done: int) -> None:
        """Called before the first step, with what trains and the number of steps that were done before."""

    def step(self, done: int) -> None:
        """Called after a step, with the number of steps that are done."""

    def log(self, done: int, values: dict[str, float]) -> None:
        """Called at every report, with values by TensorBoard tag; callbacks behind this one see what it adds."""

    def state(self) -> dict[str, Any]:
        """What is saved with the training, as plain values; `load` gets it when the training is resumed."""
        return {}

    def load(self, state: dict[str, Any]) -> None:
        """Take a saved state back, before `start`."""


def check_callbacks(callbacks: Sequence[Callback]) -> tuple[Callback, ...]:
    """The callbacks. Raises TransferError for something else, or a class in the place of its instance."""
    if isinstance(callbacks, (Callback, str)) or not isinstance(callbacks, Sequence):
        raise TransferError(f"callbacks is of type {type(callbacks).__name__}; a list of Callback is needed.")
    for one in callbacks:
        check_type(one, Callback, "a callback", "Inherit from transfer.Callback, and give an instance.")
        whole(one.every, f"{type(one).__name__}.every", 1)
    return tuple(callbacks)


def names_of(callbacks: Sequence[Callback]) -> list[str]:
    """A name for each callback under which its state is saved: of its class, from the second one on with a number."""
    kinds = [type(one).__qualname__ for one in callbacks]
    before = [kinds[:i].count(kind) for i, kind in enumerate(kinds)]
    return [f"{kind}#{count + 1}" if count else kind for kind, count in zip(kinds, before, strict=True)]
