"""The results of one MODE/SEED and of one run, as a report reads them from a run folder and from a results folder."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from transfer.data.environment.spec import ReferenceScores
from transfer.errors import TransferError
from transfer.recipes.reports.tables.result_lines import CalibrationLine, CellLine, CurveLine, EpisodeLine, GapLine
from transfer.recipes.runs.cells import is_pretraining


@dataclass(frozen=True)
class PlayedEpisodes:
    """The episodes of one evaluation: one target, one way of decoding, one checkpoint.

    Raises:
        TransferError: success is reported for some episodes only.
    """

    episodes: tuple[EpisodeLine, ...]

    def __post_init__(self) -> None:
        if len({one.success is None for one in self.episodes}) > 1:
            raise TransferError("an evaluation needs success for all of them or for none.")

    @property
    def first(self) -> EpisodeLine:
        """An episode; checkpoint, decode and what was asked for are those of all."""
        return self.episodes[0]

    @property
    def returns(self) -> list[float]:
        """Raw, one for each episode."""
        return [one.return_ for one in self.episodes]

    @property
    def success_rate(self) -> float | None:
        """Share of the episodes that succeeded; None where the environment does not report it."""
        told = [one.success for one in self.episodes if one.success is not None]
        return sum(told) / len(told) if told else None


@dataclass(frozen=True)
class CellResult:
    """The results of one mode and seed of one run.

    Attributes:
        line: everything that is one value for each cell.
        episodes: in the order in which they were played.
        curve: values by training step.
        calibration: achieved returns by target; empty where nothing was calibrated.
        where: the file it was read from, for messages.
        home: the folder MODE/SEED; None in a results folder.

    Raises:
        TransferError: as `PlayedEpisodes` and `ReferenceScores`; no episode of the last checkpoint.
    """

    line: CellLine
    episodes: tuple[EpisodeLine, ...]
    curve: tuple[CurveLine, ...]
    calibration: tuple[CalibrationLine, ...]
    where: str
    home: Path | None = None

    def __post_init__(self) -> None:
        _ = self.reference
        if not any(one.first.checkpoint == "last" for one in self.evaluations):
            raise TransferError("no episode of checkpoint 'last', which reports show.")

    @cached_property
    def evaluations(self) -> tuple[PlayedEpisodes, ...]:
        """The episodes by evaluation."""
        found: dict[tuple[object, ...], list[EpisodeLine]] = {}
        for one in self.episodes:
            found.setdefault((one.checkpoint, one.decode, one.target, one.target_return, one.asked), []).append(one)
        return tuple(PlayedEpisodes(tuple(episodes)) for episodes in found.values())

    @property
    def reference(self) -> ReferenceScores:
        """The scores that returns are measured against."""
        return ReferenceScores(self.line.reference, self.line.minimum, self.line.maximum)

    @property
    def probe_scores(self) -> list[float]:
        """Mean scores of the probes."""
        return [point.value for point in self.curve if point.name == "probe/score"]

    def of_run(self, label: str) -> CellResult:
        """The same cell, of a run that is called `label`."""
        if self.line.run == label:
            return self
        return replace(
            self,
            line=replace(self.line, run=label),
            episodes=tuple(replace(one, run=label) for one in self.episodes),
            curve=tuple(replace(one, run=label) for one in self.curve),
            calibration=tuple(replace(one, run=label) for one in self.calibration),
        )


@dataclass(frozen=True)
class RunRecord:
    """The results of one run, or of one point of a matrix.

    Attributes:
        place: the run folder; in a results folder FOLDER/RUN, which need not exist.
        config: its TOML, which a run folder may lack.
        cells: pretraining first, then modes in the order of the config, then seeds.
        missing: MODE/SEED without results.
        gaps: of a matrix, the planned cells without results, each with the reason. A point may have nothing else.
    """

    place: Path
    config: Path
    cells: tuple[CellResult, ...]
    missing: tuple[str, ...]
    gaps: tuple[GapLine, ...] = ()

    @property
    def lines(self) -> list[CellLine | GapLine]:
        """The lines of cells.csv."""
        return [*(cell.line for cell in self.cells), *self.gaps]

    @property
    def label(self) -> str:
        """The name of the run in reports: see `transfer.recipes.reports.tables.records.labels`."""
        return self.lines[0].run

    @property
    def in_matrix(self) -> bool:
        """Whether it is a point of a matrix."""
        return self.lines[0].axes != ""

    def of_run(self, label: str) -> RunRecord:
        """The same results, of a run that is called `label`."""
        gaps = tuple(replace(gap, run=label) for gap in self.gaps)
        return replace(self, cells=tuple(cell.of_run(label) for cell in self.cells), gaps=gaps)


def check_run(cells: Iterable[CellResult]) -> None:
    """Raise TransferError when cells do not belong in one run: one twice, or trained on other data than the rest."""
    trained: dict[tuple[str, int], str] = {}
    data: dict[str, tuple[str, str]] = {}
    for cell in cells:
        mode, seed, content = cell.line.mode, cell.line.seed, cell.line.content_hash
        if (other := trained.setdefault((mode, seed), cell.where)) != cell.where:
            raise TransferError(f"{other} and {cell.where} both hold {mode} seed {seed}. Remove one of them.")
        other, before = data.setdefault(mode if is_pretraining(mode) else "", (cell.where, content))
        if before != content:
            raise TransferError(
                f"{other} and {cell.where} are of one run but were trained on other data, content {before[:12]} and "
                f"{content[:12]}: their scores do not compare. Remove one of them."
            )


def check_scales(cells: Iterable[CellResult]) -> None:
    """Raise TransferError when one environment is scored against two references."""
    scales: dict[tuple[str, str], ReferenceScores] = {}
    for cell in cells:
        # A scale that is a dataset's own may differ between the datasets of one environment.
        data = cell.line.content_hash if cell.reference.table == "dataset" else ""
        other = scales.setdefault((cell.line.environment, data), cell.reference)
        if other != cell.reference:
            raise TransferError(
                f"{cell.line.environment} is scored against two references, {other} and {cell.reference} (run "
                f"{cell.line.run}): such scores do not belong in one table. Report the runs apart."
            )


def in_order(cells: Iterable[CellResult], modes: Sequence[str]) -> tuple[CellResult, ...]:
    """Pretraining first, then modes in this order, then others by name; seeds within."""
    rank = {mode: position for position, mode in enumerate(modes)}

    def place(cell: CellResult) -> tuple[int, str, int]:
        mode = cell.line.mode
        return (-1 if is_pretraining(mode) else rank.get(mode, len(rank)), mode, cell.line.seed)

    return tuple(sorted(cells, key=place))
