"""A results folder: the results of one or several runs without their weights, small enough for a repository.

config.toml                   the settings of the run; RUN.toml for each of several runs
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
from transfer.recipes.reports.tables.checksums import checksum
from transfer.recipes.reports.tables.csv_lines import read_lines
from transfer.recipes.reports.tables.result_lines import CalibrationLine, CellLine, CurveLine, EpisodeLine, Key
from transfer.recipes.runs.cells import TABLES, configured, planned
from transfer.recipes.settings.toml import parse_toml, read_toml

FILES = dict(zip(TABLES, (CellLine, EpisodeLine, CurveLine, CalibrationLine), strict=True))
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
    lines: dict[str, Numbered] = {name: read_lines(kind, folder / name, again) for name, kind in FILES.items()}
    try:
        runs: dict[str, list[CellResult]] = {}
        for cell in join(folder, lines):
            runs.setdefault(cell.line.run, []).append(cell)
        return [read_record(folder, run, cells, len(runs) > 1) for run, cells in runs.items()]
    except TransferError as error:
        raise TransferError(f"{str(error).rstrip('.')}. {again}") from error


def join(folder: Path, lines: Mapping[str, Numbered]) -> list[CellResult]:
    """The cells of cells.csv, each with its lines of the other files."""
    if not lines["cells.csv"]:
        raise TransferError(f"{folder / 'cells.csv'} lists no cell.")
    known = {line.key for _, line in lines["cells.csv"]}
    episodes, curves, tables = (by_cell(folder / name, lines[name], known) for name in IDENTITY)
    cells = []
    for number, line in lines["cells.csv"]:
        where = f"{folder / 'cells.csv'}, line {number}"
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


def read_record(folder: Path, run: str, cells: Sequence[CellResult], several: bool) -> RunRecord:
    """The record of one run of a results folder."""
    path = PurePosixPath(run)
    if not run or path.is_absolute() or ".." in path.parts or str(path) != run or run == ".":
        raise TransferError(f"{folder / 'cells.csv'} was edited: a run is called {seen(run)}.")
    check_run(cells)
    config = folder / config_name(run, several)
    if not config.is_file():
        raise TransferError(f"{config} is missing: it holds the settings of the run {run}.")
    settings = parse_toml(read_toml(config), str(config))
    for cell in cells:
        if cell.line.checksum != checksum(cell, settings):
            raise TransferError(
                f"{cell.where}: the checksum of {called(cell.line.key)} does not match; one of its lines in "
                f"{', '.join(TABLES)}, or {config.name}, was edited or is gone."
            )
    return kept_record(folder / run, config, cells)


def kept_record(place: Path, config: Path, cells: Sequence[CellResult]) -> RunRecord:
    """The record of a run without its folder: cells are missing that its config names."""
    there = {(cell.line.mode, cell.line.seed) for cell in cells}
    missing = tuple(name for cell, name in planned(config).items() if cell not in there)
    return RunRecord(place, config, in_order(cells, configured(config, "adapt.modes")), missing)


def config_name(run: str, several: bool) -> str:
    """The TOML of a run in a results folder."""
    return f"{plain(run).replace('/', '-')}.toml" if several else "config.toml"
