"""The recipe: pretrain a trunk, freeze it, adapt it to another environment in every mode, evaluate, report.

    runs/NAME/config.toml                      as asked, and which data that came to mean; before the first step
    runs/NAME/trunk/SEED/                      trunk, source adapter, results of the source environment
    runs/NAME/trunk/SEED/adapters/SOURCE/      adapter and results of a source, where there are several
    runs/NAME/MODE/SEED/                       adapter (and a trunk where it is not the shared one), results
    runs/NAME/report.md, report.csv, report.png

Seeds are independent runs; all modes of a seed share its pretrained trunk. Each of these folders is a cell: its
training, then its episodes, are given to an executor, which does several side by side. Finished cells are skipped on
`--resume`, an unfinished one goes on from its last checkpoint.

Started by torchrun, every process trains; rank 0 alone makes data, evaluates and writes, and the others wait for it.
"""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

from transfer.recipes.cells.executors.choice import Where, find_jobs, make_executor, with_threads
from transfer.recipes.cells.executors.driver import Driver, error_of
from transfer.recipes.cells.job import keep
from transfer.recipes.cells.run_cell import cells_of
from transfer.recipes.cells.twins import Twins
from transfer.recipes.reports.report import write_report
from transfer.recipes.runs.cells import result_files
from transfer.recipes.runs.datasets import Say
from transfer.recipes.runs.folder import held
from transfer.recipes.runs.prepare import prepare
from transfer.recipes.settings.config import RunConfig
from transfer.runtime.devices import find_device
from transfer.runtime.distributed import own_device, rank, rank_0_first


def run(config: RunConfig, folder: Path, resume: bool, say: Say, where: Where | None = None) -> Path:
    """Pretrain, adapt, evaluate and report, as a config says.

    Args:
        config: of the run.
        folder: where it is written.
        resume: go on with a run of the same config that was stopped; modes and seeds may be new.
        say: takes lines for people.
        where: cells are done; by default one after another in this process.

    Returns:
        the path of the report.

    Raises:
        TransferError: bad settings, a folder that holds another run or is in use by another process, data that cannot
            be had. Nothing is written then.
        CellsFailed: cells that failed; the others are finished and reported.
    """
    with ExitStack() as stack:
        existing = folder.is_dir()
        if rank() == 0 and existing:
            stack.enter_context(held(folder))
        device = find_device(own_device(config.run.device))
        config = with_threads(config, folder, device)
        where = where or Where()
        where.reach()
        number = find_jobs(where.jobs, config.run.threads, device)
        with rank_0_first():  # the others find the data made and packed, and the folder claimed
            ready = prepare(config, folder, resume or rank() > 0, say, number)
            ready.write()
        if rank() == 0 and not existing:
            stack.enter_context(held(folder))
        cells = cells_of(ready.config, folder)
        driver = Driver(cells, Twins({folder: (ready.config, ready.used)}, ready.device, None), say)
        executor = make_executor(where, number, driver.works, ready.config, ready.device, say)
        for key, data in ready.found.items():
            keep(key, ready.used[key], ready.config, data)
        failures = driver.run(executor)
        path = folder / "report.md"
        if rank() == 0 and (not failures or result_files(folder)):
            path = write_report(folder)
        if failures:
            raise error_of(failures)
        return path
