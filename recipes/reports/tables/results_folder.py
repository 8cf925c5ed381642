"""A results folder: what is kept of one or several runs when their weights are not, small enough for a repository.

config.toml                   the settings of the run; RUN.toml for each where there are several
cells.csv, episodes.csv, curves.csv, calibration.csv      see `transfer.recipes.reports.tables.result_lines`
report.md, report.png         made again from these by `transfer report FOLDER`
"""

from __future__ import annotations

import shlex
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

from transfer.errors import TransferError
from transfer.numbers import seen
from transfer.recipes.reports.escaping import plain
from transfer.recipes.reports.tables.cell_results import CellResult, PlayedEpisodes, check_run, in_order
from transfer.recipes.reports.tables.csv_lines import read_lines
from transfer.recipes.reports.tables.result_lines import CalibrationLine, CellLine, CurveLine, EpisodeLine, Key
from transfer.recipes.runs.cells import TABLES, configured_modes, planned

FILES = dict(zip(TABLES, (CellLine, EpisodeLine, CurveLine, CalibrationLine), strict=True))
OneLine = TypeVar("OneLine", EpisodeLine, CurveLine, CalibrationLine)


@dataclass(frozen=True)
class RunRecord:
    """The results of one run.

    Attributes:
        place: the run folder; in a results folder FOLDER/RUN, which need not exist.
        config: its TOML, which a run folder may lack.
        cells: pretraining first, then modes in the order of the config, then seeds.
        missing: MODE/SEED without results.
    """

    place: Path
    config: Path
    cells: tuple[CellResult, ...]
    missing: tuple[str, ...]

    @property
    def label(self) -> str:
        """What the run is called."""
        return self.cells[0].run

    def named(self, label: str) -> RunRecord:
        """The same under another name."""
        return replace(self, cells=tuple(renamed(cell, label) for cell in self.cells))


def renamed(cell: CellResult, label: str) -> CellResult:
    """A cell of a run that is called otherwise."""
    if cell.run == label:
        return cell
    return replace(
        cell,
        line=replace(cell.line, run=label),
        evaluations=tuple(
            PlayedEpisodes(tuple(replace(one, run=label) for one in played.episodes)) for played in cell.evaluations
        ),
        curve=tuple(replace(one, run=label) for one in cell.curve),
        calibration=tuple(replace(one, run=label) for one in cell.calibration),
    )


def is_results_folder(folder: Path) -> bool:
    """Whether a folder holds one of the CSV files of a results folder."""
    return any((folder / name).exists() for name in FILES)


def read_results_folder(folder: Path) -> list[RunRecord]:
    """The runs of a results folder, in the order of cells.csv.

    Raises:
        TransferError: a file is missing, or was edited: see `reports.tables.csv_lines.read_lines`; a line that is
            there twice or belongs to no cell of cells.csv, a cell without episodes.
    """
    again = how_to_get_back(folder)
    lines: dict[str, list[tuple[int, Any]]] = {
        name: read_lines(kind, folder / name, again) for name, kind in FILES.items()
    }
    if not lines["cells.csv"]:
        raise TransferError(f"{folder / 'cells.csv'} lists no cell. {again}")
    cells = join(folder, lines, again)
    runs: dict[str, list[CellResult]] = {}
    for cell in cells:
        runs.setdefault(cell.run, []).append(cell)
    return [record_of(folder, run, mine, len(runs) > 1, again) for run, mine in runs.items()]


def how_to_get_back(folder: Path) -> str:
    """What to do about a results folder that was damaged, as a sentence."""
    command = shlex.join(["transfer", "report", "RUN", "--out", str(folder)])
    return f"Bring it back from a copy (git checkout), or make the folder again from the runs: {command}"


def join(folder: Path, lines: Mapping[str, Sequence[tuple[int, Any]]], again: str) -> list[CellResult]:
    """The cells of cells.csv, each with its lines of the other files."""
    found = listed(folder / "cells.csv", lines["cells.csv"], again)
    episodes = by_cell(folder / "episodes.csv", lines["episodes.csv"], found, same_episode, again)
    curves = by_cell(folder / "curves.csv", lines["curves.csv"], found, lambda one: (one.step, one.name), again)
    tables = by_cell(folder / "calibration.csv", lines["calibration.csv"], found, lambda one: one.target_return, again)
    cells = []
    for key, (number, line) in found.items():
        where = f"{folder / 'cells.csv'}, line {number}"
        if key not in episodes:
            raise TransferError(f"{where}: {called(key)} has no episodes in {folder / 'episodes.csv'}. {again}")
        with naming(f"{folder / 'episodes.csv'}, {called(key)}", again):
            played = evaluations(episodes[key])
        cell = CellResult(line, played, tuple(curves.get(key, ())), tuple(tables.get(key, ())), where)
        with naming(where, again):
            _ = cell.reference
        cells.append(cell)
    return cells


@contextmanager
def naming(where: str, again: str) -> Iterator[None]:
    """Inside, an error also says where it comes from, and how to get the folder back."""
    try:
        yield
    except TransferError as error:
        raise TransferError(f"{where} was edited: {error} {again}") from error


def listed(file: Path, lines: Iterable[tuple[int, CellLine]], again: str) -> dict[Key, tuple[int, CellLine]]:
    """The lines of cells.csv with their numbers, by cell. Raises TransferError for a cell that is there twice."""
    found: dict[Key, tuple[int, CellLine]] = {}
    for number, line in lines:
        other, _ = found.setdefault(line.key, (number, line))
        if other != number:
            raise twice(file, other, number, again)
    return found


def same_episode(line: EpisodeLine) -> Hashable:
    """What two episodes of a cell must not have in common."""
    return line.checkpoint, line.decode, line.target, line.target_return, line.episode_seed


def by_cell(
    file: Path, lines: Iterable[tuple[int, OneLine]], cells: Mapping[Key, object], same: Any, again: str
) -> dict[Key, list[OneLine]]:
    """The lines of a file by cell. Raises TransferError for a line of no cell, or one that is there twice."""
    found: dict[Key, list[OneLine]] = {}
    known: dict[Hashable, int] = {}
    for number, line in lines:
        key = (line.run, line.mode, line.seed)
        if key not in cells:
            raise TransferError(f"{file}, line {number}: cells.csv lists no {called(key)}. {again}")
        if (other := known.setdefault((key, same(line)), number)) != number:
            raise twice(file, other, number, again)
        found.setdefault(key, []).append(line)
    return found


def evaluations(lines: Iterable[EpisodeLine]) -> tuple[PlayedEpisodes, ...]:
    """The episodes of a cell by evaluation, in the order of the lines."""
    found: dict[Hashable, list[EpisodeLine]] = {}
    for line in lines:
        found.setdefault((line.checkpoint, line.decode, line.target, line.target_return), []).append(line)
    return tuple(PlayedEpisodes(tuple(one)) for one in found.values())


def record_of(folder: Path, run: str, cells: Sequence[CellResult], several: bool, again: str) -> RunRecord:
    """The record of one run of a results folder."""
    check_name(folder / "cells.csv", run, again)
    check_run(cells)
    config = folder / config_name(run, several)
    if not config.is_file():
        raise TransferError(f"{config} is missing: it holds the settings of the run {run}. {again}")
    there = {(cell.mode, cell.seed) for cell in cells}
    try:
        missing = tuple(name for cell, name in planned(config).items() if cell not in there)
        return RunRecord(folder / run, config, tuple(in_order(cells, configured_modes(config))), missing)
    except TransferError as error:
        raise TransferError(f"{error} {again}") from error


def check_name(file: Path, run: str, again: str) -> None:
    """Raise TransferError for the name of a run that could not be the end of a path below a folder."""
    path = PurePosixPath(run)
    if not run or path.is_absolute() or ".." in path.parts or str(path) != run or run == ".":
        raise TransferError(f"{file} was edited: a run is called {seen(run)}. {again}")


def config_name(run: str, several: bool) -> str:
    """The TOML of a run in a results folder."""
    return f"{plain(run).replace('/', '-')}.toml" if several else "config.toml"


def called(key: Key) -> str:
    """A cell in words."""
    return f"cell {seen(key[1])} seed {key[2]} of run {seen(key[0])}"


def twice(file: Path, first: int, second: int, again: str) -> TransferError:
    """The error for a line that is there twice."""
    return TransferError(f"{file}, lines {first} and {second} are of the same thing. {again}")
