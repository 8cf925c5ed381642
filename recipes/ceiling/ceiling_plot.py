"""The plot of a tokenizer ceiling: score against bins, a line per tokenizer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from transfer.recipes.ceiling.ceiling_report import CeilingReport
from transfer.recipes.ceiling.replay import HOLD
from transfer.recipes.reports.canvas import figure
from transfer.recipes.reports.escaping import drawn
from transfer.recipes.reports.plots import CONTROL, FROZEN, SOURCE, TRAINED

# Lines may lie on each other, so they differ in colour, marker and width.
STYLES = ((FROZEN, "o", 7), (TRAINED, "s", 5), (SOURCE, "^", 3), (CONTROL, "D", 3))


def save_ceiling(file: Path, report: CeilingReport) -> None:
    """Write a PNG with the open-loop scores, and beside them the held ones where there are any."""
    panels = [("open loop", "score", "lost_error")]
    if report.replayed.held_score is not None:
        panels.insert(0, (f"put back every {HOLD} steps", "held_score", "held_error"))
    with figure(file, (4.5 * len(panels), 3.8)) as paper:
        paper.suptitle(drawn(f"{report.environment}: score of encoded and decoded actions"), x=0.01, ha="left")
        for position, (title, score, error) in enumerate(panels):
            axes = paper.add_subplot(1, len(panels), position + 1)
            _draw(axes, report, score, error)
            axes.set_title(title, loc="left", fontsize="medium")
        handles, labels = axes.get_legend_handles_labels()
        paper.legend(handles, labels, loc="outside lower center", ncols=3 * len(panels), frameon=False)


def _draw(axes: Any, report: CeilingReport, score: str, error: str) -> None:
    """One panel of the fields `score` and `error` of the rows."""
    for index, kind in enumerate(dict.fromkeys(row.tokenizer for row in report.rows)):
        colour, marker, size = STYLES[index % len(STYLES)]
        rows = sorted((row for row in report.rows if row.tokenizer == kind), key=lambda row: row.bins or 0)
        axes.errorbar(
            [row.bins for row in rows],
            [getattr(row, score) for row in rows],
            yerr=[getattr(row, error) or 0.0 for row in rows],
            color=colour, marker=marker, markersize=size, linewidth=size / 3, elinewidth=size / 5, label=kind,
        )  # fmt: skip
    axes.axhline(getattr(report.replayed, score), color="black", linewidth=1, linestyle="--", label="raw replay")
    axes.axhline(report.dataset.score, color="black", linewidth=1.5, linestyle=":", label="dataset")
    bins = sorted({row.bins or 0 for row in report.rows})
    axes.set_xscale("log", base=2)
    axes.set_xticks(bins, [str(one) for one in bins])
    axes.minorticks_off()
    axes.set_xlabel("bins per action dimension")
    axes.set_ylabel(f"score (table {report.reference.table})")
    axes.spines[["top", "right"]].set_visible(False)
