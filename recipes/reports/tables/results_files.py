"""The text of the files of a results folder, and writing them together."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

from transfer.errors import TransferError
from transfer.recipes.reports.matrix.matrix_report import MatrixReport, make_matrix_report
from transfer.recipes.reports.matrix.paper_rows import paper_text
from transfer.recipes.reports.report import Report, make_report
from transfer.recipes.reports.tables.cell_results import CellResult, RunRecord
from transfer.recipes.reports.tables.checksums import checksum, matrix_settings
from transfer.recipes.reports.tables.csv_lines import LARGEST_FILE, dump_lines
from transfer.recipes.reports.tables.result_lines import CalibrationLine, CellLine, CurveLine, EpisodeLine
from transfer.recipes.reports.tables.results_folder import PAPER, config_name, kept_point, kept_record
from transfer.recipes.runs.cells import ADAPTERS
from transfer.recipes.settings.toml import parse_toml, read_toml
from transfer.storage.files import writing

UNKNOWN = "# The folder of this run had no config.toml.\n"


def run_files(folder: Path, report: Report) -> tuple[dict[str, str], Report]:
    """The text of each file of a results folder of runs, and the report that is made of them."""
    files = settings(report.records)
    sealed = [
        replace(record, cells=with_checksums(record.cells, parse_toml(text, str(record.config))))
        for record, text in zip(report.records, files.values(), strict=True)
    ]
    kept = [kept_record(folder / one.label, one.config, one.cells) for one in report.records]
    return files | tables(sealed), make_report(kept)


def matrix_files(folder: Path, report: MatrixReport) -> tuple[dict[str, str], MatrixReport]:
    """The text of each file of a results folder of a matrix, and the report that is made of them."""
    config = report.records[0].config
    text = read_toml(config) if config.is_file() else UNKNOWN
    paper = {PAPER: paper_text(report.paper)} if report.paper else {}
    keys = [line.key for record in report.records for line in record.lines]
    whole = matrix_settings(parse_toml(text, str(config)), keys, paper.get(PAPER, ""))
    sealed = [
        replace(
            record,
            cells=with_checksums(record.cells, whole),
            gaps=tuple(replace(gap, checksum=checksum(gap, whole)) for gap in record.gaps),
        )
        for record in report.records
    ]
    kept = [kept_point(folder / one.label, folder / config.name, one.cells, one.gaps) for one in report.records]
    return {"config.toml": text} | tables(sealed) | paper, make_matrix_report(kept, report.paper)


def settings(records: Sequence[RunRecord]) -> dict[str, str]:
    """The TOML of each run, by its name in the folder."""
    found: dict[str, str] = {}
    for record in records:
        name = config_name(record.label, len(records) > 1)
        if name in found:
            raise TransferError(f"two runs would both be kept as {name}. Rename a run folder, or publish them apart.")
        found[name] = read_toml(record.config) if record.config.is_file() else UNKNOWN
    return found


def with_checksums(cells: Sequence[CellResult], config: dict[str, Any]) -> tuple[CellResult, ...]:
    """The cells of a run with the loss that was logged, and their checksums."""
    whole = [replace(cell, curve=(*logged(cell), *cell.curve)) for cell in cells]
    return tuple(replace(cell, line=replace(cell.line, checksum=checksum(cell, config))) for cell in whole)


def tables(records: Sequence[RunRecord]) -> dict[str, str]:
    """The CSV files."""
    cells = [cell for record in records for cell in record.cells]
    return {
        "cells.csv": dump_lines(CellLine, [line for record in records for line in record.lines]),
        "episodes.csv": dump_lines(EpisodeLine, [line for cell in cells for line in cell.episodes]),
        "curves.csv": dump_lines(CurveLine, [line for cell in cells for line in cell.curve]),
        "calibration.csv": dump_lines(CalibrationLine, [line for cell in cells for line in cell.calibration]),
    }


def check_sizes(files: Mapping[str, str]) -> None:
    """Raise TransferError for a file that would be too large to be read again."""
    for name, text in files.items():
        if (size := len(text.encode())) > LARGEST_FILE:
            raise TransferError(
                f"{name} would have {size:,} bytes; no more than {LARGEST_FILE:,} are read again. Keep the runs in "
                "several folders."
            )


def logged(cell: CellResult) -> list[CurveLine]:
    """The training loss in the event files of MODE/SEED; none in a results folder, whose curves have it already.

    That of one of several sources is its own, from the log of all.

    Of a step that was logged twice the last value is kept, and only finite values are: others could not be read again.
    """
    if cell.home is None or not any(cell.home.glob("events.out.tfevents.*")):
        return []
    from transfer.recipes.watching.boards import read_scalars

    home, tag = cell.home, "train/loss"
    if home.parent.name == ADAPTERS:
        home, tag = home.parent.parent, f"train/loss/{home.name}"
    losses = dict(read_scalars(home, tag))
    return [CurveLine(*cell.line.key, step, "train/loss", loss) for step, loss in losses.items() if math.isfinite(loss)]


def write_together(folder: Path, files: Mapping[str, str]) -> None:
    """Write text files; none takes its place before all are on the disk, so an error leaves every file as it was."""
    with ExitStack() as stack:
        for name, text in files.items():
            stream = stack.enter_context(writing(folder / name))
            stream.write(text.encode())
            stream.flush()
