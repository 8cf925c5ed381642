"""Callbacks of a training run that want to see the model."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from transfer.freezing import Selection

Model = TypeVar("Model")


def with_model(
    model: Model, on_start: Callable[[Selection, int], None] | None, on_step: Callable[[int, Model], None] | None
) -> dict[str, Any]:
    """`on_start` and `on_step` for `transfer.training.fit`, the second with the model as its last argument.

    The state of a run is saved before `on_step` hears of that step. A kill in between would lose the call, so a resumed
    run repeats it, right after `on_start`; whoever must not do a thing twice remembers the step.
    """

    def begin(selection: Selection, done: int) -> None:
        if on_start is not None:
            on_start(selection, done)
        if on_step is not None and done:
            on_step(done, model)

    return {"on_start": begin, "on_step": None if on_step is None else lambda step: on_step(step, model)}
