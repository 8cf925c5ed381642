"""Runs cells in this process, one after another."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future

from transfer.errors import TransferError
from transfer.recipes.cells.executors.executor import Failure, Watch, schedule
from transfer.recipes.cells.work import Work, do
from transfer.recipes.runs.checks import use_threads
from transfer.runtime.distributed import size


class Inline:
    """One cell after another. Processes that torchrun started do the same work together.

    Args:
        device: where to compute.
        threads: of the CPU.
        say: takes lines for people.
    """

    def __init__(self, device: str, threads: int, say: Callable[[str], None]) -> None:
        self.device, self.threads, self.say = device, threads, say

    def run(self, works: Sequence[Work], watch: Watch) -> list[Failure]:
        """See `transfer.recipes.cells.executors.executor.Executor`. What is no mistake of a user is raised at once."""
        use_threads(self.threads)
        return schedule(works, 1, self._do, watch)

    def _do(self, work: Work, slot: int) -> Future[None]:
        future: Future[None] = Future()
        try:
            do(work, self.device, self.say)
        except TransferError as error:
            if size() > 1:  # the others wait for this process
                raise
            future.set_exception(error)
        else:
            future.set_result(None)
        return future
