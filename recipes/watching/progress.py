"""Progress of long work on a stream: a bar on a terminal, a plain line every few seconds elsewhere.

The library itself stays silent: it calls back with counts, and a recipe or the command connects the callback to a
`Progress`.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TextIO

from transfer.numbers import duration

if TYPE_CHECKING:
    from tqdm import tqdm


class Progress:
    """Shows how far work is, what it reports and how long it will take.

        with Progress(5000, "pretrain", "steps") as progress:
            train(..., on_log=lambda log: progress.update(log.step, loss=log.loss))

    Args:
        total: units of work in all.
        label: what is being done, at the start of every line.
        unit: name of a unit, plural.
        stream: default stderr, so that results on stdout can be piped. Where there is none, nothing is shown.
        start: units that were done before, as in a resumed run; they do not count as speed.
        interval: least seconds between two plain lines.
        clock: seconds that only grow; replaced in tests.
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
    ) -> None:
        """Nothing is shown before the `with` block is entered."""
        self.total, self.label, self.unit = total, label, unit
        self.stream: TextIO | None = sys.stderr if stream is None else stream
        self.start, self.done, self.interval, self.clock = start, start, interval, clock
        self._values: dict[str, Any] = {}
        self._bar: tqdm | None = None
        self._began = self._shown = clock()

    def __enter__(self) -> Self:
        """Start the clock, and the bar on a terminal."""
        self._began = self._shown = self.clock()
        with self._harmless():
            if self.stream is not None and self.stream.isatty():
                from tqdm import tqdm

                self._bar = tqdm(
                    total=self.total,
                    initial=self.start,
                    desc=self.label,
                    unit=f" {self.unit}",
                    file=self.stream,
                    dynamic_ncols=True,
                )
        return self

    def update(self, done: int, total: int | None = None, **values: float | str) -> None:
        """Work has come to `done` units in all (not: this many more); values such as loss=0.1 are shown with it.

        `total` replaces the number that was expected, for work that learns its size on the way. So the method is
        itself a callback of the form (done, total).
        """
        step, self.done = done - self.done, done
        self.total = self.total if total is None else total
        self._values |= values
        if self._bar is not None:
            self._move(self._bar, step)
        elif self.clock() - self._shown >= self.interval and done < self.total:
            self._shown = self.clock()
            self._line(f"{self._counts()}{self._left()}{self._reports()}")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the bar, or write the last line: finished, or stopped where. Work that never began leaves no trace."""
        if self._bar is not None:
            with self._harmless():
                self._bar.leave = self.done > self.start
                self._bar.close()
        elif self.done == self.start:
            return
        elif kind is None:
            self._line(f"{self.done:,} {self.unit} in {duration(self.clock() - self._began)}{self._reports()}")
        else:
            self._line(f"stopped at {self._counts()}")

    def _move(self, bar: tqdm, step: int) -> None:
        values = {name.replace("_", " "): _short(value) for name, value in self._values.items()}
        with self._harmless():
            bar.total = self.total
            bar.set_postfix(values, refresh=False)
            bar.update(step)

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
        return "".join(f", {name.replace('_', ' ')} {_short(value)}" for name, value in self._values.items())

    def _line(self, text: str) -> None:
        with self._harmless():
            if self.stream is not None:
                self.stream.write(f"{self.label}: {text}\n")
                self.stream.flush()

    @contextmanager
    def _harmless(self) -> Iterator[None]:
        """A stream that was closed, or that nobody reads any more, ends what is shown and not the work."""
        try:
            yield
        except (OSError, ValueError):
            self.stream = self._bar = None


def _short(value: float | str) -> str:
    """A number in four digits, 12,345 above a thousand."""
    if isinstance(value, str):
        return value
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
