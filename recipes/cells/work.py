"""What an executor is given: the training of a cell, or the playing of its episodes."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

from transfer.recipes.cells.job import open_job
from transfer.recipes.cells.play import finish
from transfer.recipes.cells.run_cell import RunCell
from transfer.recipes.cells.train import train
from transfer.runtime.distributed import rank, wait
from transfer.runtime.memory import forget_peak

Phase = Literal["train", "play"]


@dataclass(frozen=True)
class Work:
    """One piece of work.

    Attributes:
        cell: that it belongs to.
        phase: its training, or its episodes.
        after: what has to be done before.
    """

    cell: RunCell
    phase: Phase
    after: tuple[Work, ...] = ()

    @property
    def title(self) -> str:
        """In messages: RUN/MODE/SEED."""
        return f"{self.cell.run.name}/{self.cell.home.relative_to(self.cell.run).as_posix()}"


def works_of(cells: Iterable[RunCell], identity: Callable[[RunCell], str | None]) -> list[Work]:
    """The work that is left of some cells, in their order; a cell comes behind the trunk that it needs.

    Args:
        cells: in order.
        identity: of a cell, None where it is not known yet. Of two cells of one identity the second one comes behind
            the first, from which it is taken then.
    """
    trained: dict[RunCell, Work] = {}
    played: dict[str, Work] = {}
    found: list[Work] = []
    for cell in cells:
        if cell.finished:
            continue
        before: tuple[Work, ...] = ()
        if not cell.trained:
            needed = [trained[cell.trunk_cell()]] if cell.needs_trunk and cell.trunk_cell() in trained else []
            known = None if needed else identity(cell)
            first = played.get(known) if known else None
            trained[cell] = Work(cell, "train", tuple([*needed, *([first] if first else [])]))
            found.append(trained[cell])
            before = (trained[cell],)
        found.append(Work(cell, "play", before))
        if before and known:
            played.setdefault(known, found[-1])
    return found


def do(work: Work, device: str, say: Callable[[str], None]) -> None:
    """Do a piece of work in this process; of several that torchrun started, all train and rank 0 plays.

    Args:
        work: what to do; it may be done in part already.
        device: where to compute.
        say: takes lines for people.

    Raises:
        TransferError: as `transfer.recipes.cells.train.train` and `transfer.recipes.cells.play.finish`.
    """
    job = open_job(work.cell.run, device, say)
    if work.phase == "train":
        forget_peak()
        train(work.cell, job)
    elif rank() == 0:
        finish(work.cell, job)
    wait()
