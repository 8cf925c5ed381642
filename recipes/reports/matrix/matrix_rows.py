"""Rows of the report of a matrix: one per point, mode and evaluation over all seeds, with or without results."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from transfer.evaluation.statistics import Difference
from transfer.recipes.reports.matrix.coordinates import Coordinates, points_of
from transfer.recipes.reports.matrix.transfer_ratio import CHANGED, TransferRatio, transfer_ratio
from transfer.recipes.reports.rows import CONTROLS, Key, Row, make_rows, paired_difference, shared_seeds, with_mode
from transfer.recipes.reports.tables.cell_results import CellResult, RunRecord
from transfer.recipes.reports.tables.result_lines import GapLine
from transfer.recipes.runs.cells import is_pretraining

Member = TypeVar("Member")
LEAST = 2  # seeds that both modes have
Curves = Mapping[int, Mapping[int, float]]
"""Score of the probes by training step, by seed."""


@dataclass(frozen=True)
class Against:
    """A row less one of its controls.

    Attributes:
        control: its mode.
        by: how much, seed by seed; None where nothing can be compared.
        reason: why not; "" where it can.
    """

    control: str
    by: Difference | None
    reason: str = ""


@dataclass(frozen=True)
class MatrixRow:
    """The results of one mode at one point of a matrix.

    Attributes:
        point: where in the matrix.
        row: over the seeds that have results; None where none has.
        gaps: the seeds that have none, with the reasons.
        against: the controls of a mode on a frozen pretrained trunk that the matrix has; () for others.
        ratio: the transfer ratio, or why there is none.
        memory, gpu_memory: peak bytes of the process and of its GPU, the most of any seed; None where none is known.
        curves: the probes of each seed that has some.
    """

    point: Coordinates
    mode: str
    row: Row | None
    gaps: tuple[GapLine, ...]
    against: tuple[Against, ...]
    ratio: TransferRatio
    memory: int | None
    gpu_memory: int | None
    curves: Curves

    @property
    def score(self) -> float | None:
        """Mean over seeds; None without results."""
        return None if self.row is None else self.row.score.mean

    @property
    def transferred(self) -> float | None:
        """The transfer ratio; None where there is none."""
        return None if self.ratio.found is None else self.ratio.found.value

    @property
    def on_pretrained(self) -> bool:
        """Whether it is a mode on a frozen pretrained trunk, and so can have a transfer ratio."""
        return self.row is not None and self.row.on_pretrained

    @property
    def pretraining(self) -> bool:
        """Whether it is the training of a trunk on its source."""
        return is_pretraining(self.mode)


def make_matrix_rows(records: Sequence[RunRecord]) -> list[MatrixRow]:
    """Rows point by point in the order of the records, modes in the order in which the matrix has them.

    Raises:
        TransferError: as `points_of`.
    """
    points = points_of(records)
    rows = make_rows([cell for record in records for cell in record.cells])
    known = {row.key: row for row in rows}
    played: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        played.setdefault((row.run, row.mode), []).append(row)
    modes = list(dict.fromkeys(line.mode for record in records for line in record.lines))
    found = []
    for point, record in zip(points, records, strict=True):
        cells, gaps = by_mode(record.cells, lambda cell: cell.line.mode), by_mode(record.gaps, lambda gap: gap.mode)
        for mode in [mode for mode in modes if mode in cells or mode in gaps]:
            evaluations: Sequence[Row | None] = played.get((point.label, mode)) or [None]
            found += [make_matrix_row(point, mode, one, cells.get(mode, []), gaps, known) for one in evaluations]
    return found


def by_mode(members: Iterable[Member], mode: Callable[[Member], str]) -> dict[str, list[Member]]:
    """Cells or gaps by their mode."""
    found: dict[str, list[Member]] = {}
    for one in members:
        found.setdefault(mode(one), []).append(one)
    return found


def make_matrix_row(
    point: Coordinates,
    mode: str,
    row: Row | None,
    cells: Sequence[CellResult],
    gaps: Mapping[str, Sequence[GapLine]],
    known: Mapping[Key, Row],
) -> MatrixRow:
    """One row, of the cells of its mode; `gaps` are those of its run by mode."""
    curves = {
        cell.line.seed: {one.step: one.value for one in cell.curve if one.name == "probe/score"} for cell in cells
    }
    return MatrixRow(
        point,
        mode,
        row,
        gaps=tuple(gaps.get(mode, ())),
        against=() if row is None else compared(row, gaps, known),
        ratio=TransferRatio(None, "no results") if row is None else transfer_ratio(row, known),
        memory=most(cell.line.peak_memory_bytes for cell in cells),
        gpu_memory=most(cell.line.peak_gpu_bytes for cell in cells),
        curves={seed: curve for seed, curve in sorted(curves.items()) if curve},
    )


def compared(row: Row, planned: Iterable[str], known: Mapping[Key, Row]) -> tuple[Against, ...]:
    """A row of a mode on a frozen pretrained trunk less each control; `planned` are modes that have gaps."""
    if not row.on_pretrained:
        return ()
    found = []
    for control in [control.format(row.mode) for control in CONTROLS]:
        other = known.get(with_mode(row.key, control))
        if other is None and control in planned:
            found.append(Against(control, None, f"no results of {control}"))
        elif other is not None:
            found.append(Against(control, None, CHANGED) if row.trunk == "NO" else less(row, other))
    return tuple(found)


def less(row: Row, other: Row) -> Against:
    """A row less another."""
    seeds = shared_seeds(row, other)
    if len(seeds) < LEAST:
        return Against(other.mode, None, f"two seeds are needed that both have; there are {len(seeds)}")
    return Against(other.mode, paired_difference(row, other))


def most(values: Iterable[int | None]) -> int | None:
    """The largest number; None without one."""
    return max((value for value in values if value is not None), default=None)


def first_evaluations(rows: Iterable[MatrixRow]) -> list[MatrixRow]:
    """One row for each point and mode: of several targets and ways of decoding, the first."""
    found: dict[tuple[str, str], MatrixRow] = {}
    for row in rows:
        found.setdefault((row.point.label, row.mode), row)
    return list(found.values())
