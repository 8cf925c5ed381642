"""Start what settings mean: one run, or a matrix of many."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from transfer.recipes.cells.executors.choice import Where, find_jobs, threaded, threads_of_many, with_threads
from transfer.recipes.cells.executors.plan import Plan, plan
from transfer.recipes.matrix.points import Matrix, load_matrix
from transfer.recipes.matrix.run import run_matrix
from transfer.recipes.programs.run import run
from transfer.recipes.runs.datasets import Say
from transfer.recipes.settings.config import RunConfig, load_config
from transfer.runtime.devices import find_device


def settings_of(name_or_path: str, sets: Sequence[str] = (), quick: bool = False) -> RunConfig | Matrix:
    """The run or the matrix that settings mean; arguments as of `transfer.recipes.settings.config.load_config`.

    Raises:
        TransferError: as `load_config` and `transfer.recipes.matrix.points.load_matrix`.
    """
    matrix = load_matrix(name_or_path, sets, quick)
    return load_config(name_or_path, sets, quick) if matrix is None else matrix


def start(work: RunConfig | Matrix, folder: Path, resume: bool, say: Say, where: Where | None = None) -> Path:
    """Do it all: see `transfer.recipes.programs.run.run` and `transfer.recipes.matrix.run.run_matrix`."""
    if isinstance(work, Matrix):
        return run_matrix(work, folder, resume, say, where)
    return run(work, folder, resume, say, where)


def planned(work: RunConfig | Matrix, folder: Path, where: Where) -> Plan:
    """What would be done; nothing is written.

    Raises:
        TransferError: as `transfer.recipes.cells.executors.plan.plan`.
    """
    if isinstance(work, Matrix):
        device = find_device(work.base.run.device)
        threads = threads_of_many(work.base, device)
        runs = {folder / point.label: point.config for point in work.points}
    else:
        device = find_device(work.run.device)
        threads, runs = with_threads(work, folder, device).run.threads, {folder: work}
    settled = {home: threaded(one, threads) for home, one in runs.items()}
    return plan(settled, device, find_jobs(where.jobs, threads, device))
