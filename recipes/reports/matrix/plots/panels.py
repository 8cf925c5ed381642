"""Which plots a matrix gets, and which rows go into which panel and curve.

Nothing here draws: reports name their plots where matplotlib fails, too.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from transfer.recipes.reports.matrix.coordinates import MODE, SIZE, SOURCE, TARGET, differing, numeric
from transfer.recipes.reports.matrix.matrix_columns import place_of
from transfer.recipes.reports.matrix.matrix_rows import MatrixRow, first_evaluations

MOST_PANELS, MOST_CURVES = 24, 8
SCORES, RATIOS, AXIS, TRAINING = "score", "transfer ratio", "axis", "training"


@dataclass(frozen=True)
class Plot:
    """One PNG.

    Attributes:
        file: its name in the folder.
        kind: `SCORES` and `RATIOS` are heat maps of source and target, `AXIS` is the score over a coordinate,
            `TRAINING` over the steps of the training.
        over: the coordinate of `AXIS`; "" for others.
        panels, curves: the coordinates, the mode among them, that tell panels and their curves apart.
        rows: what is drawn, those without results among them.
    """

    file: str
    kind: str
    over: str
    panels: tuple[str, ...]
    curves: tuple[str, ...]
    rows: tuple[MatrixRow, ...]

    @property
    def caption(self) -> str:
        """What it shows, in words."""
        if self.kind == TRAINING:
            return "Score over training: mean of the probes over seeds, and from the lowest to the highest seed"
        if self.kind == AXIS:
            return f"Score over {self.over}, with 95 % intervals"
        return f"{self.kind} of each source and target".capitalize()

    @property
    def groups(self) -> dict[str, list[MatrixRow]]:
        """The rows of each panel, by its title."""
        return grouped(self.rows, self.panels)

    @property
    def labels(self) -> list[str]:
        """The names of all curves, in order."""
        return list(grouped(self.rows, self.curves))

    @property
    def left_out(self) -> int:
        """Panels beyond the most that are drawn."""
        return max(0, len(self.groups) - MOST_PANELS)


def plots_of(rows: Iterable[MatrixRow]) -> list[Plot]:
    """The plots of a matrix: heat maps where there are several pairs, and one for each other coordinate that differs.

    The score over training is among them where any cell has probes.
    """
    drawn = tuple(row for row in first_evaluations(rows) if not row.pretraining)
    if not drawn:
        return []
    names = differing([row.point for row in drawn])
    modes = (MODE,) if len({row.mode for row in drawn}) > 1 else ()
    rest = tuple(name for name in names if name not in (SOURCE, TARGET))
    found = []
    if len(rest) < len(names):
        found.append(Plot("report-heat-map.png", SCORES, "", (*modes, *rest), (), drawn))
        rated = tuple(row for row in drawn if row.on_pretrained)
        if any(row.transferred is not None for row in rated):
            found.append(Plot("report-heat-map-ratio.png", RATIOS, "", (*modes, *rest), (), rated))
    for name, file in zip(rest, files_of(rest), strict=True):
        others = tuple(one for one in names if one != name)
        apart = modes or tuple(one for one in others[-1:] if len(grouped(drawn, (one,))) <= MOST_CURVES)
        panels = tuple(one for one in (*others, *modes) if one not in apart)
        found.append(Plot(file, AXIS, name, panels, apart, drawn))
    if any(row.curves for row in drawn):
        pair = tuple(name for name in names if name in (SOURCE, TARGET))
        panels, curves = ((*pair, *modes), rest) if rest else (pair, modes)
        found.append(Plot("report-training.png", TRAINING, "", panels, curves, drawn))
    return found


def files_of(names: Sequence[str]) -> list[str]:
    """The file of the plot over each coordinate."""
    found: list[str] = []
    for name in names:
        file = f"report-{re.sub(r'[^A-Za-z0-9_.+-]', '-', name)[:80]}"
        found.append(f"{file}.png" if f"{file}.png" not in found else f"{file}-{len(found)}.png")
    return found


def grouped(rows: Iterable[MatrixRow], names: Sequence[str]) -> dict[str, list[MatrixRow]]:
    """Rows by some of their coordinates in words; rows that share all of these stay together."""
    found: dict[str, list[MatrixRow]] = {}
    for row in rows:
        found.setdefault(label(row, names), []).append(row)
    return found


def label(row: MatrixRow, names: Sequence[str]) -> str:
    """Some coordinates of a row in words, axes by the last part of their key: "hopper to walker2d, full, width 64"."""
    source, target = (row.point.texts[name] if name in names else "" for name in (SOURCE, TARGET))
    pair = " to ".join(one for one in (source, target) if one)
    others = [name for name in names if name not in (SOURCE, TARGET)]
    ends = [name.rpartition(".")[2] for name in others]
    heads = {name: end if ends.count(end) == 1 else name for name, end in zip(others, ends, strict=True)}
    words = [place_of(name)(row) if name == MODE else f"{heads[name]} {place_of(name)(row)}" for name in others]
    return ", ".join(one for one in (pair, *words) if one)


def in_order(rows: Iterable[MatrixRow], name: str) -> list[object]:
    """The values of a coordinate: numbers from small to large, the size of all episodes last, text as it comes."""
    values = list(dict.fromkeys(value for row in rows if (value := value_of(row, name)) is not None))
    if name == SIZE:
        return sorted(values, key=lambda one: (one == 0, one))
    return sorted(values) if numeric(values) else values  # type: ignore[type-var]


def value_of(row: MatrixRow, name: str) -> object:
    """The value of a coordinate, a list or table as text; None where its point has none."""
    value = row.point.values.get(name)
    return value if value is None or isinstance(value, str | int | float) else row.point.texts[name]
