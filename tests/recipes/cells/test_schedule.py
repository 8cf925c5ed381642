"""The order in which work is given out, what becomes of work that fails or dies, and what the whole costs."""

import resource
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path

import pytest

from transfer.errors import TransferError
from transfer.recipes.cells.executors.driver import CellsFailed, error_of
from transfer.recipes.cells.executors.executor import Died, Failure, schedule
from transfer.recipes.cells.run_cell import RunCell
from transfer.recipes.cells.work import Work, works_of


class Seen:
    """Notes what is done; some work is spared."""

    def __init__(self, spared: tuple[Work, ...] = ()) -> None:
        self.order: list[str] = []
        self._spared = spared

    def spared(self, work: Work) -> bool:
        return work in self._spared

    def done(self, work: Work) -> None:
        self.order.append(f"{work.phase} {work.title}")


def at_once(failing: dict[Work, Exception] | None = None) -> Callable[[Work, int], Future[None]]:
    """Does work at once; some of it raises."""

    def start(work: Work, slot: int) -> Future[None]:
        future: Future[None] = Future()
        error = (failing or {}).get(work)
        future.set_exception(error) if error is not None else future.set_result(None)
        return future

    return start


def chain(run: Path, modes: tuple[str, ...] = ("embeddings", "full"), seeds: tuple[int, ...] = (0, 1)) -> list[Work]:
    """The work of a run that was not begun."""
    cells = []
    for seed in seeds:
        cells += [RunCell(run, "pretrain", seed), *(RunCell(run, mode, seed, True) for mode in modes)]
    return works_of(cells, lambda cell: None)


def test_one_slot_does_everything_in_order(tmp_path: Path) -> None:
    works, seen = chain(tmp_path / "a"), Seen()
    assert schedule(works, 1, at_once(), seen) == []
    assert seen.order == [f"{work.phase} {work.title}" for work in works] and len(works) == 12


def test_nothing_begins_before_what_it_needs_and_slots_are_not_overbooked(tmp_path: Path) -> None:
    works, done, running, most = chain(tmp_path / "a"), set[Work](), [0], [0]

    class Watch(Seen):
        def done(self, work: Work) -> None:
            done.add(work)

    def start(work: Work, slot: int) -> Future[None]:
        assert set(work.after) <= done
        future: Future[None] = Future()
        running[0] += 1
        most[0] = max(most[0], running[0])

        def finish() -> None:
            running[0] -= 1
            future.set_result(None)

        threading.Timer(0.01, finish).start()
        return future

    assert schedule(works, 3, start, Watch()) == []
    assert done == set(works) and most[0] == 3


def test_a_cell_that_fails_costs_what_needs_it_and_nothing_else(tmp_path: Path) -> None:
    works, seen = chain(tmp_path / "a"), Seen()
    failures = schedule(works, 2, at_once({works[0]: TransferError("no trunk")}), seen)
    assert {one.work for one in failures} == {work for work in works if work.cell.seed == 0}
    assert len(seen.order) == 6 and all(title.endswith("/1") for title in seen.order)
    error = error_of(failures)
    assert isinstance(error, CellsFailed) and error.exit_code == 2
    assert "a/trunk/0: no trunk" in str(error) and "a/full/0: it needs a/trunk/0, which failed" in str(error)


def test_the_error_of_one_cell_alone_is_as_it_was(tmp_path: Path) -> None:
    works, wrong = chain(tmp_path / "a"), TransferError("diverged")
    assert error_of(schedule(works, 1, at_once({works[2]: wrong}), Seen())) is wrong  # with its own episodes left out


def test_work_whose_process_dies_is_begun_once_more(tmp_path: Path) -> None:
    works, begun, seen = chain(tmp_path / "a"), list[Work](), Seen()

    def start(work: Work, slot: int) -> Future[None]:
        begun.append(work)
        died = work == works[2] or (work == works[0] and begun.count(work) == 1)
        return at_once({work: Died("killed")} if died else {})(work, slot)

    failures = schedule(works, 2, start, seen)
    assert begun.count(works[0]) == 2 and begun.count(works[2]) == 2
    assert [(one.work, one.died) for one in failures] == [(works[2], True), (works[3], False)]
    error = error_of(failures)
    assert isinstance(error, CellsFailed) and error.exit_code == 1 and "a/embeddings/0: killed" in str(error)


def test_what_is_spared_is_not_begun(tmp_path: Path) -> None:
    works = chain(tmp_path / "a")
    seen = Seen(spared=(works[0], works[1]))
    assert schedule(works, 1, at_once(), seen) == []
    assert len(seen.order) == 10 and "train a/trunk/0" not in seen.order


def test_an_interruption_is_raised(tmp_path: Path) -> None:
    def start(work: Work, slot: int) -> Future[None]:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        schedule(chain(tmp_path / "a"), 1, start, Seen())


def test_ten_thousand_cells_take_seconds_and_little_memory(tmp_path: Path) -> None:
    def cost(runs: int) -> tuple[float, int]:
        works = [work for run in range(runs) for work in chain(tmp_path / str(run), seeds=(0,))]
        before, began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.perf_counter()
        assert schedule(works, 8, at_once(), Quiet()) == []
        return time.perf_counter() - began, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before

    class Quiet(Seen):
        def done(self, work: Work) -> None:
            pass

    seconds, kilobytes = cost(3_400)  # 10,200 cells
    assert seconds < 20 and kilobytes < 50_000


def test_failures_without_an_error_of_their_own_are_never_alone() -> None:
    cell = RunCell(Path("a"), "mlp", 0)
    error = error_of([Failure(Work(cell, "train"), "its process died", died=True)])
    assert str(error) == "a cell has no results:\n  a/mlp/0: its process died"
