"""Panels side by side, their colours and their legend."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence

from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.typing import ColorType

from transfer.recipes.reports.escaping import drawn
from transfer.recipes.reports.matrix.matrix_rows import MatrixRow
from transfer.recipes.reports.matrix.plots.panels import MOST_PANELS, Plot

# Okabe and Ito 2008, "Color Universal Design": told apart with any common colour blindness.
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#000000", "#999999")
COLUMNS, LONGEST = 4, 60
LETTERS = 12
"""Of a title in an inch."""


def grid(
    paper: Figure, plot: Plot, size: tuple[float, float], one_scale: bool = True
) -> list[tuple[Axes, list[MatrixRow]]]:
    """Axes for each panel with its rows.

    Args:
        paper: to draw on.
        plot: the panels.
        size: of one panel in inches.
        one_scale: give all panels the same vertical axis, so that their scores compare.
    """
    groups = list(plot.groups.items())[:MOST_PANELS]
    across = min(COLUMNS, len(groups))
    down = math.ceil(len(groups) / across)
    width, height = max(8.0, size[0] * across), size[1] * down + 1.0 + (1.0 if len(groups) == 1 else 0.0)
    paper.set_size_inches(width, height)
    found: list[tuple[Axes, list[MatrixRow]]] = []
    for number, (title, rows) in enumerate(groups):
        axes = paper.add_subplot(down, across, number + 1, sharey=found[0][0] if found and one_scale else None)
        lines = textwrap.wrap(title, int(LETTERS * width / across))
        axes.set_title("\n".join(map(drawn, lines)), loc="left", fontsize="small")
        found.append((axes, rows))
    caption = textwrap.wrap(plot.caption, int(0.75 * LETTERS * width))
    paper.suptitle("\n".join(map(drawn, caption)), x=0.01, ha="left")
    return found


def colours(labels: Sequence[str]) -> dict[str, ColorType]:
    """A colour for each curve, the same in all panels."""
    if len(labels) <= len(COLOURS):
        return dict(zip(labels, COLOURS, strict=False))
    return {label: colormaps["viridis"](place / (len(labels) - 1)) for place, label in enumerate(labels)}


def legend(paper: Figure, shades: dict[str, ColorType]) -> None:
    """The names of the curves below the panels; none where there is one without a name."""
    handles = [Line2D([], [], color=shade, marker="o", label=short(label)) for label, shade in shades.items() if label]
    if handles:
        longest = max(len(str(one.get_label())) for one in handles) + 6  # with its line
        columns = max(1, min(len(handles), int(0.75 * LETTERS * paper.get_figwidth() / longest)))
        paper.legend(handles=handles, loc="outside lower center", ncols=columns, frameon=False)


def short(text: str) -> str:
    """A name in a plot: of a long one both ends, for it would leave no room for the panels."""
    half = LONGEST // 2
    return drawn(text if len(text) <= LONGEST else f"{text[:half]} ... {text[-half:]}")


def cross(axes: Axes, position: float, shade: ColorType) -> None:
    """A cross on the lower edge: a value is missing there."""
    axes.plot([position], [0.03], "x", color=shade, transform=axes.get_xaxis_transform(), clip_on=False)
