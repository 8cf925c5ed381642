"""Writing the plots of a matrix."""

from __future__ import annotations

from pathlib import Path

from transfer.recipes.reports.canvas import figure
from transfer.recipes.reports.matrix.plots.axis_curves import draw_axis_curves
from transfer.recipes.reports.matrix.plots.heat_maps import draw_heat_maps
from transfer.recipes.reports.matrix.plots.panels import AXIS, RATIOS, SCORES, TRAINING, Plot
from transfer.recipes.reports.matrix.plots.training_curves import draw_training_curves

DRAW = {
    SCORES: draw_heat_maps,
    RATIOS: draw_heat_maps,
    AXIS: draw_axis_curves,
    TRAINING: draw_training_curves,
}


def save_matrix_plot(folder: Path, plot: Plot) -> None:
    """Write one PNG into a folder."""
    with figure(folder / plot.file, (5.0, 4.0)) as paper:
        DRAW[plot.kind](paper, plot)
