"""Making a results folder from runs, so that results are committed by one command: `transfer report RUN... --out`."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from transfer.errors import TransferError
from transfer.recipes.reports.matrix.matrix_report import MatrixReport
from transfer.recipes.reports.report import Report, write_report
from transfer.recipes.reports.tables.cell_results import CellResult, RunRecord
from transfer.recipes.reports.tables.results_files import check_sizes, matrix_files, run_files, write_together
from transfer.recipes.reports.tables.results_folder import PAPER, called, read_results_folder
from transfer.recipes.runs.cells import begun, is_results_folder, policy_file
from transfer.storage.files import read_text


def publish(folder: Path, report: Report | MatrixReport) -> Path:
    """Write a results folder of the runs or the matrix of a report; returns the path of its report.md.

    Raises:
        TransferError: two runs whose TOML would have one name, a file that would be too large to be read, or a folder
            that holds something which would be lost. Nothing is written then.
    """
    files: dict[str, str]
    result: Report | MatrixReport
    if isinstance(report, MatrixReport):
        files, result = matrix_files(folder, report)
        made, plots = {"report.md": result.markdown, "report.csv": result.csv}, [plot.file for plot in result.plots]
    else:
        files, result = run_files(folder, report)
        made, plots = {"report.md": result.markdown}, ["report.png"]
    check_sizes(files)
    before = replaced(folder, files | made, plots, report.records)
    write_together(folder, files)
    stale = {record.config for record in before} | ({folder / PAPER} if before else set())
    for file in [one for one in stale if one.name not in files]:
        file.unlink(missing_ok=True)  # one run became several, or the other way round
    return write_report(folder, result)


def replaced(
    folder: Path, files: Mapping[str, str], plots: Sequence[str], records: Sequence[RunRecord]
) -> list[RunRecord]:
    """The runs that a results folder holds until files are written there; none where there is no such folder yet.

    Raises:
        TransferError: the folder belongs to a run, holds results that `records` lack, or a file that is no part of a
            results folder and would be written over.
    """
    other = f"Name another folder with --out, as docs/results/{folder.name}."
    if begun(folder) or (folder / "results.json").exists() or policy_file(folder) is not None:
        raise TransferError(f"{folder} is a run folder or part of one. {other}")
    if not is_results_folder(folder) or (before := readable(folder)) is None:
        check_free(folder, files, plots)
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


def check_free(folder: Path, files: Mapping[str, str], plots: Sequence[str]) -> None:
    """Raise TransferError where one of the files or plots would take the place of something else."""
    taken = [name for name, text in files.items() if os.path.lexists(folder / name) and not same(folder / name, text)]
    if not (folder / "report.md").exists():
        taken += [name for name in plots if os.path.lexists(folder / name)]
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
