"""Run a matrix: an ordinary run for each point, whose cells are done side by side, and one report of all.

    runs/NAME/config.toml        every setting and the [matrix]; before the first step
    runs/NAME/LABEL/             the run of a point, as `transfer.recipes.programs.run` documents it
    runs/NAME/report.md, ...     the report of all, and the tables that it is made of

A cell that another run has, in this matrix or in a folder beside it, is not trained again: see
`transfer.recipes.cells.twins`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from transfer.errors import TransferError
from transfer.recipes.cells.executors.choice import Where, find_jobs, make_executor, threaded, threads_of_many
from transfer.recipes.cells.executors.driver import Driver, error_of
from transfer.recipes.cells.executors.executor import Failure
from transfer.recipes.cells.run_cell import RunCell, cells_of
from transfer.recipes.cells.twins import Twins
from transfer.recipes.matrix.paper import beside
from transfer.recipes.matrix.points import Matrix, dump_matrix, load_matrix
from transfer.recipes.reports.matrix.coordinates import Coordinates
from transfer.recipes.reports.tables.matrix_folder import write_matrix_report
from transfer.recipes.runs.cells import PRETRAIN, sources_of
from transfer.recipes.runs.datasets import Say
from transfer.recipes.runs.folder import check_links, check_name, differences, held, is_free
from transfer.recipes.runs.prepare import Prepared, prepare
from transfer.recipes.settings.sections import AUTO
from transfer.runtime.devices import find_device
from transfer.runtime.distributed import size
from transfer.storage.files import write_text


def run_matrix(matrix: Matrix, folder: Path, resume: bool, say: Say, where: Where | None = None) -> Path:
    """Do every cell of a matrix, and report.

    Args:
        matrix: the runs.
        folder: where it is written.
        resume: go on with a matrix of the same settings that was stopped; points, modes and seeds may be new.
        say: takes lines for people.
        where: cells are done.

    Returns:
        the path of the report.

    Raises:
        TransferError: bad settings, a folder that holds something else or is in use, data that cannot be had. Nothing
            is written then.
        CellsFailed: cells that failed; the others are finished and reported.
    """
    where = where or Where()
    if size() > 1:
        raise TransferError(f"a matrix beside torchrun: its {size()} processes train one cell together. Start it alone")
    where.reach()
    with ExitStack() as stack:
        existing = folder.is_dir()
        if existing:
            stack.enter_context(held(folder))
        device = find_device(matrix.base.run.device)
        matrix = settled(matrix, folder, resume, threads_of_many(matrix.base, device))
        number = find_jobs(where.jobs, matrix.base.run.threads, device)
        ready = prepared(matrix, folder, say, number)
        write_text(folder / "config.toml", dump_matrix(matrix))
        if not existing:
            stack.enter_context(held(folder))
        for one in ready.values():
            one.write()
        cells = {label: cells_of(one.config, one.folder, label) for label, one in ready.items()}
        settings = {one.folder: (one.config, one.used) for one in ready.values()}
        driver = Driver([cell for some in cells.values() for cell in some], Twins(settings, device, folder.parent), say)
        failures = driver.run(make_executor(where, number, driver.works, matrix.base, device, say))
        path = report(matrix, folder, cells, failures)
        if failures:
            raise error_of(failures)
        return path


def settled(matrix: Matrix, folder: Path, resume: bool, threads: int) -> Matrix:
    """The matrix that a folder is going to hold, with a number of threads.

    Raises:
        TransferError: the folder holds something else, another matrix, runs that are no points of this one, or is there
            already without `resume`.
    """
    check_name(folder)
    if is_free(folder):
        return with_threads(matrix, threads)
    before = load_matrix(str(folder))
    if before is None:
        raise TransferError(f"{folder} holds a single run, and these settings are a matrix. Choose another --name.")
    if not resume:
        raise TransferError(f"{folder} holds a matrix already. Add --resume to go on, or choose another --name.")
    check_links(folder)
    matrix = with_threads(matrix, before.base.run.threads if matrix.base.run.threads == AUTO else threads)
    decided = [f"{name}." for name, given in decides(matrix).items() if given]  # by the points, which are checked too
    differing = [one for one in differences(before.base, matrix.base) if not one.startswith(tuple(decided))]
    if differing:
        raise TransferError(
            f"{folder} holds a matrix with other settings: {'; '.join(differing)}. --resume goes on with the same "
            f"settings only: transfer run {folder} --resume takes them from the folder; else choose another --name."
        )
    labels = {point.label for point in matrix.points}
    if gone := [
        point.label for point in before.points if point.label not in labels and (folder / point.label).is_dir()
    ]:
        raise TransferError(
            f"{folder} holds runs of another definition: {', '.join(gone[:3])}{' and more' if len(gone) > 3 else ''} "
            "are no points of this matrix. Keep them in it, or choose another --name."
        )
    return matrix


def decides(matrix: Matrix) -> dict[str, bool]:
    """The sections that a matrix decides in the place of its base."""
    section = matrix.section
    return {"source": bool(section.sources), "target": bool(section.targets), "method": bool(section.methods)}


def with_threads(matrix: Matrix, threads: int) -> Matrix:
    """The matrix with a number of threads for every run."""
    points = tuple(replace(point, config=threaded(point.config, threads)) for point in matrix.points)
    return replace(matrix, base=threaded(matrix.base, threads), points=points)


def prepared(matrix: Matrix, folder: Path, say: Say, jobs: int) -> dict[str, Prepared]:
    """The run of each point, checked and with its data at hand, by its label; a line that was said is not repeated.

    Raises:
        TransferError: as `prepare`, with the label of the point.
    """
    said: set[str] = set()

    def once(line: str) -> None:
        if line not in said:
            said.add(line)
            say(line)

    found: dict[str, Prepared] = {}
    for point in matrix.points:
        home = folder / point.label
        try:
            ready = prepare(point.config, home, (home / "config.toml").is_file(), once, jobs)
        except TransferError as error:
            raise TransferError(f"{point.label}: {error}") from error
        found[point.label] = replace(ready, found={})  # the data stay on disk until a cell needs them
    return found


def report(matrix: Matrix, folder: Path, cells: Mapping[str, Sequence[RunCell]], failures: Sequence[Failure]) -> Path:
    """Write the report of a matrix; cells without results have their reason in it."""
    points = [Coordinates(one.label, one.source, one.target, one.method, one.size, one.axes) for one in matrix.points]
    planned = {(label, mode, cell.seed): cell for label, some in cells.items() for cell in some for mode in modes(cell)}
    why: dict[RunCell, str] = {}
    for failure in failures:
        why.setdefault(failure.work.cell, f"failed: {failure.reason}")
    reasons = {key: why[cell] for key, cell in planned.items() if cell in why}
    return write_matrix_report(folder, points, list(planned), reasons, beside(matrix))


def modes(cell: RunCell) -> list[str]:
    """The modes of the results of a cell: one for each of several sources."""
    names = sources_of(cell.home) if cell.pretrains else []
    return [f"{PRETRAIN}:{name}" for name in names] if len(names) > 1 else [cell.mode]
