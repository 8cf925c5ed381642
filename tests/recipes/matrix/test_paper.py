"""The figures of the paper: their presets compare what they compare, and every number has its run."""

import pytest

from transfer.recipes.matrix.paper import (
    BINS,
    DT,
    FIGURES,
    KIND,
    MARKS,
    POOLED,
    SPREAD,
    Figure,
    figures_of,
    runs_of,
)
from transfer.recipes.matrix.points import Matrix, counts, load_matrix
from transfer.recipes.reports.matrix.paper_rows import MEASURES
from transfer.recipes.settings.config import load_config
from transfer.recipes.settings.presets import preset_text, presets

EACH = pytest.mark.parametrize("figure", FIGURES.values(), ids=list(FIGURES))
ALL = (100, 300, 1000, 3000)
THREE = (DT, POOLED, SPREAD)
# Axis and values, source and target, cells of the quick form (trunks, adaptations).
COMPARED = {
    "figure-1": (KIND, (DT, POOLED, "ActionSpreadEmbedding", SPREAD), "", "walker2d", (0, 8)),
    "figure-3": (BINS, ALL, "", "pen", (0, 4)),
    "figure-4": (BINS, ALL, "", "hopper", (0, 12)),
    "figure-5": (KIND, THREE, "antmaze-umaze", "hammer", (3, 6)),
    "figure-6": (KIND, THREE, "hopper", "walker2d", (6, 6)),
    "figure-7": (KIND, THREE, "hopper", "walker2d", (6, 12)),
    "figure-8": (KIND, THREE, "", "door", (0, 6)),
}


def loaded(name: str, quick: bool = False) -> Matrix:
    matrix = load_matrix(name, quick=quick)
    assert matrix is not None
    return matrix


def test_every_figure_has_a_preset_and_every_such_preset_a_figure() -> None:
    assert list(FIGURES) == list(COMPARED) == [name for name in presets() if name.startswith("figure-")]
    for name in FIGURES:
        assert preset_text(name).startswith(f"# Figure {name[-1]} of the paper on tokenized actions: ")
        assert f"#   transfer run {name}\n#   transfer run {name} --quick\n" in preset_text(name)


@pytest.mark.parametrize("quick", [False, True])
@EACH
def test_a_preset_compares_what_its_figure_compares(figure: Figure, quick: bool) -> None:
    axis, values, source, target, cells = COMPARED[figure.name]
    matrix = loaded(figure.name, quick)
    assert [one.axes for one in matrix.points] == [{axis: value} for value in values]
    assert {(one.source, one.target, one.method, one.size) for one in matrix.points} == {(source, target, "dt", 0)}
    assert figures_of(matrix) == [figure] and runs_of(figure, matrix) == list(matrix.points)
    assert not quick or counts(matrix)[1:] == cells
    assert figure.mode == matrix.base.adapt.modes[0] and figure.axis == axis
    controls = ("random-trunk:embeddings",) if figure.mode == "embeddings" else ()
    assert matrix.base.adapt.modes[1:] == controls


@EACH
def test_every_number_of_the_paper_is_of_one_run(figure: Figure) -> None:
    matrix = loaded(figure.name)
    for value in figure.values:
        assert len(runs_of(figure, matrix, value.axes)) == 1
        assert value.mark in MARKS and value.measure in MEASURES
        assert (value.against is not None) == (value.measure == "difference")
        assert value.against is None or len(runs_of(figure, matrix, value.against)) == 1
        assert value.against != value.axes
    for reference in figure.references:
        assert reference.mark in MARKS
    assert figure.caption and figure.finding.endswith(".")


def test_numbers_are_those_of_the_papers_text() -> None:
    told = {name: [(one.value, one.mark, one.measure) for one in figure.values] for name, figure in FIGURES.items()}
    assert {name: one for name, one in told.items() if one} == {
        "figure-4": [(105.3, "text", "score"), (101.7, "text", "score")],
        "figure-6": [(11.0, "text", "difference"), (13.0, "text", "difference")],
        "figure-7": [(21.0, "text", "difference"), (30.0, "derived", "score"), (9.0, "derived", "score")],
        "figure-8": [(0.0, "text", "score"), (4.4, "text", "deviation"), (2.1, "text", "deviation")],
    }
    assert [(one.words, one.value) for one in FIGURES["figure-3"].references] == [(DT, 109.5), (POOLED, 110.1)]


@EACH
def test_the_full_budget_is_the_papers(figure: Figure) -> None:
    for point in loaded(figure.name).points:
        for train in (point.config.pretrain, point.config.adapt):
            assert (train.steps, train.batch_size, train.context, train.warmup_steps) == (50_000, 128, 20, 10_000)
            assert (train.final_lr, train.weight_decay, train.clip) == (1.0, 1e-4, 0.25)
        maze = "antmaze" in str(point.config.source)
        assert (point.config.adapt.lr, point.config.pretrain.lr) == (8e-4, 1e-4 if maze else 8e-4)
        trunk = point.config.trunk
        assert (trunk.width, trunk.depth, trunk.heads, trunk.dropout) == (128, 3, 1, 0.1)
        assert point.config.adapter.state.kind == "linear" and len(point.config.run.seeds) == 5


@pytest.mark.parametrize("quick", [False, True])
@EACH
def test_curves_have_points_before_the_end(figure: Figure, quick: bool) -> None:
    for point in loaded(figure.name, quick).points:
        train, played = point.config.adapt, point.config.eval
        assert train.steps / played.probe_every >= (2 if quick else 10) and played.probe_episodes
        assert train.rate(train.steps - 1) > 0 and train.warmup_steps < train.steps


@EACH
def test_the_quick_form_has_the_papers_bins_and_kinds(figure: Figure) -> None:
    full, quick = (loaded(figure.name, one) for one in (False, True))
    assert [one.config.adapter for one in quick.points] == [one.config.adapter for one in full.points]
    assert [one.config.trunk for one in quick.points] == [one.config.trunk for one in full.points]


def test_a_matrix_of_several_figures_is_told_and_another_is_none(tmp_path: object) -> None:
    both = load_matrix("figure-7", ["matrix.modes=embeddings,full,scratch-adapt"])
    assert both is not None and [one.name for one in figures_of(both)] == ["figure-1", "figure-6", "figure-7"]
    other = load_matrix("figure-4", ["adapter.action.kind=ActionTokenizedSpreadEmbedding"])
    assert other is not None and figures_of(other) == []


def test_the_settings_that_the_figures_extend_are_a_run() -> None:
    config = load_config("tokenized-actions")
    assert config.adapt.modes == ("scratch-adapt",) and config.adapter.action.kind == SPREAD
