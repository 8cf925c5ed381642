"""Brings all cells of some runs to their results, and says how far it is."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from transfer.errors import TransferError
from transfer.numbers import duration
from transfer.recipes.cells.executors.executor import Executor, Failure
from transfer.recipes.cells.run_cell import RunCell, clean
from transfer.recipes.cells.twins import Twins
from transfer.recipes.cells.work import Work, works_of
from transfer.runtime.distributed import rank

SAY_EVERY = 10.0  # seconds between two lines about the whole
MOST_NAMED = 12  # finished cells with a line each


class CellsFailed(TransferError):
    """Some cells have no results, and the others have.

    Attributes:
        exit_code: of the command: 1 where a process died or a fault of this library ended a cell, 2 where each failure
            says what is wrong.
    """

    exit_code = 2


class Driver:
    """Watches the work on some cells.

    Args:
        cells: all of them, in order.
        twins: finds cells that were done elsewhere, and keeps identities.
        say: takes lines for people.
        clock: seconds that only grow; replaced in tests.
    """

    def __init__(
        self,
        cells: Sequence[RunCell],
        twins: Twins,
        say: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.twins, self.say, self.clock = twins, say, clock
        self.cells = len(cells)
        self.works = works_of(cells, twins.identity)
        self._before = self._left = len({work.cell for work in self.works})
        self._began = self._said = clock()
        kept = [cell for cell in cells if cell.finished]
        if len(kept) > MOST_NAMED:
            say(f"{len(kept)} of {len(cells)} cells were finished before and are kept")
        for cell in cells:
            if cell.finished and not cell.pretrains and len(kept) <= MOST_NAMED:
                say(f"{cell.title}: finished before, kept")
            elif cell.trained and not cell.finished:
                say(f"{cell.title}: trained before, goes on")
            if cell.finished and rank() == 0:
                clean(cell.home)

    def run(self, executor: Executor) -> list[Failure]:
        """Do what is left of the work."""
        return executor.run(self.works, self) if self.works else []

    def spared(self, work: Work) -> bool:
        """Whether nothing is left to do; see `transfer.recipes.cells.executors.executor.Watch`."""
        if work.phase == "play":
            if not work.cell.finished:
                return False
            self._count()
            return True
        origin = self.twins.take(work.cell)
        if origin is not None:
            self.say(f"{work.title}: taken from {origin}, a cell of the same settings, data and versions")
        return work.cell.trained

    def done(self, work: Work) -> None:
        """Remember what was trained, for others of its identity, and say how far the whole is."""
        if work.phase == "play":
            self._count()
        elif rank() == 0:
            self.twins.keep(work.cell)

    def _count(self) -> None:
        self._left -= 1
        now, done = self.clock(), self._before - self._left
        if self._left and now - self._said >= SAY_EVERY:
            self._said = now
            left = duration((now - self._began) / done * self._left)
            self.say(f"{self.cells - self._left} of {self.cells} cells are done, about {left} left")


def error_of(failures: Sequence[Failure]) -> Exception:
    """The error of some failures: the one that is alone as it is, else a list of the cells without results."""
    own = [one for one in failures if one.error is not None or one.died]
    if len({one.work.cell for one in failures}) == 1 and isinstance(own[0].error, TransferError):
        return own[0].error
    reasons: dict[str, str] = {}
    for one in failures:
        reasons.setdefault(one.work.title, one.reason)
    count = f"{len(reasons)} cells have" if len(reasons) > 1 else "a cell has"
    error = CellsFailed("\n  ".join([f"{count} no results:", *(f"{title}: {why}" for title, why in reasons.items())]))
    error.exit_code = 1 if any(not isinstance(one.error, TransferError) for one in own) else 2
    error.__cause__ = own[0].error
    return error
