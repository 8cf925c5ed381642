"""The protocol of what runs cells, and the order in which all of them take their work."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass
from typing import Protocol

from transfer.recipes.cells.work import Work

POLL = 1.0  # seconds between two looks at signals while work is done elsewhere


@dataclass(frozen=True)
class Failure:
    """A piece of work that was not done.

    Attributes:
        work: which one.
        reason: in words.
        error: what it raised; None where its process died, or where what it needs failed.
        died: whether its process died.
    """

    work: Work
    reason: str
    error: Exception | None = None
    died: bool = False


class Watch(Protocol):
    """Sees each piece of work come and go."""

    def spared(self, work: Work) -> bool:
        """Called before a work is begun: whether nothing is left to do."""
        ...

    def done(self, work: Work) -> None:
        """Called after a work was done."""
        ...


class Executor(Protocol):
    """Runs cells: in this process, in several, on a cluster. None of them changes what is computed."""

    def run(self, works: Sequence[Work], watch: Watch) -> list[Failure]:
        """Do all work, each behind what it needs; what fails is returned, and the rest goes on.

        Args:
            works: in the order in which they are begun where several could be.
            watch: sees each.

        Raises:
            KeyboardInterrupt: as it comes; whatever runs elsewhere is ended first.
        """
        ...


class Died(Exception):
    """The process that did some work ended without an answer."""


def schedule(
    works: Sequence[Work],
    slots: int,
    start: Callable[[Work, int], Future[None]],
    watch: Watch,
    attempts: int = 2,
) -> list[Failure]:
    """Give out work to some slots, each behind what it needs.

    Args:
        works: in order.
        slots: how many are done at a time.
        start: begins a work in a slot; its future raises `Died` where the process ended.
        watch: sees each.
        attempts: how often a work is begun whose process dies.
    """
    place = {work: number for number, work in enumerate(works)}
    needs = {work: sum(one in place for one in work.after) for work in works}
    behind: dict[Work, list[Work]] = {}
    for work in works:
        for one in work.after:
            behind.setdefault(one, []).append(work)
    ready = [place[work] for work in works if not needs[work]]
    heapq.heapify(ready)
    free, running = list(range(slots))[::-1], dict[Future[None], tuple[Work, int]]()
    tries: dict[Work, int] = {}
    failures: list[Failure] = []

    def finish(work: Work) -> None:
        for one in behind.get(work, ()):
            needs[one] -= 1
            if not needs[one]:
                heapq.heappush(ready, place[one])

    while ready or running:
        while ready and free:
            work = works[heapq.heappop(ready)]
            if watch.spared(work):
                finish(work)
                continue
            slot, tries[work] = free.pop(), tries.get(work, 0) + 1
            running[start(work, slot)] = work, slot
        for future in wait(running, POLL, FIRST_COMPLETED).done if running else ():
            work, slot = running.pop(future)
            free.append(slot)
            failure = _failure(work, future)
            if failure is None:
                watch.done(work)
                finish(work)
            elif failure.died and tries[work] < attempts:
                heapq.heappush(ready, place[work])
            else:
                failures += [failure, *_without(failure, behind)]
    return failures


def _failure(work: Work, future: Future[None]) -> Failure | None:
    """What became of a work that ended; None where it was done."""
    error = future.exception()
    if error is None:
        return None
    if isinstance(error, Died):
        return Failure(work, str(error), died=True)
    if not isinstance(error, Exception):
        raise error
    return Failure(work, str(error) or type(error).__name__, error)


def _without(failure: Failure, behind: dict[Work, list[Work]]) -> list[Failure]:
    """The failures of everything that needs what failed."""
    found: dict[Work, Failure] = {}
    left = list(behind.get(failure.work, ()))
    while left:
        work = left.pop()
        if work not in found:
            found[work] = Failure(work, f"it needs {failure.work.title}, which failed")
            left += behind.get(work, ())
    return list(found.values())
