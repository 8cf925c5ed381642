"""How many threads a cell computes with, and how many cells are done at a time, where nobody says so."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from transfer.data.environment.building.importing import imported_from_here
from transfer.errors import TransferError
from transfer.evaluation.rollout import usable_cores
from transfer.numbers import whole
from transfer.recipes.cells.executors.executor import Executor
from transfer.recipes.cells.executors.inline import Inline
from transfer.recipes.cells.run_cell import cells_of
from transfer.recipes.cells.work import Work
from transfer.recipes.settings.config import RunConfig, config_table, load_config
from transfer.recipes.settings.own_modules import named_modules
from transfer.recipes.settings.sections import AUTO
from transfer.runtime.distributed import size

MOST_JOBS = 1_000


def with_threads(config: RunConfig, folder: Path, device: torch.device) -> RunConfig:
    """The config with a number of threads in the place of "auto": the one that the run has already, or cores for all.

    Byte-equal repeats need the same number, so a run keeps the one that it began with.
    """
    if config.run.threads != AUTO:
        return config
    before = load_config(str(folder)).run.threads if (folder / "config.toml").is_file() else AUTO
    return threaded(config, int(before) if before != AUTO else threads_for(config, folder, device))


def threaded(config: RunConfig, threads: int) -> RunConfig:
    """The config with a number of threads."""
    return replace(config, run=replace(config.run, threads=threads))


def threads_of_many(config: RunConfig, device: torch.device) -> int:
    """Threads of each cell of a matrix: as the config says, or one, for the cells have every core."""
    if config.run.threads != AUTO:
        return int(config.run.threads)
    return 1 if device.type == "cpu" else torch.get_num_threads()


def threads_for(config: RunConfig, folder: Path, device: torch.device) -> int:
    """Threads of each cell: as many as leave every core one cell, where there are cells to be done side by side."""
    if size() > 1 or device.type != "cpu":
        return torch.get_num_threads()
    return max(1, usable_cores() // side_by_side(config, folder))


def side_by_side(config: RunConfig, folder: Path) -> int:
    """The most cells of a run that can be trained at a time: the trunks come first."""
    cells = cells_of(config, folder)
    return max(1, sum(not cell.pretrains for cell in cells))


def find_jobs(jobs: int | str, threads: int, device: torch.device) -> int:
    """How many cells are done at a time: as asked, or as many as the cores have threads for; one on a GPU.

    Raises:
        TransferError: a number that is none, or several beside processes that torchrun started.
    """
    if jobs == AUTO:
        return 1 if size() > 1 or device.type != "cpu" else max(1, usable_cores() // threads)
    number = whole(jobs, "--jobs", 1, MOST_JOBS)
    if number > 1 and size() > 1:
        raise TransferError(
            f"--jobs {number} beside torchrun: its {size()} processes train one cell together. Leave --jobs out, or "
            "start the command without torchrun"
        )
    return number


@dataclass(frozen=True)
class Where:
    """Where cells are done.

    Attributes:
        jobs: how many at a time on this machine: a number, or "auto" for as many as the cores have threads for.
        ray: address of a Ray cluster in its place, "local" for one of this machine; "" for none.
        storage: whether every machine of the cluster has to see the folder of the runs.
    """

    jobs: int | str = 1
    ray: str = ""
    storage: bool = False

    def __post_init__(self) -> None:
        """Raises TransferError for a cluster beside torchrun."""
        if self.ray and size() > 1:
            raise TransferError(f"--ray beside torchrun: its {size()} processes train one cell together. Leave one out")

    def reach(self) -> None:
        """Connect to the cluster, where there is one to be. Raises TransferError where nothing answers."""
        if self.ray:
            from transfer.recipes.cells.executors.cluster import connect

            connect(self.ray)


def make_executor(
    where: Where, jobs: int, works: Sequence[Work], config: RunConfig, device: torch.device, say: Callable[[str], None]
) -> Executor:
    """An executor for some work: a cluster, this process where one cell is done at a time, else processes.

    Raises:
        TransferError: as `transfer.recipes.cells.executors.cluster.Cluster`.
    """
    threads = int(config.run.threads)
    if not where.ray and min(jobs, most_at_once(works)) <= 1:
        return Inline(str(device), threads, say)
    from transfer.recipes.cells.executors.setup import Setup
    from transfer.recipes.watching.display import Display

    modules = dict.fromkeys([*imported_from_here(), *named_modules(config_table(config))])
    setup, show = Setup.of_here(str(device), threads, tuple(modules)), Display(say).show
    if where.ray:
        from transfer.recipes.cells.executors.cluster import Cluster

        return Cluster(where.ray, setup, show, where.storage, gpus=1.0 if device.type == "cuda" else 0.0)
    from transfer.recipes.cells.executors.processes import Processes

    return Processes(jobs, setup, show)


def most_at_once(works: Sequence[Work]) -> int:
    """An upper bound of the pieces of work that can be done at a time: all but those that wait for the others' end."""
    return len({work.cell for work in works})
