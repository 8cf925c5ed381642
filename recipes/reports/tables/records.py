"""The runs that a report is about: read from run folders and from results folders, which may be mixed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from transfer.errors import TransferError
from transfer.recipes.reports.tables.cell_results import CellResult, RunRecord, check_run, check_scales, in_order
from transfer.recipes.reports.tables.result_lines import calibration_lines, cell_line, episode_lines, probe_lines
from transfer.recipes.reports.tables.results_folder import read_results_folder
from transfer.recipes.runs.cells import (
    TABLES,
    begun,
    configured,
    is_results_folder,
    next_command,
    result_files,
    unfinished,
)
from transfer.recipes.runs.results import read_results, read_timing


def read_records(paths: Sequence[Path]) -> list[RunRecord]:
    """The runs in folders, each called by the shortest end of its path that tells it apart.

    Raises:
        TransferError: a folder that is missing or holds no results (with the next command) or both kinds of results, a
            file that is damaged, edited or of another format, a run named twice, or results that do not belong in one
            table.
    """
    if not paths:
        raise TransferError("no run to report on. Make one with: transfer run hopper-to-walker2d")
    labels(paths)  # raises where a folder is named twice
    found: list[RunRecord] = []
    for path in paths:
        if not path.is_dir():
            raise TransferError(f"no run folder {path}. What is at hand: transfer ls")
        if begun(path) and (path / TABLES[0]).exists():
            raise TransferError(
                f"{path} holds a run and the tables of a results folder, so it does not say which results are meant. "
                f"Move {', '.join(TABLES)} to a folder of their own."
            )
        found += read_results_folder(path) if is_results_folder(path) else [read_run(path)]
    named = zip(found, labels([record.place for record in found]), strict=True)
    records = [one.of_run(label) for one, label in named]
    check_scales(cell for record in records for cell in record.cells)
    return records


def read_run(run: Path) -> RunRecord:
    """One run folder.

    Raises:
        TransferError: as `read_records`; one mode and seed in two folders, or cells that were trained on other data
            than the rest of the run.
    """
    cells = [read_cell(file, run.name) for file in result_files(run)]
    if not cells:
        raise TransferError(f"{run} holds no results yet. {next_command(run)}")
    check_run(cells)
    config = run / "config.toml"
    return RunRecord(run, config, in_order(cells, configured(config, "adapt.modes")), tuple(unfinished(run)))


def read_cell(file: Path, run: str) -> CellResult:
    """The cell of a results.json, and of the timing.json beside it. Raises TransferError when one is damaged."""
    results, timing = read_results(file), read_timing(file.with_name("timing.json"))
    return CellResult(
        line=cell_line(run, results, timing),
        episodes=episode_lines(run, results),
        curve=probe_lines(run, results),
        calibration=calibration_lines(run, results),
        where=str(file),
        home=file.parent,
    )


def labels(runs: Sequence[Path]) -> list[str]:
    """A name for each run folder, the shortest end of its path that no other has: "hop", or "monday/hop".

    Raises:
        TransferError: one folder is named twice, under whatever paths.
    """
    places = [run.resolve().parts for run in runs]
    if len(set(places)) < len(runs):
        raise TransferError(
            f"one run folder is named twice in {', '.join(map(str, runs))}; its seeds would count twice."
        )
    found = []
    for parts in places:
        ends = (count for count in range(1, len(parts)) if [one[-count:] for one in places].count(parts[-count:]) == 1)
        found.append(Path(*parts[-next(ends, len(parts)) :]).as_posix())
    return found
