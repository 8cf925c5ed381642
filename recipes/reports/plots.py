"""The plot of a report: a bar per row, a dot per episode."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from transfer.recipes.reports.canvas import figure
from transfer.recipes.reports.escaping import drawn
from transfer.recipes.reports.rows import Row
from transfer.recipes.runs.cells import is_pretraining

# Okabe and Ito 2008, "Color Universal Design": told apart with any common colour blindness.
FROZEN, TRAINED, CONTROL, SOURCE = "#0072B2", "#E69F00", "#999999", "#009E73"
LEGEND = {FROZEN: "frozen trunk", TRAINED: "everything trained", CONTROL: "control", SOURCE: "source environment"}


def save_plot(file: Path, rows: Sequence[Row], title: str) -> None:
    """Write a PNG with a horizontal bar per row, its interval where there is one, and a dot per episode."""
    with figure(file, (8, 1.6 + 0.5 * len(rows))) as paper:
        axes = paper.add_subplot()
        for position, row in enumerate(rows):
            draw(axes, position, row)
        axes.set_yticks(range(len(rows)), bar_labels(rows))
        axes.invert_yaxis()
        axes.axvline(100, color="black", linewidth=0.8, linestyle=":")
        axes.set_xlabel("score (100 = reference expert)")
        axes.set_title(drawn(title), loc="left")
        axes.spines[["top", "right"]].set_visible(False)
        used = dict.fromkeys(colour(row) for row in rows)
        handles = [axes.barh(0, 0, color=shade, label=LEGEND[shade]) for shade in used]
        paper.legend(handles=handles, loc="outside lower center", ncols=len(handles), frameon=False)


def draw(axes, position: int, row: Row) -> None:  # noqa: ANN001
    """One bar with its interval and dots."""
    axes.barh(position, row.score.mean, height=0.6, color=colour(row), alpha=0.75, zorder=1)
    if row.score.interval is not None:
        low, high = row.score.interval
        axes.plot([low, high], [position, position], color="black", linewidth=1.5, zorder=3)
    spread = np.random.default_rng(0).uniform(-0.2, 0.2, size=len(row.episode_scores))
    axes.scatter(row.episode_scores, position + spread, s=6, color="black", alpha=0.35, linewidths=0, zorder=2)


def colour(row: Row) -> str:
    """The colour of a row in `LEGEND`."""
    if is_pretraining(row.mode):
        return SOURCE
    if ":" in row.mode or row.mode in ("scratch", "mlp"):
        return CONTROL
    return FROZEN if row.trunk in ("yes", "NO") else TRAINED


def asked(row: Row) -> str:
    """What a row was asked for, in a few characters."""
    score = "" if row.target_score is None else f"{row.target_score:.0f}"
    return f"asked {', '.join(one for one in (score, row.asked) if one) or 'nothing'}"


def bar_labels(rows: Sequence[Row]) -> list[str]:
    """The mode, and whatever else tells the rows apart."""
    parts = [[getattr(row, name) for row in rows] for name in ("run", "environment", "decode")]
    # The target of the source environment is always another score: only several targets of one environment are told.
    if len({(row.target_score, row.asked) for row in rows if not is_pretraining(row.mode)}) > 1:
        parts.append([asked(row) for row in rows])
    shown = [values for values in parts if len(set(values)) > 1]
    return [drawn(", ".join([row.mode, *(values[i] for values in shown)])) for i, row in enumerate(rows)]
