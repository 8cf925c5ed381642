"""The score over training: the mean of the probes over seeds, with a band from the lowest to the highest seed."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.typing import ColorType

from transfer.recipes.reports.matrix.matrix_rows import Curves
from transfer.recipes.reports.matrix.plots.grid import colours, grid, legend, short
from transfer.recipes.reports.matrix.plots.panels import Plot, grouped


def draw_training_curves(paper: Figure, plot: Plot) -> None:
    """Draw all panels; curves without probes are named in their panel."""
    shades = colours(plot.labels)
    for axes, rows in grid(paper, plot, (4.4, 3.2)):
        lacking = []
        for label, members in grouped(rows, plot.curves).items():
            curves = {seed: curve for row in members for seed, curve in row.curves.items()}
            if curves:
                draw_curve(axes, curves, shades[label])
            else:
                why = "no probes" if any(row.row for row in members) else "no results"
                lacking.append(f"× {short(label or 'score')}: {why}")
        axes.text(0.02, 0.98, "\n".join(lacking), transform=axes.transAxes, va="top", fontsize="x-small")
        axes.set_xlabel("training step")
        axes.set_ylabel("score")
        axes.spines[["top", "right"]].set_visible(False)
    legend(paper, shades)


def draw_curve(axes: Axes, curves: Curves, shade: ColorType) -> None:
    """The mean over the seeds that have a step, and the band where there are two or more."""
    steps = sorted({step for curve in curves.values() for step in curve})
    found = [[curve[step] for curve in curves.values() if step in curve] for step in steps]
    axes.plot(steps, [float(np.mean(values)) for values in found], "-", color=shade)
    if len(curves) > 1:
        axes.fill_between(steps, [min(one) for one in found], [max(one) for one in found], color=shade, alpha=0.2)
