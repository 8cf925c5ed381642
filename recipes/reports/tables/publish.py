"""Making a results folder from runs, so that results are committed by one command: `transfer report RUN... --out`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from transfer.errors import TransferError
from transfer.recipes.reports.report import Report, make_report, write_report
from transfer.recipes.reports.tables.cell_results import CellResult
from transfer.recipes.reports.tables.csv_lines import dump_lines
from transfer.recipes.reports.tables.result_lines import CalibrationLine, CellLine, CurveLine, EpisodeLine
from transfer.recipes.reports.tables.results_folder import RunRecord, config_name
from transfer.recipes.runs.cells import is_results_folder, planned
from transfer.recipes.settings.toml import read_toml
from transfer.storage.files import read_text, write_text

UNKNOWN = "# The folder of this run had no config.toml.\n"


def publish(folder: Path, report: Report) -> Path:
    """Write a results folder of the runs of a report; returns the path of its report.md.

    Raises:
        TransferError: two runs whose TOML would have one name, or a folder in which a file
            of that name holds something else. Nothing is written then.
    """
    files = settings(report.records) | tables(report.records)
    check_free(folder, files)
    result = make_report([kept(folder, record) for record in report.records])
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


def tables(records: Sequence[RunRecord]) -> dict[str, str]:
    """The CSV files."""
    cells = [cell for record in records for cell in record.cells]
    episodes = [line for cell in cells for played in cell.evaluations for line in played.episodes]
    return {
        "cells.csv": dump_lines(CellLine, [cell.line for cell in cells]),
        "episodes.csv": dump_lines(EpisodeLine, episodes),
        "curves.csv": dump_lines(CurveLine, [line for cell in cells for line in (*logged(cell), *cell.curve)]),
        "calibration.csv": dump_lines(CalibrationLine, [line for cell in cells for line in cell.calibration]),
    }


def logged(cell: CellResult) -> list[CurveLine]:
    """The training loss that the event files of a MODE/SEED hold; none in a results folder, which has it already."""
    if cell.home is None or not any(cell.home.glob("events.out.tfevents.*")):
        return []
    from transfer.recipes.watching.boards import read_scalars

    points = read_scalars(cell.home, "train/loss")
    return [CurveLine(cell.run, cell.mode, cell.seed, step, "train/loss", value) for step, value in points]


def check_free(folder: Path, files: dict[str, str]) -> None:
    """Raise TransferError where writing would take the place of a file that is no part of a results folder."""
    if any(folder.glob("*/*/results.json")):
        raise TransferError(f"{folder} is a run folder. Name another folder with --out, as docs/results/{folder.name}.")
    if is_results_folder(folder):
        return
    for name, text in files.items():
        if (folder / name).exists() and read_text(folder / name) != text:
            raise TransferError(f"{folder / name} exists and holds something else. Name another folder with --out.")


def kept(folder: Path, record: RunRecord) -> RunRecord:
    """A record as it is read from the results folder: what is missing follows from the settings alone."""
    there = {(cell.mode, cell.seed) for cell in record.cells}
    missing = [name for cell, name in planned(record.config).items() if cell not in there]
    return replace(record, place=folder / record.label, missing=tuple(missing))
