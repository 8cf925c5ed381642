"""Callbacks of a training run that want to see the model, or show how far it is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, TypeVar

from transfer.models.freezing import Selection
from transfer.recipes.watching.progress import Progress
from transfer.training.fit import OnLog, OnStep

Model = TypeVar("Model")


def with_model(
    model: Model,
    on_start: Callable[[Selection, int], None] | None,
    on_log: OnLog | None,
    on_step: Callable[[int, Model], None] | None,
) -> dict[str, Any]:
    """Callbacks for `transfer.training.fit.fit`, `on_step` with the model as its last argument.

    The state of a run is saved before `on_step` hears of that step. A kill in between would lose the call, so a resumed
    run repeats it, right after `on_start`; whoever must not do a thing twice remembers the step.
    """

    def begin(selection: Selection, done: int) -> None:
        if on_start is not None:
            on_start(selection, done)
        if on_step is not None and done:
            on_step(done, model)

    each = None if on_step is None else lambda step: on_step(step, model)
    return {"on_start": begin, "on_log": on_log, "on_step": each}


@contextmanager
def shown(
    title: str,
    steps: int,
    on_start: Callable[[Selection, int], None],
    on_log: OnLog | None,
    on_step: OnStep | None,
) -> Iterator[dict[str, Any]]:
    """The same callbacks, which also move a bar on stderr; it ends with the block."""
    with ExitStack() as stack:
        bars: list[Progress] = []

        def begin(selection: Selection, done: int) -> None:
            bars.append(stack.enter_context(Progress(steps, title, "steps", start=done)))
            on_start(selection, done)

        def log(step: int, values: dict[str, float]) -> None:
            bars[0].update(step, loss=f"{values['train/loss']:.4f}")
            if on_log is not None:
                on_log(step, values)

        yield {"on_start": begin, "on_log": log, "on_step": on_step}
