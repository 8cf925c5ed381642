"""Which plots a matrix gets, and what is drawn in them."""

import logging
from collections.abc import Callable

import numpy as np
import pytest
from matplotlib.figure import Figure

from transfer.recipes.reports.matrix.coordinates import Coordinates
from transfer.recipes.reports.matrix.plots.drawing import DRAW
from transfer.recipes.reports.matrix.plots.panels import AXIS, MOST_PANELS, RATIOS, SCORES, TRAINING, Plot
from transfer.recipes.reports.report import report


@pytest.fixture
def plots(matrix) -> Callable[[], dict[str, Plot]]:
    """The plots of the matrix, by kind or by the coordinate that they are over."""

    def make() -> dict[str, Plot]:
        matrix.write()
        return {one.over or one.kind: one for one in report([matrix.folder]).plots}

    return make


def drawn(plot: Plot) -> Figure:
    paper = Figure(layout="constrained")
    DRAW[plot.kind](paper, plot)
    paper.draw_without_rendering()
    return paper


def curves(axes) -> list:
    return [one for one in axes.lines if len(one.get_xdata()) > 2 or one.get_marker() == "o"]


def crosses(axes) -> int:
    return sum(one.get_marker() == "x" for one in axes.lines)


def test_heat_maps_of_scores_and_ratios(matrix, plots) -> None:
    for source, score in (("hopper", 30.0), ("ant", 50.0)):
        for target in ("walker2d", "swimmer"):
            label = matrix.point(source=source, target=target)
            if (source, target) == ("ant", "swimmer"):
                matrix.gap(label, "embeddings", 0, "failed")
                continue
            for mode, value in (("embeddings", score), ("random-trunk:embeddings", 10.0), ("full", 90.0)):
                matrix.cells(label, mode, [value, value])
    found = plots()
    assert set(found) == {SCORES, RATIOS}
    paper = drawn(found[SCORES])
    panels = paper.axes[:3]
    titles = [axes.get_title(loc="left").replace("\n", "") for axes in panels]
    assert titles == ["embeddings", "random-trunk:embeddings", "full"]
    values = np.ma.filled(panels[0].images[0].get_array(), np.nan)
    assert np.array_equal(values, [[30.0, 30.0], [50.0, np.nan]], equal_nan=True)
    assert [one.get_text() for one in panels[0].texts] == ["30", "30", "50", "×"]
    ratios = drawn(found[RATIOS])
    values = np.ma.filled(ratios.axes[0].images[0].get_array(), np.nan)
    assert np.array_equal(values, [[0.25, 0.25], [0.5, np.nan]], equal_nan=True)


def test_a_curve_over_sizes_ends_with_all_and_breaks_where_a_cell_is_missing(matrix, plots) -> None:
    for size, score in ((0, 40.0), (100, 30.0), (10, 20.0)):
        label = matrix.point(size=size)
        matrix.cells(label, "embeddings", [score, score + 2])
        if size == 100:
            matrix.gap(label, "full", 0, "failed")
        else:
            matrix.cells(label, "full", [score + 20, score + 21])
    (axes,) = drawn(plots()["size"]).axes
    assert [one.get_text() for one in axes.get_xticklabels()] == ["10", "100", "all"]
    embeddings, full = curves(axes)
    assert list(embeddings.get_ydata()) == [21.0, 31.0, 41.0]
    assert list(full.get_ydata()[[0, 2]]) == [40.5, 60.5] and np.isnan(full.get_ydata()[1])
    assert crosses(axes) == 1
    assert len(axes.lines) == 2 + 1 + 5  # curves, the cross, the intervals


def test_an_axis_of_numbers_is_a_curve_and_one_of_text_is_bars(matrix, plots) -> None:
    for bins in (100, 300, 1000, 3000):
        for kind in ("whole", "spread"):
            label = matrix.point(adapter__action__bins=bins, adapter__action__kind=kind)
            if (bins, kind) == (300, "spread"):
                matrix.gap(label, "full", 0, "failed")
            else:
                matrix.cells(label, "full", [bins / 100, bins / 100 + 1])
    found = plots()
    assert {one.kind for one in found.values()} == {AXIS}
    (axes,) = drawn(found["adapter.action.bins"]).axes
    assert axes.get_xscale() == "log" and len(curves(axes)) == 2
    assert list(curves(axes)[0].get_xdata()) == [100.0, 300.0, 1000.0, 3000.0]
    bars = drawn(found["adapter.action.kind"])
    panels = [axes for axes in bars.axes if axes.get_title(loc="left") or axes.patches]
    assert sum(len(axes.patches) for axes in panels) == 7 and sum(map(crosses, panels)) == 1


def test_training_curves_have_a_band_over_seeds(matrix, plots) -> None:
    for bins in (100, 3000):
        label = matrix.point(adapter__action__bins=bins)
        for seed in range(2):
            probes = [{"step": step, "mean_score": step * (seed + 1) * bins / 100, "episodes": 2} for step in (10, 20)]
            matrix.planned.append((label, "scratch-adapt", seed))
            matrix.make_cell("scratch-adapt", seed, [1.0], run=f"m/{label}", probes=probes)
    matrix.gap(matrix.point(adapter__action__bins=300), "scratch-adapt", 0, "failed")
    paper = drawn(plots()[TRAINING])
    (axes,) = paper.axes
    assert [list(one.get_ydata()) for one in axes.lines] == [[15.0, 30.0], [450.0, 900.0]]
    assert len(axes.collections) == 2
    band = axes.collections[0].get_paths()[0].vertices[:, 1]
    assert band.min() == 10.0 and band.max() == 40.0
    assert "bins 300: no results" in axes.texts[0].get_text()
    (legend,) = paper.legends
    assert [one.get_text() for one in legend.texts] == [f"bins {bins}" for bins in (100, 3000, 300)]


def test_modes_are_the_curves_where_nothing_else_differs(matrix, plots) -> None:
    label, probes = matrix.point(), [{"step": 10, "mean_score": 5.0, "episodes": 2}]
    matrix.cells(label, "embeddings", [1.0], probes=probes)
    matrix.cells(label, "full", [2.0])
    found = plots()
    assert set(found) == {TRAINING}
    (axes,) = drawn(found[TRAINING]).axes
    assert len(axes.lines) == 1 and axes.texts[0].get_text() == "× full: no probes"


def test_more_panels_than_anybody_reads_are_left_out_and_told(matrix, plots) -> None:
    for number in range(MOST_PANELS + 2):
        for size in (1, 2):
            matrix.cells(matrix.point(target=f"body {number}", size=size), "full", [1.0])
    paper = drawn(plots()["size"])
    assert len(paper.axes) == MOST_PANELS
    assert f"The first {MOST_PANELS} of {MOST_PANELS + 2} panels" in (matrix.folder / "report.md").read_text()


def test_plots_that_fail_cost_the_plots_alone(
    matrix, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> None:
        raise ValueError("a backend")

    for size in (1, 2):
        matrix.cells(matrix.point(size=size), "full", [1.0])
    monkeypatch.setitem(DRAW, AXIS, fail)
    with caplog.at_level(logging.WARNING):
        text = matrix.write()
    assert "report-size.png is not drawn: ValueError: a backend" in caplog.text
    assert "![Score over size" in text and not (matrix.folder / "report-size.png").exists()
    assert (matrix.folder / "cells.csv").exists()


@pytest.mark.parametrize(
    "values",
    [(True, False), (1, "one"), ([1, 2], {"kind": "several"}), (0, -3.5), (1e-9, 1e9), ("a" * 300, "$\\frac{")],
    ids=["truth", "mixed", "lists", "negative", "far", "long"],
)
def test_axes_of_any_kind_are_drawn(matrix, values: tuple[object, ...], caplog: pytest.LogCaptureFixture) -> None:
    for number, value in enumerate(values):
        matrix.points.append(Coordinates(f"p{number}", "", "walker2d", axes={"a.b/c": value}))
        matrix.cells(f"p{number}", "scratch-adapt", [10.0 * number, 20.0])
    text = matrix.write()
    assert "## walker2d without a source" in text and "](report-a.b-c.png)" in text
    assert (matrix.folder / "report-a.b-c.png").stat().st_size > 10_000 and not caplog.records
    assert report([matrix.folder]).markdown == text


def test_a_matrix_without_results_has_plots_of_crosses(matrix, plots, caplog: pytest.LogCaptureFixture) -> None:
    for source in ("hopper", "ant"):
        for size in (1, 2):
            matrix.gap(matrix.point(source=source, size=size), "full", 0, "failed")
    found = plots()
    assert set(found) == {SCORES, "size"} and not caplog.records
    assert [crosses(axes) for axes in drawn(found["size"]).axes] == [4]


def test_a_point_may_lack_an_axis(matrix, plots) -> None:
    for number, axes in enumerate(({"a": 1}, {"a": 2}, {})):
        matrix.points.append(Coordinates(f"p{number}", "hopper", "walker2d", axes=axes))
        matrix.cells(f"p{number}", "full", [10.0 * number])
    (axes,) = drawn(plots()["a"]).axes
    assert list(curves(axes)[0].get_ydata()) == [0.0, 10.0]
    assert "| a | mode |" in (matrix.folder / "report.md").read_text()
