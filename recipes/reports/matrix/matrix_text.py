"""The report of a matrix in Markdown: a table for each pair of source and target, and what is missing from them."""

from __future__ import annotations

from collections.abc import Sequence

from transfer.recipes.reports.conditions import CHANGED_TRUNK, FLIPS, HELD_OUT, INTERVALS
from transfer.recipes.reports.escaping import markdown
from transfer.recipes.reports.markdown_tables import Marks, lay_out
from transfer.recipes.reports.matrix.coordinates import MODE, SOURCE, TARGET, Coordinates, differing, names_of
from transfer.recipes.reports.matrix.matrix_columns import (
    NO_INTERVAL,
    NO_IQM,
    NO_MEMORY,
    NOT_HELD_OUT,
    NOT_TIMED,
    coordinate_columns,
    difference_columns,
    place_of,
    score_columns,
    text_columns,
)
from transfer.recipes.reports.matrix.matrix_rows import MatrixRow, first_evaluations

MOST_NAMED = 20
"""Runs and modes that are named behind a reason; cells.csv names all."""


def title(rows: Sequence[MatrixRow]) -> str:
    """The size of the matrix in words."""
    counts = {name: len({row.point.texts.get(name) for row in rows}) for name in names_of([row.point for row in rows])}
    counts[MODE] = len({row.mode for row in rows if not row.pretraining})
    words = [f"{count} {name if count == 1 else plural(name)}" for name, count in counts.items() if shown(name, count)]
    return f"Matrix of {', '.join(words)}"


def shown(name: str, count: int) -> bool:
    """Whether a title counts a coordinate."""
    return count > 1 or name in (SOURCE, TARGET, MODE)


def plural(name: str) -> str:
    """The name of a coordinate for several values; a key of settings has none."""
    return f"{name}s" if "." not in name else f"values of {name}"


def pair_lines(rows: Sequence[MatrixRow], every: Sequence[MatrixRow], trunks: Sequence[MatrixRow]) -> list[str]:
    """The section of one pair.

    Args:
        rows: of the pair.
        every: row of the matrix, which decide on the columns.
        trunks: the rows of its pretraining.
    """
    source, target = rows[0].point.pair
    marks, place = Marks(), coordinate_columns(every, (SOURCE, TARGET))
    written = lay_out([*place, *score_columns(every, marks)], rows, text_columns(every))
    lines = ["", f"## {markdown(f'{source} to {target}' if source else f'{target} without a source')}", ""]
    if known_body(rows, trunks):
        lines += ["The target is among the sources: it is no unseen body.", ""]
    lines += [written, *marks.lines]
    found = [(row, one) for row in rows for one in row.against]
    if found:
        less = Marks()
        written = lay_out(difference_columns(every, (SOURCE, TARGET), less), found, text_columns(every))
        lines += ["", "Differences of scores, seed by seed:", "", written, *less.lines]
    return lines


def known_body(rows: Sequence[MatrixRow], trunks: Sequence[MatrixRow]) -> bool:
    """Whether the target of a pair is a body that its trunk was pretrained on."""
    source, target = rows[0].point.pair
    learned = {row.row.environment for row in trunks if row.row and row.point.source == source}
    return target in source.split("+") or any(row.row.environment in learned for row in rows if row.row)


def pretraining_lines(rows: Sequence[MatrixRow]) -> list[str]:
    """The section of trunks, each played on its own source; [] where none is among the results."""
    if not rows:
        return []
    marks = Marks()
    columns = [("source", place_of(SOURCE), True), *coordinate_columns(rows, (SOURCE,)), *score_columns(rows, marks)]
    return ["", "## Pretraining", "", lay_out(columns, rows, text_columns(rows)), *marks.lines]


def alike_lines(points: Sequence[Coordinates]) -> list[str]:
    """A sentence of the coordinates that all points share, which no table repeats; [] without any."""
    differ, texts = differing(points), points[0].texts
    same = [name for name in names_of(points) if name not in (*differ, SOURCE, TARGET) and texts[name] != "-"]
    return ["", markdown(f"Alike everywhere: {', '.join(f'{name} {texts[name]}' for name in same)}.")] if same else []


def count_line(rows: Sequence[MatrixRow]) -> str:
    """How many of the planned cells have results."""
    first = first_evaluations(rows)
    there, lacking = sum(row.row.score.runs for row in first if row.row), sum(len(row.gaps) for row in first)
    more = f"; {lacking} have none, and why is told under [cells without results](#cells-without-results)"
    return f"{there} of {there + lacking} cells have results{more if lacking else ''}."


def gap_lines(rows: Sequence[MatrixRow]) -> list[str]:
    """The section of cells without results: each reason, with runs, modes and seeds; [] where there is none."""
    found: dict[str, dict[str, list[int]]] = {}
    for gap in (gap for row in first_evaluations(rows) for gap in row.gaps):
        found.setdefault(gap.reason, {}).setdefault(f"{gap.run} {gap.mode}", []).append(gap.seed)
    lines = ["", "## Cells without results", ""] if found else []
    for reason, cells in found.items():
        told = [
            f"{cell}, seed{'s' * (len(numbers) > 1)} {', '.join(map(str, numbers))}" for cell, numbers in cells.items()
        ]
        more = f"; and {len(told) - MOST_NAMED} more, see cells.csv" if len(told) > MOST_NAMED else ""
        lines.append(markdown(f"{reason} ({sum(map(len, cells.values()))}): {'; '.join(told[:MOST_NAMED])}{more}."))
    return [line if line[:1] in ("", "#") else f"- {line}" for line in lines]


def notes(rows: Sequence[MatrixRow]) -> list[str]:
    """What the columns mean, and why one is not there."""
    played = [row.row for row in rows if row.row is not None]
    lines = ["Score: last checkpoint, mean over seeds of the mean over episodes."]
    if any(one.score.interval for one in played):
        lines.append(INTERVALS)
    if any(row.on_pretrained for row in rows):
        lines.append(
            "Transfer ratio: (score - random trunk) / (full - random trunk), on the seeds that the three share; 0 is a "
            "random trunk, 1 full training."
        )
    if any(one.by for row in rows for one in row.against):
        lines.append(FLIPS)
    if any(one.held_out is not None for one in played):
        lines.append(HELD_OUT)
    if any(row.memory for row in rows):
        lines.append("Memory: the most that the process of any seed held.")
    lines += [f"No {what}." for what in left_out(rows)]
    if any(one.trunk == "NO" for one in played):
        lines.append(CHANGED_TRUNK)
    return lines


def left_out(rows: Sequence[MatrixRow]) -> list[str]:
    """The columns that no row has, and why."""
    played = [row.row for row in rows if row.row is not None]
    there = {
        f"95 % interval: {NO_INTERVAL}": any(one.score.interval for one in played),
        f"IQM: {NO_IQM}": any(one.score.iqm is not None for one in played),
        "transfer ratio: no mode works on a frozen pretrained trunk": any(row.on_pretrained for row in rows),
        f"held-out error: {NOT_HELD_OUT}": any(one.held_out is not None for one in played),
        f"seconds of training: {NOT_TIMED}": any(one.train_seconds is not None for one in played),
        f"memory: {NO_MEMORY}": any(row.memory for row in rows),
    }
    return [what for what, found in there.items() if not found]
