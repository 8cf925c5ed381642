"""Making a results folder from runs, so that results are committed by one command: `transfer report RUN... --out`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from transfer.errors import TransferError
from transfer.recipes.reports.report import Report, make_report, write_report
from transfer.recipes.reports.tables.cell_results import CellResult, RunRecord
from transfer.recipes.reports.tables.csv_lines import dump_lines
from transfer.recipes.reports.tables.result_lines import CalibrationLine, CellLine, CurveLine, EpisodeLine
from transfer.recipes.reports.tables.results_folder import config_name, kept_record
from transfer.recipes.runs.cells import is_results_folder
from transfer.recipes.settings.toml import read_toml
from transfer.storage.files import read_text, write_text

UNKNOWN = "# The folder of this run had no config.toml.\n"


def publish(folder: Path, report: Report) -> Path:
    """Write a results folder of the runs of a report; returns the path of its report.md.

    Raises:
        TransferError: two runs whose TOML would have one name, or a folder in which a file
            of that name holds something else. Nothing is written then.
    """
    files = settings(report.records) | tables([cell for record in report.records for cell in record.cells])
    check_free(folder, files)
    result = make_report([kept_record(folder / one.label, one.config, one.cells) for one in report.records])
    for name, text in files.items():
        write_text(folder / name, text)
    for config in {record.config for record in report.records}:
        if config.parent.resolve() == folder.resolve() and config.name not in files:
            config.unlink()  # one run became several, or the other way round
    return write_report(folder, result)


def settings(records: Sequence[RunRecord]) -> dict[str, str]:
    """The TOML of each run, by its name in the folder."""
    found: dict[str, str] = {}
    for record in records:
        name = config_name(record.label, len(records) > 1)
        if name in found:
            raise TransferError(f"two runs would both be kept as {name}. Rename a run folder, or publish them apart.")
        found[name] = read_toml(record.config) if record.config.is_file() else UNKNOWN
    return found


def tables(cells: Sequence[CellResult]) -> dict[str, str]:
    """The CSV files."""
    return {
        "cells.csv": dump_lines(CellLine, [cell.line for cell in cells]),
        "episodes.csv": dump_lines(EpisodeLine, [line for cell in cells for line in cell.episodes]),
        "curves.csv": dump_lines(CurveLine, [line for cell in cells for line in (*logged(cell), *cell.curve)]),
        "calibration.csv": dump_lines(CalibrationLine, [line for cell in cells for line in cell.calibration]),
    }


def logged(cell: CellResult) -> list[CurveLine]:
    """The training loss in the event files of MODE/SEED; none in a results folder, whose curves have it already."""
    if cell.home is None or not any(cell.home.glob("events.out.tfevents.*")):
        return []
    from transfer.recipes.watching.boards import read_scalars

    return [CurveLine(*cell.line.key, step, "train/loss", loss) for step, loss in read_scalars(cell.home, "train/loss")]


def check_free(folder: Path, files: dict[str, str]) -> None:
    """Raise TransferError where writing would take the place of a file that is no part of a results folder."""
    if any(folder.glob("*/*/results.json")):
        raise TransferError(f"{folder} is a run folder. Name another folder with --out, as docs/results/{folder.name}.")
    if is_results_folder(folder):
        return
    for name, text in files.items():
        if (folder / name).exists() and read_text(folder / name) != text:
            raise TransferError(f"{folder / name} exists and holds something else. Name another folder with --out.")
