"""A callback out of functions."""

from collections.abc import Callable
from typing import Any

from transfer.training.callbacks import Callback


class Hooks(Callback):
    """Calls `start(selection, done)`, `log(done, values)` and `step(done)`; `step(done, model)` with `with_model`."""

    def __init__(
        self,
        start: Callable[..., Any] | None = None,
        log: Callable[..., Any] | None = None,
        step: Callable[..., Any] | None = None,
        with_model: bool = False,
    ) -> None:
        self._start, self._log, self._step, self._with_model = start, log, step, with_model
        self.model: Any = None

    def start(self, model: Any, selection: Any, done: int) -> None:
        self.model = model
        if self._start is not None:
            self._start(selection, done)

    def log(self, done: int, values: dict[str, float]) -> None:
        if self._log is not None:
            self._log(done, values)

    def step(self, done: int) -> None:
        if self._step is not None:
            self._step(done, *([self.model] if self._with_model else []))
