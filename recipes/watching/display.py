"""One display for several workers: a bar each on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Mapping
from typing import Any, TextIO

from transfer.recipes.watching.progress import Progress


class Display:
    """Shows what workers tell.

    Args:
        say: takes lines for people.
        stream: of the bars; default stderr.
    """

    def __init__(self, say: Callable[[str], None], stream: TextIO | None = None) -> None:
        self.stream: TextIO | None = sys.stderr if stream is None else stream
        self._say, self._bars, self._lock = say, dict[int, Progress](), threading.Lock()

    def show(self, worker: int, kind: str, value: Mapping[str, Any]) -> None:
        """Show a line, or the state of a bar, see `transfer.recipes.watching.progress.showing`."""
        with self._lock:
            if kind == "say":
                self.say(value["line"])
            else:
                self._move(worker, value)

    def say(self, line: str) -> None:
        """Print a line above the bars."""
        if not self._bars or self.stream is None or not self.stream.isatty():
            self._say(line)
            return
        from tqdm import tqdm

        with tqdm.external_write_mode(file=self.stream):
            self._say(line)

    def _move(self, worker: int, state: Mapping[str, Any]) -> None:
        """Bring the bar of a worker to a state; another label is other work."""
        bar = self._bars.get(worker)
        if bar is not None and bar.label != state["label"]:
            self._bars.pop(worker).close(whole=False)
            bar = None
        if bar is None:
            bar = Progress(state["total"], state["label"], state["unit"], self.stream, state["start"], place=worker)
            self._bars[worker] = bar.__enter__()
        bar.update(state["done"], state["total"], **state["values"])
        if state["ended"]:
            self._bars.pop(worker).close(whole=state["ended"] == "whole")
