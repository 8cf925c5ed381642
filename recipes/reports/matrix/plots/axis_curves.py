"""The score over a coordinate: curves over numbers and sizes, bars over text."""

from __future__ import annotations

import math
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.typing import ColorType

from transfer.recipes.reports.matrix.coordinates import SIZE, in_words, numeric
from transfer.recipes.reports.matrix.matrix_rows import MatrixRow
from transfer.recipes.reports.matrix.plots.grid import colours, cross, grid, legend, short
from transfer.recipes.reports.matrix.plots.panels import Plot, grouped, in_order, value_of

WIDE = 8
"""Quotient of the largest and smallest value from which on the axis is logarithmic."""


def draw_axis_curves(paper: Figure, plot: Plot) -> None:
    """Draw all panels: a curve, or the bars of one colour, for each label of the plot."""
    values, shades = in_order(plot.rows, plot.over), colours(plot.labels)
    curves = plot.over == SIZE or numeric(values)
    for axes, rows in grid(paper, plot, (4.0, 3.0)):
        groups = grouped(rows, plot.curves)
        for number, (label, members) in enumerate(groups.items()):
            if curves:
                draw_curve(axes, members, values, plot.over, shades[label])
            else:
                draw_bars(axes, members, values, plot.over, shades[label], (number, len(groups)))
        name_values(axes, values, plot.over, curves)
        axes.set_ylabel("score")
        axes.spines[["top", "right"]].set_visible(False)
    legend(paper, shades)


def positions(values: Sequence[object], over: str) -> dict[object, float]:
    """Where each value stands: numbers at themselves, sizes and text side by side."""
    spread = numeric(values) and over != SIZE
    return {value: float(value) if spread else float(place) for place, value in enumerate(values)}  # type: ignore[arg-type]


def draw_curve(axes: Axes, rows: Sequence[MatrixRow], values: Sequence[object], over: str, shade: ColorType) -> None:
    """One curve with its intervals; it is broken, with a cross, at a value without results."""
    places = positions(values, over)
    by_place = {places[value]: row for row in rows if (value := value_of(row, over)) in places}
    known = sorted(by_place)
    scores = [by_place[place].score for place in known]
    axes.plot(known, [math.nan if score is None else score for score in scores], "o-", color=shade)
    for place, row in by_place.items():
        interval(axes, place, row, shade)
        if row.row is None:
            cross(axes, place, shade)


def draw_bars(
    axes: Axes,
    rows: Sequence[MatrixRow],
    values: Sequence[object],
    over: str,
    shade: ColorType,
    turn: tuple[int, int],
) -> None:
    """The bars of one colour, the `turn[0]`-th of `turn[1]` at each value."""
    places, width = positions(values, over), 0.8 / turn[1]
    for row in rows:
        if value_of(row, over) in places:
            place = places[value_of(row, over)] + (turn[0] - (turn[1] - 1) / 2) * width
            if row.score is None:
                cross(axes, place, shade)
            else:
                axes.bar([place], [row.score], width=width, color=shade, alpha=0.75)
                interval(axes, place, row, "black")


def interval(axes: Axes, place: float, row: MatrixRow, shade: ColorType) -> None:
    """The interval of a score as a line, where it has one."""
    if row.row is not None and row.row.score.interval is not None:
        axes.plot([place, place], list(row.row.score.interval), "-", color=shade, linewidth=1.2)


def name_values(axes: Axes, values: Sequence[object], over: str, curves: bool) -> None:
    """Ticks at the values, on a logarithmic axis where they lie far apart."""
    places = positions(values, over)
    numbers = list(places.values())
    if curves and over != SIZE and min(numbers) > 0 and max(numbers) / min(numbers) >= WIDE:
        axes.set_xscale("log")
    names = [short(in_words(over, value)) for value in places]
    axes.set_xticks(numbers, names, rotation=0 if curves else 20, ha="center" if curves else "right")
    axes.minorticks_off()
    axes.set_xlabel(short("episodes" if over == SIZE else over))
