"""The results of one MODE/SEED, as a report reads them: from a run folder or from a results folder alike."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from transfer.data.environment.spec import ReferenceScores
from transfer.errors import TransferError
from transfer.recipes.reports.tables.lines_from_json import calibration_lines, cell_line, episode_lines, probe_lines
from transfer.recipes.reports.tables.result_lines import CalibrationLine, CellLine, CurveLine, EpisodeLine
from transfer.recipes.runs.results import read_results, read_timing


@dataclass(frozen=True)
class PlayedEpisodes:
    """The episodes of one evaluation: one target, one way of decoding, one checkpoint.

    Raises:
        TransferError: no episode, or some of them tell of success and others do not.
    """

    episodes: tuple[EpisodeLine, ...]

    def __post_init__(self) -> None:
        if not self.episodes or len({one.success is None for one in self.episodes}) > 1:
            raise TransferError("an evaluation needs episodes, and success for all of them or for none.")

    @property
    def first(self) -> EpisodeLine:
        """What all of them have in common: checkpoint, decode, target and target_return."""
        return self.episodes[0]

    @property
    def returns(self) -> list[float]:
        """Raw, one for each episode."""
        return [one.return_ for one in self.episodes]

    @property
    def success_rate(self) -> float | None:
        """Share of the episodes that succeeded; None where the environment tells none."""
        told = [one.success for one in self.episodes if one.success is not None]
        return sum(told) / len(told) if told else None


@dataclass(frozen=True)
class CellResult:
    """The results of one mode and seed of one run.

    Attributes:
        line: everything that is one value for each cell.
        evaluations: one for each target, in the order in which they were played.
        curve: values by training step.
        calibration: achieved returns by target; empty where nothing was calibrated.
        where: the file it was read from, for messages.
        home: the folder MODE/SEED; None in a results folder.
    """

    line: CellLine
    evaluations: tuple[PlayedEpisodes, ...]
    curve: tuple[CurveLine, ...]
    calibration: tuple[CalibrationLine, ...]
    where: str
    home: Path | None = None

    @property
    def run(self) -> str:
        """What the run is called, see `transfer.recipes.reports.labels`."""
        return self.line.run

    @property
    def mode(self) -> str:
        """The mode; `pretrain` for the source environment."""
        return self.line.mode

    @property
    def seed(self) -> int:
        """The training seed."""
        return self.line.seed

    @property
    def environment(self) -> str:
        """Name of the environment that was played."""
        return self.line.environment

    @property
    def reference(self) -> ReferenceScores:
        """The scores that returns are measured against."""
        return ReferenceScores(self.line.reference, self.line.minimum, self.line.maximum)

    @property
    def probe_scores(self) -> list[float]:
        """Mean scores of the probes."""
        return [point.value for point in self.curve if point.name == "probe/score"]


def read_cell(file: Path, run: str) -> CellResult:
    """The cell of a results.json, and of the timing.json beside it. Raises TransferError when one is damaged."""
    results, timing = read_results(file), read_timing(file.with_name("timing.json"))
    return CellResult(
        line=cell_line(run, results, timing),
        evaluations=tuple(PlayedEpisodes(tuple(lines)) for lines in episode_lines(run, results)),
        curve=tuple(probe_lines(run, results)),
        calibration=tuple(calibration_lines(run, results)),
        where=str(file),
        home=file.parent,
    )


def check_run(cells: Iterable[CellResult]) -> None:
    """Raise TransferError when cells do not belong in one run: one twice, or trained on other data than the rest."""
    trained: dict[tuple[str, int], str] = {}
    data: dict[bool, tuple[str, str]] = {}
    for cell in cells:
        other = trained.setdefault((cell.mode, cell.seed), cell.where)
        if other != cell.where:
            raise TransferError(f"{other} and {cell.where} both hold {cell.mode} seed {cell.seed}. Remove one of them.")
        content = cell.line.content_hash
        other, before = data.setdefault(cell.mode == "pretrain", (cell.where, content))
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
        other = scales.setdefault((cell.environment, data), cell.reference)
        if other != cell.reference:
            raise TransferError(
                f"{cell.environment} is scored against two references, {other} and {cell.reference} (run {cell.run}): "
                "such scores do not belong in one table. Report the runs apart."
            )


def in_order(cells: Iterable[CellResult], modes: Sequence[str]) -> list[CellResult]:
    """Pretraining first, then modes in this order, then others by name; seeds within."""
    rank = {mode: position for position, mode in enumerate(["pretrain", *modes])}
    return sorted(cells, key=lambda cell: (rank.get(cell.mode, len(rank)), cell.mode, cell.seed))
