"""Heat maps of source and target, a panel for each mode and other coordinates."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from transfer.recipes.reports.matrix.coordinates import SOURCE, TARGET
from transfer.recipes.reports.matrix.matrix_columns import place_of
from transfer.recipes.reports.matrix.matrix_rows import MatrixRow
from transfer.recipes.reports.matrix.plots.grid import grid, short
from transfer.recipes.reports.matrix.plots.panels import RATIOS, Plot

Value = Callable[[MatrixRow], float | None]


def draw_heat_maps(paper: Figure, plot: Plot) -> None:
    """Draw all panels with one scale of colours. A cell without a value is empty and has a cross."""
    value: Value = (lambda row: row.transferred) if plot.kind == RATIOS else (lambda row: row.score)
    sources = list(dict.fromkeys(place_of(SOURCE)(row) for row in plot.rows))
    targets = list(dict.fromkeys(place_of(TARGET)(row) for row in plot.rows))
    known = [one for row in plot.rows if (one := value(row)) is not None]
    limits = (min([0.0, *known]), max([1.0, *known]))
    panels = grid(paper, plot, (1.6 + 0.7 * len(targets), 1.4 + 0.5 * len(sources)), one_scale=False)
    for axes, rows in panels:
        draw_panel(axes, rows, value, (sources, targets), limits)
    if panels:
        paper.colorbar(panels[0][0].images[0], ax=[axes for axes, _ in panels], label=plot.kind, shrink=0.6, aspect=30)


def draw_panel(
    axes: Axes,
    rows: Sequence[MatrixRow],
    value: Value,
    names: tuple[Sequence[str], Sequence[str]],
    limits: tuple[float, float],
) -> None:
    """One heat map, (sources, targets); pairs that the matrix does not have stay white."""
    sources, targets = names
    shades = np.full((len(sources), len(targets)), np.nan)
    digits = 0 if limits[1] - limits[0] > 10 else 2
    for row in rows:
        place = sources.index(place_of(SOURCE)(row)), targets.index(place_of(TARGET)(row))
        number = value(row)
        shades[place] = np.nan if number is None else number
        dark = number is not None and number < limits[0] + 0.6 * (limits[1] - limits[0])
        text = "×" if number is None else f"{number:.{digits}f}"
        axes.text(place[1], place[0], text, ha="center", va="center", color="white" if dark else "black")
    axes.imshow(np.ma.masked_invalid(shades), vmin=limits[0], vmax=limits[1], cmap="viridis", aspect="auto")
    axes.set_yticks(range(len(sources)), [short(name) for name in sources])
    axes.set_xticks(range(len(targets)), [short(name) for name in targets], rotation=20, ha="right")
