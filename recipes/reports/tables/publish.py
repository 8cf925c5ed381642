"""Making a results folder from runs, so that results are committed by one command: `transfer report RUN... --out`."""

from __future__ import annotations

import math
import os
import shlex
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

from transfer.errors import TransferError
from transfer.recipes.reports.report import Report, make_report, write_report
from transfer.recipes.reports.tables.cell_results import CellResult, RunRecord
from transfer.recipes.reports.tables.checksums import checksum
from transfer.recipes.reports.tables.csv_lines import LARGEST_FILE, dump_lines
from transfer.recipes.reports.tables.result_lines import CalibrationLine, CellLine, CurveLine, EpisodeLine
from transfer.recipes.reports.tables.results_folder import called, config_name, kept_record, read_results_folder
from transfer.recipes.runs.cells import ADAPTERS, begun, is_results_folder, policy_file
from transfer.recipes.settings.toml import parse_toml, read_toml
from transfer.storage.files import read_text, writing

UNKNOWN = "# The folder of this run had no config.toml.\n"


def publish(folder: Path, report: Report) -> Path:
    """Write a results folder of the runs of a report; returns the path of its report.md.

    Raises:
        TransferError: two runs whose TOML would have one name, a file that would be too large to be read, or a folder
            that holds something which would be lost. Nothing is written then.
    """
    files = settings(report.records)
    cells = [
        kept
        for record, text in zip(report.records, files.values(), strict=True)
        for kept in with_checksums(record.cells, parse_toml(text, str(record.config)))
    ]
    files |= tables(cells)
    check_sizes(files)
    result = make_report([kept_record(folder / one.label, one.config, one.cells) for one in report.records])
    before = replaced(folder, files | {"report.md": result.markdown}, report.records)
    write_together(folder, files)
    for config in {record.config for record in before if record.config.name not in files}:
        config.unlink()  # one run became several, or the other way round
    return write_report(folder, result)


def write_together(folder: Path, files: Mapping[str, str]) -> None:
    """Write text files; none takes its place before all are on the disk, so an error leaves every file as it was."""
    with ExitStack() as stack:
        for name, text in files.items():
            stream = stack.enter_context(writing(folder / name))
            stream.write(text.encode())
            stream.flush()


def settings(records: Sequence[RunRecord]) -> dict[str, str]:
    """The TOML of each run, by its name in the folder."""
    found: dict[str, str] = {}
    for record in records:
        name = config_name(record.label, len(records) > 1)
        if name in found:
            raise TransferError(f"two runs would both be kept as {name}. Rename a run folder, or publish them apart.")
        found[name] = read_toml(record.config) if record.config.is_file() else UNKNOWN
    return found


def with_checksums(cells: Sequence[CellResult], config: dict[str, Any]) -> list[CellResult]:
    """The cells of a run with the loss that was logged, and their checksums."""
    whole = [replace(cell, curve=(*logged(cell), *cell.curve)) for cell in cells]
    return [replace(cell, line=replace(cell.line, checksum=checksum(cell, config))) for cell in whole]


def tables(cells: Sequence[CellResult]) -> dict[str, str]:
    """The CSV files."""
    return {
        "cells.csv": dump_lines(CellLine, [cell.line for cell in cells]),
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


def replaced(folder: Path, files: Mapping[str, str], records: Sequence[RunRecord]) -> list[RunRecord]:
    """The runs that a results folder holds until `files` are written there; none where there is no such folder yet.

    Raises:
        TransferError: the folder belongs to a run, holds results that `records` lack, or a file that is no part of a
            results folder and would be written over.
    """
    other = f"Name another folder with --out, as docs/results/{folder.name}."
    if begun(folder) or (folder / "results.json").exists() or policy_file(folder) is not None:
        raise TransferError(f"{folder} is a run folder or part of one. {other}")
    if not is_results_folder(folder) or (before := readable(folder)) is None:
        check_free(folder, files)
        return []
    new = [cell for record in records for cell in record.cells]
    known = {cell.line.key for cell in new} | {content(cell) for cell in new}
    lost = [cell for record in before for cell in record.cells if not {cell.line.key, content(cell)} & known]
    if lost:
        more = f" and {len(lost) - 1} more" if len(lost) > 1 else ""
        raise TransferError(
            f"{folder} holds results that would be lost: {called(lost[0].line.key)}{more}. To add to them, name that "
            f"folder among the runs too: {shlex.join(['transfer', 'report', str(folder), 'RUN', '--out', str(folder)])}"
        )
    return before


def readable(folder: Path) -> list[RunRecord] | None:
    """The runs of a results folder; None where it is damaged or not one of ours."""
    try:
        return read_results_folder(folder)
    except TransferError:
        return None


def content(cell: CellResult) -> tuple[object, ...]:
    """What a cell holds under whatever name of its run."""
    unnamed = cell.of_run("")
    return replace(unnamed.line, checksum=""), unnamed.episodes


def check_free(folder: Path, files: Mapping[str, str]) -> None:
    """Raise TransferError where one of the files, or report.png, would take the place of something else."""
    taken = [name for name, text in files.items() if os.path.lexists(folder / name) and not same(folder / name, text)]
    if not (folder / "report.md").exists() and os.path.lexists(folder / "report.png"):
        taken.append("report.png")
    if taken:
        raise TransferError(
            f"{folder / taken[0]} exists and holds something else. Name another folder with --out, or remove it."
        )


def same(file: Path, text: str) -> bool:
    """Whether a file holds this text."""
    try:
        return read_text(file) == text
    except TransferError:
        return False
