"""Where a run stands in a matrix, as tables, plots and cells.csv hold it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from transfer.errors import TransferError
from transfer.numbers import seen
from transfer.recipes.reports.tables.cell_results import RunRecord
from transfer.recipes.reports.tables.result_lines import CellLine, GapLine

SOURCE, TARGET, METHOD, SIZE, MODE = "source", "target", "method", "size", "mode"
ALL = "all"
"""A size in words: every episode of the target."""


@dataclass(frozen=True)
class Coordinates:
    """The point of a matrix that one run is.

    Attributes:
        label: name of its run folder.
        source, target, method: as tables show them; `source` is "" where nothing is pretrained.
        size: episodes of the target, 0 for all.
        axes: the values of the matrix's other keys, as {"trunk.width": 256}.

    Raises:
        TransferError: a label that is no name of a folder, or a size below 0.
    """

    label: str
    source: str
    target: str
    method: str = ""
    size: int = 0
    axes: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.label or "/" in self.label or self.label in (".", ".."):
            raise TransferError(f"label={seen(self.label)} is no name of a folder.")
        if self.size < 0:
            raise TransferError(f"size={seen(self.size)}: a number of episodes is needed, or 0 for all.")

    @property
    def pair(self) -> tuple[str, str]:
        """Source and target."""
        return self.source, self.target

    @property
    def values(self) -> dict[str, Any]:
        """Every coordinate by its name, in the order of tables."""
        fixed = {SOURCE: self.source, TARGET: self.target, METHOD: self.method, SIZE: self.size}
        return fixed | dict(self.axes)

    @property
    def texts(self) -> dict[str, str]:
        """Every coordinate in words, by its name."""
        return {name: in_words(name, value) for name, value in self.values.items()}

    def at(self, name: str) -> list[Any]:
        """The value of one coordinate; [] where it has none."""
        return [self.values[name]] if name in self.values else []

    @property
    def columns(self) -> dict[str, Any]:
        """The columns of cells.csv."""
        return {
            "source_bodies": self.source,
            "target_body": self.target,
            "method": self.method,
            "size": self.size,
            "axes": json.dumps(dict(self.axes)),
        }


def coordinates_of(line: CellLine | GapLine) -> Coordinates:
    """The coordinates in a line of cells.csv. Raises TransferError where `axes` is no object of JSON."""
    try:
        axes = json.loads(line.axes)
    except (ValueError, RecursionError) as error:
        raise TransferError(f"axes of run {seen(line.run)} are {seen(line.axes)}, which is no JSON.") from error
    if not isinstance(axes, dict):
        raise TransferError(f"axes of run {seen(line.run)} are {seen(line.axes)}; an object of JSON is needed.")
    return Coordinates(line.run, line.source_bodies, line.target_body, line.method, line.size or 0, axes)


def points_of(records: Sequence[RunRecord]) -> list[Coordinates]:
    """The coordinates of runs. Raises TransferError where lines of one run stand at several places of the matrix."""
    found = []
    for record in records:
        point = coordinates_of(record.lines[0])
        columns = point.columns
        if any(getattr(line, name) != value for line in record.lines for name, value in columns.items()):
            raise TransferError(f"lines of the run {seen(record.label)} stand at several places of the matrix.")
        found.append(point)
    return found


def told_apart(points: Sequence[Coordinates]) -> bool:
    """Whether no two points have the same coordinates in words."""
    return len({tuple(point.texts.items()) for point in points}) == len(points)


def in_words(name: str, value: object) -> str:
    """The value of a coordinate as tables show it; "-" for none."""
    if name == SIZE and not value:
        return ALL
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return f"{value:g}"
    return (value if isinstance(value, str) else json.dumps(value)) or "-"


def names_of(points: Iterable[Coordinates]) -> list[str]:
    """The names of the coordinates that any of these points has, in the order of tables."""
    return list(dict.fromkeys(name for point in points for name in point.values))


def differing(points: Sequence[Coordinates], names: Iterable[str] | None = None) -> list[str]:
    """Those coordinates whose values differ between points; one that a point lacks is a value of its own."""
    known = names_of(points) if names is None else names
    return [name for name in known if len({point.texts.get(name) for point in points}) > 1]


def numeric(values: Iterable[object]) -> bool:
    """Whether values are numbers, which a curve can be drawn over."""
    return all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)
