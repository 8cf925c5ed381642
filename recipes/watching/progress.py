"""Progress of long work on a stream: a bar on a terminal, a plain line every few seconds elsewhere.

The library itself stays silent: it calls back with counts, and a recipe or the command connects the callback to a
`Progress`.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Self, TextIO

from transfer.numbers import duration

if TYPE_CHECKING:
    from tqdm import tqdm


TELL_EVERY = 0.2  # seconds between two states that are told elsewhere
_sink: Callable[[dict[str, Any]], None] | None = None


@contextmanager
def showing(sink: Callable[[dict[str, Any]], None]) -> Iterator[None]:
    """Inside, progress of this process is told to `sink` instead of shown: label, unit, start, done, total, values."""
    global _sink
    before, _sink = _sink, sink
    try:
        yield
    finally:
        _sink = before


class Progress:
    """Shows the share of the work that is done, the values it reports and the time left.

        with Progress(5000, "pretrain", "steps") as progress:
            for step, loss in training():
                progress.update(step, loss=loss)

    Args:
        total: units of work in all.
        label: name of the work, at the start of every line.
        unit: name of a unit, plural.
        stream: default stderr, so that results on stdout can be piped. Nothing is shown where there is none.
        start: units that were done before, as in a resumed run; they do not count as speed.
        interval: least seconds between two plain lines.
        clock: seconds that only grow; replaced in tests.
        place: of the bar among others of one terminal, from the top.
    """

    def __init__(
        self,
        total: int,
        label: str,
        unit: str = "steps",
        stream: TextIO | None = None,
        start: int = 0,
        interval: float = 10.0,
        clock: Callable[[], float] = time.monotonic,
        place: int = 0,
    ) -> None:
        """Nothing is shown before the `with` block is entered."""
        self.total, self.label, self.unit = total, label, unit
        self.stream: TextIO | None = sys.stderr if stream is None else stream
        self.start, self.done, self.interval, self.clock, self.place = start, start, interval, clock, place
        self._values: dict[str, float | str] = {}
        self._bar: tqdm | None = None
        self._began = self._shown = clock()

    def __enter__(self) -> Self:
        """Start the clock, and the bar on a terminal."""
        self._began = self._shown = self.clock()
        if _sink is not None:
            self._tell(_sink)
            return self
        with self._harmless():
            if self.stream is not None and self.stream.isatty():
                from tqdm import tqdm

                given: dict[str, Any] = {"total": self.total, "initial": self.start, "unit": f" {self.unit}"}
                self._bar = tqdm(desc=self.label, file=self.stream, dynamic_ncols=True, position=self.place, **given)
        return self

    def update(self, done: int, total: int | None = None, **values: float | str) -> None:
        """Show that `done` units are done in all (not: this many more), with values such as loss=0.1.

        `total` replaces the expected one, for work that learns its size on the way. The method is itself a callback
        of the form (done, total).
        """
        step, self.done = done - self.done, done
        self.total = self.total if total is None else total
        self._values |= {name.replace("_", " "): _short(value) for name, value in values.items()}
        if _sink is not None:
            if self.clock() - self._shown >= TELL_EVERY:
                self._shown = self.clock()
                self._tell(_sink)
        elif self._bar is not None:
            with self._harmless():
                self._bar.total = self.total
                self._bar.set_postfix(self._values, refresh=False)
                self._bar.update(step)
        elif self.clock() - self._shown >= self.interval and done < self.total:
            self._shown = self.clock()
            self._line(f"{self._counts()}{self._left()}{self._reports()}")

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """As `close`."""
        self.close(kind is None)

    def close(self, whole: bool) -> None:
        """Close the bar, or write a last line: finished in how long, or stopped where. Nothing for no work."""
        if _sink is not None:
            self._tell(_sink, "whole" if whole else "stopped")
        elif self._bar is not None:
            with self._harmless():
                self._bar.leave = self.done > self.start
                self._bar.close()
        elif self.done > self.start:
            took = f"{self.done:,} {self.unit} in {duration(self.clock() - self._began)}{self._reports()}"
            self._line(took if whole else f"stopped at {self._counts()}")

    def _tell(self, sink: Callable[[dict[str, Any]], None], ended: str = "") -> None:
        """Tell the state, and how it ended: "whole" or "stopped"."""
        named = {"label": self.label, "unit": self.unit, "start": self.start, "ended": ended}
        sink({**named, "done": self.done, "total": self.total, "values": dict(self._values)})

    def _counts(self) -> str:
        share = 100 * self.done // self.total if self.total else 100
        return f"{self.done:,}/{self.total:,} {self.unit} ({share}%)"

    def _left(self) -> str:
        """Time left at the mean speed so far, empty before anything was done."""
        new = self.done - self.start
        if new <= 0:
            return ""
        return f", {duration((self.clock() - self._began) / new * (self.total - self.done))} left"

    def _reports(self) -> str:
        return "".join(f", {name} {value}" for name, value in self._values.items())

    def _line(self, text: str) -> None:
        with self._harmless():
            if self.stream is not None:
                self.stream.write(f"{self.label}: {text}\n")
                self.stream.flush()

    @contextmanager
    def _harmless(self) -> Iterator[None]:
        """A stream that is closed, or has no reader any more, ends what is shown and not the work."""
        try:
            yield
        except (OSError, ValueError):
            self.stream = self._bar = None


def _short(value: float | str) -> str:
    """A number in four digits, 12,345 above a thousand; text as it is."""
    if isinstance(value, str):
        return value
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
