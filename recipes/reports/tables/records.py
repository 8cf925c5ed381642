"""The runs that a report is about: read from run folders and from results folders, which may be mixed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from transfer.errors import TransferError
from transfer.recipes.reports.labels import labels
from transfer.recipes.reports.tables.cell_results import check_run, check_scales, in_order, read_cell
from transfer.recipes.reports.tables.results_folder import RunRecord, read_results_folder
from transfer.recipes.runs.cells import configured_modes, is_results_folder, next_command, unfinished


def read_records(paths: Sequence[Path]) -> list[RunRecord]:
    """The runs in folders, each called by the shortest end of its path that tells it apart.

    Raises:
        TransferError: a folder that is missing or holds no results (with the next command), a file that is damaged,
            edited or of another format, a run named twice, or results that do not belong in one table.
    """
    if not paths:
        raise TransferError("no run to report on. Make one with: transfer run hopper-to-walker2d")
    labels(paths)  # raises where a folder is named twice
    found = [record for path in paths for record in read_folder(path)]
    called = labels([record.place for record in found])
    records = [record.named(called[record.place]) for record in found]
    check_scales(cell for record in records for cell in record.cells)
    return records


def read_folder(path: Path) -> list[RunRecord]:
    """The runs of one folder. Raises TransferError as `read_records`."""
    if not path.is_dir():
        raise TransferError(f"no run folder {path}. What is at hand: transfer ls")
    return read_results_folder(path) if is_results_folder(path) else [read_run(path)]


def read_run(run: Path) -> RunRecord:
    """One run folder.

    Raises:
        TransferError: as `read_records`; one mode and seed in two folders, or cells that were trained on other data
            than the rest of the run.
    """
    files = sorted(file for file in run.glob("*/*/results.json") if file.parent.name.isdigit())
    cells = [read_cell(file, run.name) for file in files]
    if not cells:
        raise TransferError(f"{run} holds no results yet. {next_command(run)}")
    check_run(cells)
    config = run / "config.toml"
    return RunRecord(run, config, tuple(in_order(cells, configured_modes(config))), tuple(unfinished(run)))
