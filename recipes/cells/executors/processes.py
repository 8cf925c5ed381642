"""Runs cells in several processes of this machine, side by side."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from multiprocessing import get_context
from multiprocessing.connection import Connection

from transfer.recipes.cells.executors.executor import Died, Failure, Watch, schedule
from transfer.recipes.cells.executors.setup import Setup, Show, end_with_parent
from transfer.recipes.cells.work import Work


class Processes:
    """Some workers, each a process of its own that does one piece of work after another.

    A worker that dies is replaced, and its work goes on from the last state that was saved.

    Args:
        jobs: how many.
        setup: of each.
        show: takes what the workers tell.
    """

    def __init__(self, jobs: int, setup: Setup, show: Show) -> None:
        self.jobs, self.setup, self.show = jobs, setup, show
        self._workers: dict[int, _Worker] = {}

    def run(self, works: Sequence[Work], watch: Watch) -> list[Failure]:
        """See `transfer.recipes.cells.executors.executor.Executor`."""
        try:
            failures = schedule(works, min(self.jobs, len(works)), self._start, watch)
        except BaseException:
            for worker in self._workers.values():
                worker.kill()
            raise
        for worker in self._workers.values():
            worker.close()
        return failures

    def _start(self, work: Work, slot: int) -> Future[None]:
        worker = self._workers.get(slot)
        if worker is None or worker.broken:
            worker = self._workers[slot] = _Worker(slot, self.setup, self.show)
        return worker.submit(work)


class _Worker:
    """A pool of one process, and the thread that hears what it tells."""

    def __init__(self, slot: int, setup: Setup, show: Show) -> None:
        context = get_context("spawn")  # a fork would share the threads' locks of torch and OpenMP
        self._heard, told = context.Pipe(duplex=False)
        self._pool = ProcessPoolExecutor(1, context, _begin, (setup, told))
        self._slot, self._show, self._pid, self.broken = slot, show, 0, False
        self._told: Connection | None = told
        self._thread = threading.Thread(target=self._hear, name=f"worker {slot}", daemon=True)
        self._thread.start()

    def submit(self, work: Work) -> Future[None]:
        """Begin a piece of work; the future raises `Died` where the process ends."""
        answer: Future[None] = Future()
        with _uninterrupted():  # a process that starts has what is blocked here blocked as well
            inner = self._pool.submit(_do, work)
        if self._told is not None:  # the process has its own end now
            self._told.close()
            self._told = None
        inner.add_done_callback(lambda future: self._answer(answer, future))
        return answer

    def _answer(self, answer: Future[None], inner: Future[None]) -> None:
        error = inner.exception() if not inner.cancelled() else Died("it was cancelled")
        if isinstance(error, BrokenProcessPool):
            self.broken = True
            error = Died("its process died, as one does that is killed or runs out of memory")
        answer.set_exception(error) if error is not None else answer.set_result(None)

    def _hear(self) -> None:
        with suppress(EOFError, OSError):
            while True:
                kind, value = self._heard.recv()
                if kind == "pid":
                    self._pid = value["pid"]
                else:
                    self._show(self._slot, kind, value)

    def close(self) -> None:
        """End the process, which has no work."""
        self._pool.shutdown()
        self._thread.join(1.0)

    def kill(self) -> None:
        """End the process at once, whatever it does."""
        if self._pid:
            with suppress(OSError):
                os.kill(self._pid, signal.SIGKILL if hasattr(signal, "SIGKILL") else signal.SIGTERM)
        self._pool.shutdown(wait=False, cancel_futures=True)


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Inside, Ctrl-C waits, where the system can hold it back."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


_setup: Setup
_told: Connection
_trouble: Exception | None = None  # of the beginning, which each piece of work then has


def _begin(setup: Setup, told: Connection) -> None:
    """Once in each worker."""
    global _setup, _told, _trouble
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches every process of a terminal; the driver ends this one
    end_with_parent()
    _setup, _told = setup, told
    told.send(("pid", {"pid": os.getpid()}))
    try:
        setup.begin()
    except Exception as error:
        _trouble = error


def _do(work: Work) -> None:
    if _trouble is not None:
        raise _trouble
    _setup.do(work, lambda kind, value: _told.send((kind, dict(value))))
