"""The figures of "Decision Transformer With Tokenized Action Space" (Annett & Andersen), and the numbers in its text.

Each figure has a preset of its name. Axes of its runs are those of the preset's matrix, by `section.key`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from transfer.recipes.matrix.points import Matrix, Point
from transfer.recipes.programs.modes import find_modes
from transfer.recipes.reports.matrix.coordinates import in_words
from transfer.recipes.reports.matrix.paper_rows import PaperRow

MARKS = {
    "text": "printed in the paper's text",
    "graphic": "read off a graphic of the paper",
    "derived": "computed from numbers in its text",
}
"""Where a number comes from."""

DT, POOLED, SPREAD = "ActionEmbedding", "ActionTokenizedEmbedding", "ActionTokenizedSpreadEmbedding"
KIND, BINS = "adapter.action.kind", "adapter.action.bins"


@dataclass(frozen=True)
class PaperValue:
    """A number of the paper about one run of a figure.

    Attributes:
        axes: those of the run, or some of them.
        value: D4RL-normalised score, or a difference or deviation of such.
        mark: one of `MARKS`.
        measure: one of `transfer.recipes.reports.matrix.paper_rows.MEASURES`.
        against: axes of the run that a difference is to.
    """

    axes: Mapping[str, str | int]
    value: float
    mark: str = "text"
    measure: str = "score"
    against: Mapping[str, str | int] | None = None


@dataclass(frozen=True)
class Reference:
    """A score that the paper gives beside a figure, of a training that is none of its runs."""

    words: str
    value: float
    mark: str = "text"


@dataclass(frozen=True)
class Figure:
    """A figure: what it compares, what it shows, and its numbers.

    Attributes:
        name: that of its preset.
        caption: what is drawn.
        finding: what the paper says of it.
        axis: the key that its runs differ in.
        mode: of the trainings that are drawn.
        target: datasets.
        source: datasets of the trunk; empty where there is none.
        kind: of the action embedding, where that is no axis.
    """

    name: str
    caption: str
    finding: str
    axis: str
    mode: str
    target: tuple[str, ...]
    source: tuple[str, ...] = ()
    kind: str = ""
    values: tuple[PaperValue, ...] = ()
    references: tuple[Reference, ...] = ()


_WALKER2D = ("mujoco/walker2d/medium-v0", "mujoco/walker2d/expert-v0")
_HOPPER = ("mujoco/hopper/medium-v0", "mujoco/hopper/expert-v0")
_DT, _POOLED, _SPREAD = {KIND: DT}, {KIND: POOLED}, {KIND: SPREAD}

_ALL = (
    Figure(
        name="figure-1",
        caption="Four action embeddings on Walker2d from random weights",
        finding="Tokenized embeddings are level with the Decision Transformer's; on AntMaze they are slower, with the "
        "same final score.",
        axis=KIND,
        mode="scratch-adapt",
        target=_WALKER2D,
    ),
    Figure(
        name="figure-3",
        caption="Bins of spread tokens on the Adroit pen from random weights",
        finding="More bins need more iterations and end at the same score.",
        axis=BINS,
        mode="scratch-adapt",
        target=("D4RL/pen/expert-v2",),
        kind=SPREAD,
        references=(Reference(DT, 109.5), Reference(POOLED, 110.1)),
    ),
    Figure(
        name="figure-4",
        caption="Bins of one token an action on Hopper from random weights",
        finding="The number of bins makes little difference.",
        axis=BINS,
        mode="scratch-adapt",
        target=_HOPPER,
        kind=POOLED,
        values=(PaperValue({BINS: 1000}, 105.3), PaperValue({BINS: 3000}, 101.7)),
        references=(Reference(DT, 105.3),),
    ),
    Figure(
        name="figure-5",
        caption="A trunk of AntMaze carried over to the Adroit hammer, embeddings alone trained",
        finding="Both tokenized embeddings are above the Decision Transformer's; spread tokens are slower, with less "
        "variance. The paper gives no numbers.",
        axis=KIND,
        mode="embeddings",
        target=("D4RL/hammer/expert-v2",),
        source=("D4RL/antmaze/umaze-v1",),
    ),
    Figure(
        name="figure-6",
        caption="A trunk of Hopper carried over to Walker2d, all layers trained",
        finding="Spread tokens are 11 points above the Decision Transformer's embedding, 13 above one token an action.",
        axis=KIND,
        mode="full",
        target=_WALKER2D,
        source=_HOPPER,
        values=(
            PaperValue(_SPREAD, 11.0, measure="difference", against=_DT),
            PaperValue(_SPREAD, 13.0, measure="difference", against=_POOLED),
        ),
    ),
    Figure(
        name="figure-7",
        caption="A trunk of Hopper carried over to Walker2d, embeddings alone trained",
        finding="Spread tokens are 21 points above the Decision Transformer's embedding, and 72 % below the model that "
        "is trained as a whole. The scores of about 30 and 9 hold if that one has 107 to 109.",
        axis=KIND,
        mode="embeddings",
        target=_WALKER2D,
        source=_HOPPER,
        values=(
            PaperValue(_SPREAD, 21.0, measure="difference", against=_DT),
            PaperValue(_SPREAD, 30.0, "derived"),
            PaperValue(_DT, 9.0, "derived"),
        ),
    ),
    Figure(
        name="figure-8",
        caption="Three action embeddings on cloned data of the Adroit door from random weights",
        finding="All are below 10; one token an action varies less between trainings than the Decision Transformer's "
        "embedding.",
        axis=KIND,
        mode="scratch-adapt",
        target=("D4RL/door/cloned-v2",),
        values=(
            PaperValue(_SPREAD, 0.0),
            PaperValue(_DT, 4.4, measure="deviation"),
            PaperValue(_POOLED, 2.1, measure="deviation"),
        ),
        references=(Reference("expert data of the door", 100.0),),
    ),
)
FIGURES = {one.name: one for one in _ALL}
"""By the names of their presets."""


def figures_of(matrix: Matrix) -> list[Figure]:
    """The figures of the paper whose comparison a matrix makes, whatever its budget."""
    modes = [mode.name for mode in find_modes(matrix.base.adapt.modes)]
    return [one for one in _ALL if one.mode in modes and runs_of(one, matrix)]


def runs_of(figure: Figure, matrix: Matrix, axes: Mapping[str, str | int] | None = None) -> list[Point]:
    """The runs of a matrix that a figure draws; those of some axes alone where they are given."""
    wanted = axes or {}
    return [
        one
        for one in matrix.points
        if figure.axis in one.axes
        and all(one.axes.get(key) == value for key, value in wanted.items())
        and figure.target == one.config.target.data
        and (not figure.source or [figure.source] == [body.data for body in one.config.source])
        and figure.kind in ("", one.config.adapter.action.kind)
    ]


def beside(matrix: Matrix) -> list[PaperRow]:
    """The paper's numbers about the runs of a matrix, for its report."""
    return [
        PaperRow(
            coordinates=_coordinates(figure, value.axes),
            value=f"{value.value:+g}" if value.measure == "difference" else f"{value.value:g}",
            mark=MARKS[value.mark],
            measure=value.measure,
            against=_coordinates(figure, value.against) if value.against else {},
        )
        for figure in figures_of(matrix)
        for value in figure.values
        if runs_of(figure, matrix, value.axes)
    ]


def _coordinates(figure: Figure, axes: Mapping[str, str | int]) -> dict[str, str]:
    """Where a number belongs in the table of a report."""
    return {"mode": figure.mode, **{name: in_words(name, value) for name, value in axes.items()}}
