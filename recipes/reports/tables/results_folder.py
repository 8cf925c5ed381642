"""A results folder: the results of runs or of a matrix without their weights, small enough for a repository.

config.toml                   the settings of the run or of the matrix; RUN.toml for each of several runs
paper.csv                     of a matrix that is shown beside a paper
cells.csv, episodes.csv, curves.csv, calibration.csv      see `transfer.recipes.reports.tables.result_lines`
report.md, report.png         made again from these by `transfer report FOLDER`
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Hashable, Mapping, Sequence
from operator import attrgetter
from pathlib import Path, PurePosixPath
from typing import Any

from transfer.errors import TransferError
from transfer.numbers import seen
from transfer.recipes.reports.escaping import plain
from transfer.recipes.reports.tables.cell_results import CellResult, RunRecord, check_run, in_order
from transfer.recipes.reports.tables.checksums import checksum, matrix_settings
from transfer.recipes.reports.tables.csv_lines import read_lines
from transfer.recipes.reports.tables.result_lines import CalibrationLine, CellLine, CurveLine, EpisodeLine, GapLine, Key
from transfer.recipes.runs.cells import TABLES, configured, is_pretraining, mode_folder, planned
from transfer.recipes.settings.toml import parse_toml, read_toml
from transfer.storage.files import read_text

FILES = dict(zip(TABLES, (CellLine, EpisodeLine, CurveLine, CalibrationLine), strict=True))
PAPER = "paper.csv"
Numbered = Sequence[tuple[int, Any]]
"""Lines of a file, each with its number."""
# What a line of each file is of, and the columns that no two lines of a cell may share.
IDENTITY: dict[str, tuple[str, Callable[[Any], Hashable]]] = {
    "episodes.csv": ("episode", attrgetter("checkpoint", "decode", "target", "target_return", "asked", "episode_seed")),
    "curves.csv": ("value", attrgetter("step", "name")),
    "calibration.csv": ("target", attrgetter("target_return")),
}


def read_results_folder(folder: Path) -> list[RunRecord]:
    """The runs of a results folder, in the order of cells.csv.

    Raises:
        TransferError: a file is missing, or was edited: see `transfer.recipes.reports.tables.csv_lines.read_lines`; a
            line that is there twice or belongs to no cell of cells.csv, a cell without episodes, a checksum that does
            not match. The message ends with how to get the folder back.
    """
    command = shlex.join(["transfer", "report", "RUN", "--out", str(folder)])
    again = f"Bring it back from a copy (git checkout), or remove the folder and make it from the runs: {command}"
    lines: dict[str, Numbered] = {
        name: read_lines(kind, folder / name, again, GapLine if kind is CellLine else None)
        for name, kind in FILES.items()
    }
    try:
        check_kinds(folder, lines["cells.csv"])
        runs: dict[str, list[CellResult]] = {line.run: [] for _, line in lines["cells.csv"]}
        for cell in join(folder, lines):
            runs[cell.line.run].append(cell)
        if any(line.axes for _, line in lines["cells.csv"]):
            return read_points(folder, runs, lines["cells.csv"])
        return [read_record(folder, run, cells, len(runs) > 1) for run, cells in runs.items()]
    except TransferError as error:
        raise TransferError(f"{str(error).rstrip('.')}. {again}") from error


def check_kinds(folder: Path, lines: Numbered) -> None:
    """Raise TransferError where cells.csv mixes lines of a matrix with others, or has a gap where a cell is."""
    seen_before: dict[Key, int] = {}
    of_matrix = any(line.axes or isinstance(line, GapLine) for _, line in lines)
    for number, line in lines:
        where = f"{folder / 'cells.csv'}, line {number}"
        if of_matrix and not line.axes:
            raise TransferError(f"{where}: {called(line.key)} is no cell of a matrix, and others are: axes is empty.")
        if of_matrix and (other := seen_before.setdefault(line.key, number)) != number:
            raise TransferError(f"{where}: {called(line.key)} stands in line {other} already.")


def join(folder: Path, lines: Mapping[str, Numbered]) -> list[CellResult]:
    """The cells of cells.csv, each with its lines of the other files."""
    if not lines["cells.csv"]:
        raise TransferError(f"{folder / 'cells.csv'} lists no cell.")
    known = {line.key for _, line in lines["cells.csv"] if isinstance(line, CellLine)}
    episodes, curves, tables = (by_cell(folder / name, lines[name], known) for name in IDENTITY)
    cells = []
    for number, line in lines["cells.csv"]:
        where = f"{folder / 'cells.csv'}, line {number}"
        if isinstance(line, GapLine):
            continue
        if line.key not in episodes:
            raise TransferError(f"{where}: {called(line.key)} has no episodes in {folder / 'episodes.csv'}.")
        played, curve, table = (tuple(found.get(line.key, ())) for found in (episodes, curves, tables))
        try:
            cells.append(CellResult(line, played, curve, table, where))
        except TransferError as error:
            raise TransferError(
                f"{where}, or one of its lines in {folder / 'episodes.csv'}, was edited: {error}"
            ) from error
    return cells


def by_cell(file: Path, lines: Numbered, known: set[Key]) -> dict[Key, list[Any]]:
    """The lines of a file by cell. Raises TransferError for a line of no cell, or one that is there twice."""
    found: dict[Key, list[Any]] = {}
    numbers: dict[Hashable, int] = {}
    what, identity = IDENTITY[file.name]
    for number, line in lines:
        if line.key not in known:
            raise TransferError(f"{file}, line {number}: cells.csv lists no {called(line.key)}.")
        if (other := numbers.setdefault((line.key, identity(line)), number)) != number:
            raise TransferError(f"{file}, lines {other} and {number} are of the same {what} of {called(line.key)}.")
        found.setdefault(line.key, []).append(line)
    return found


def called(key: Key) -> str:
    """A cell in words."""
    return f"cell {seen(key[1])} seed {key[2]} of run {seen(key[0])}"


def read_points(folder: Path, runs: Mapping[str, Sequence[CellResult]], lines: Numbered) -> list[RunRecord]:
    """The records of the points of a matrix."""
    paper = read_text(folder / PAPER) if (folder / PAPER).exists() else ""
    config = folder / "config.toml"
    settings = matrix_settings(settings_of(config, "the matrix"), (line.key for _, line in lines), paper)
    gaps: dict[str, list[GapLine]] = {}
    for number, line in lines:
        if isinstance(line, GapLine):
            check_line(f"{folder / 'cells.csv'}, line {number}", line, settings, ("config.toml", PAPER))
            gaps.setdefault(line.run, []).append(line)
    for run, cells in runs.items():
        check_label(folder, run)
        check_run(cells)
        for cell in cells:
            check_line(cell.where, cell, settings, (*TABLES, "config.toml", PAPER))
    return [kept_point(folder / run, config, cells, gaps.get(run, ())) for run, cells in runs.items()]


def kept_point(place: Path, config: Path, cells: Sequence[CellResult], gaps: Sequence[GapLine]) -> RunRecord:
    """The record of a point of a matrix; its lines say what is missing."""
    missing = tuple(f"{'trunk' if is_pretraining(gap.mode) else mode_folder(gap.mode)}/{gap.seed}" for gap in gaps)
    return RunRecord(place, config, tuple(cells), missing, tuple(gaps))


def read_record(folder: Path, run: str, cells: Sequence[CellResult], several: bool) -> RunRecord:
    """The record of one run of a results folder."""
    check_label(folder, run)
    check_run(cells)
    config = folder / config_name(run, several)
    settings = settings_of(config, f"the run {run}")
    for cell in cells:
        check_line(cell.where, cell, settings, (*TABLES, config.name))
    return kept_record(folder / run, config, cells)


def check_label(folder: Path, run: str) -> None:
    """Raise TransferError for a name of a run that would lead out of the folder."""
    path = PurePosixPath(run)
    if not run or path.is_absolute() or ".." in path.parts or str(path) != run or run == ".":
        raise TransferError(f"{folder / 'cells.csv'} was edited: a run is called {seen(run)}.")


def settings_of(config: Path, what: str) -> dict[str, Any]:
    """The settings in the TOML of a results folder."""
    if not config.is_file():
        raise TransferError(f"{config} is missing: it holds the settings of {what}.")
    return parse_toml(read_toml(config), str(config))


def check_line(where: str, cell: CellResult | GapLine, settings: dict[str, Any], files: Sequence[str]) -> None:
    """Raise TransferError where the checksum in a line of cells.csv is not that of its cell."""
    line = cell if isinstance(cell, GapLine) else cell.line
    if line.checksum != checksum(cell, settings):
        raise TransferError(
            f"{where}: the checksum of {called(line.key)} does not match; one of its lines in "
            f"{', '.join(files[:-1])}, or {files[-1]}, was edited or is gone."
        )


def kept_record(place: Path, config: Path, cells: Sequence[CellResult]) -> RunRecord:
    """The record of a run without its folder: cells are missing that its config names."""
    there = {(cell.line.mode, cell.line.seed) for cell in cells}
    missing = tuple(name for cell, name in planned(config).items() if cell not in there)
    return RunRecord(place, config, in_order(cells, configured(config, "adapt.modes")), missing)


def config_name(run: str, several: bool) -> str:
    """The TOML of a run in a results folder."""
    return f"{plain(run).replace('/', '-')}.toml" if several else "config.toml"
