"""A matrix as a run leaves it, a run folder per point: its points are read together, its tables and report written."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from transfer.errors import TransferError, unknown
from transfer.numbers import seen
from transfer.recipes.reports.matrix.coordinates import Coordinates
from transfer.recipes.reports.matrix.matrix_report import make_matrix_report, write_matrix_files
from transfer.recipes.reports.matrix.paper_rows import PaperRow
from transfer.recipes.reports.tables.cell_results import CellResult, RunRecord, check_scales
from transfer.recipes.reports.tables.records import read_run
from transfer.recipes.reports.tables.result_lines import GapLine, Key
from transfer.recipes.reports.tables.results_files import check_sizes, matrix_files, write_together
from transfer.recipes.reports.tables.results_folder import PAPER, called, kept_point
from transfer.recipes.runs.cells import result_files

NOT_FINISHED = "not finished"


def write_matrix_report(
    folder: Path,
    points: Sequence[Coordinates],
    planned: Sequence[Key],
    reasons: Mapping[Key, str] | None = None,
    paper: Sequence[PaperRow] = (),
) -> Path:
    """Write the tables and the report of a matrix into its folder; returns the path of report.md.

    The tables (cells.csv, episodes.csv, curves.csv, calibration.csv, paper.csv) are enough for `transfer report FOLDER`
    to make the report again.

    Args:
        folder: of the matrix, with its config.toml and a run folder for each point that was begun.
        points: all, in the order of tables.
        planned: the cells: label of the point, mode ("pretrain" or "pretrain:NAME" for those of a trunk) and seed.
        reasons: why planned cells have no results, as "failed: ..." or "its trunk is missing"; "not finished" for
            those that it does not name.
        paper: numbers to be shown beside ours.

    Raises:
        TransferError: as `read_points` and `make_matrix_report`; a file that would be too large to be read again.
            The report is written then, and the tables are left as they were.
    """
    records = matrix_records(folder, points, planned, read_points(folder, points), reasons or {})
    files, report = matrix_files(folder, make_matrix_report(records, paper))
    try:
        check_sizes(files)
        write_together(folder, {name: text for name, text in files.items() if name != "config.toml"})
        if PAPER not in files:
            (folder / PAPER).unlink(missing_ok=True)
    finally:
        written = write_matrix_files(folder, report)
    return written


def read_points(folder: Path, points: Sequence[Coordinates]) -> list[RunRecord]:
    """The runs of those points that have results.

    Raises:
        TransferError: as `transfer.recipes.reports.tables.records.read_run`; one environment with two references.
    """
    runs = [folder / point.label for point in points]
    records = [read_run(run) for run in runs if run.is_dir() and result_files(run)]
    check_scales(cell for record in records for cell in record.cells)
    return records


def matrix_records(
    folder: Path,
    points: Sequence[Coordinates],
    planned: Sequence[Key],
    found: Iterable[RunRecord],
    reasons: Mapping[Key, str],
) -> list[RunRecord]:
    """The records of the points of a matrix: what was found, at its coordinates, and a gap for what was not.

    Arguments are those of `write_matrix_report`, and `found` are the runs that have results. A cell that was found and
    not planned is kept. A point without a planned cell or results has no record.

    Raises:
        TransferError: no cell at all, a cell of no point, planned twice, or points of one label.
    """
    known = {point.label: point for point in points}
    if len(known) < len(points):
        raise TransferError(f"points of a matrix share a label: {seen([point.label for point in points])}.")
    if len(set(planned)) < len(planned):
        raise TransferError(f"{called(next(key for key in planned if planned.count(key) > 1))} is planned twice.")
    records = {record.label: record for record in found}
    for label in [*(key[0] for key in (*planned, *reasons)), *records]:
        if label not in known:
            raise unknown("point of the matrix", label, list(known))
    rank = {key: place for place, key in enumerate(planned)}
    by_label: dict[str, list[Key]] = {label: [] for label in known}
    for key in planned:
        by_label[key[0]].append(key)
    made = [
        point_record(folder, point, by_label[label], rank, records.get(label), reasons)
        for label, point in known.items()
    ]
    whole = [record for record in made if record.cells or record.gaps]
    if not whole:
        raise TransferError(f"{folder} has no planned cell and no results: there is nothing to report.")
    return whole


def point_record(
    folder: Path,
    point: Coordinates,
    planned: Sequence[Key],
    rank: Mapping[Key, int],
    found: RunRecord | None,
    reasons: Mapping[Key, str],
) -> RunRecord:
    """The record of one point, in the order of the plan."""
    cells = sorted(found.cells if found else (), key=lambda cell: rank.get(cell.line.key, len(rank)))
    there = {cell.line.key for cell in cells}
    gaps = [
        GapLine(*key, **{**point.columns, "reason": " ".join(reasons.get(key, "").split()) or NOT_FINISHED})
        for key in planned
        if key not in there
    ]
    return kept_point(folder / point.label, folder / "config.toml", [at(cell, point) for cell in cells], gaps)


def at(cell: CellResult, point: Coordinates) -> CellResult:
    """A cell with the coordinates of its point."""
    return replace(cell, line=replace(cell.line, **point.columns))
