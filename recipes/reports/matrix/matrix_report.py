"""The report of a matrix: scores with their controls for every pair of source and target, and what is missing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from transfer.errors import TransferError
from transfer.recipes.reports.conditions import conditions
from transfer.recipes.reports.matrix.coordinates import Coordinates, points_of
from transfer.recipes.reports.matrix.matrix_csv import to_csv
from transfer.recipes.reports.matrix.matrix_rows import MatrixRow, make_matrix_rows
from transfer.recipes.reports.matrix.matrix_text import (
    alike_lines,
    count_line,
    gap_lines,
    notes,
    pair_lines,
    pretraining_lines,
    title,
)
from transfer.recipes.reports.matrix.paper_rows import PaperRow
from transfer.recipes.reports.matrix.paper_table import paper_lines
from transfer.recipes.reports.matrix.plots.panels import MOST_PANELS, Plot, plots_of
from transfer.recipes.reports.tables.cell_results import RunRecord
from transfer.recipes.reports.trouble import plot_or_warn
from transfer.storage.files import write_text


@dataclass(frozen=True)
class MatrixReport:
    """A finished report: `markdown` and `csv` are the content of whole files.

    Attributes:
        records: the points, one run each.
        rows: one per point, mode and evaluation.
        paper: what is shown beside them.
        plots: the PNGs that belong to it.
    """

    records: tuple[RunRecord, ...]
    rows: tuple[MatrixRow, ...]
    paper: tuple[PaperRow, ...]
    plots: tuple[Plot, ...]
    markdown: str
    csv: str


def make_matrix_report(records: Sequence[RunRecord], paper: Sequence[PaperRow] = ()) -> MatrixReport:
    """The report of the points of a matrix.

    Raises:
        TransferError: no point, or as `points_of`.
    """
    if not records:
        raise TransferError("a matrix without points has no report.")
    rows = make_matrix_rows(records)
    plots = plots_of(rows)
    text = "\n".join([*text_lines(points_of(records), rows, paper, plots), *condition_lines(records, rows), ""])
    return MatrixReport(tuple(records), tuple(rows), tuple(paper), tuple(plots), text, to_csv(rows))


def text_lines(
    points: Sequence[Coordinates], rows: Sequence[MatrixRow], paper: Sequence[PaperRow], plots: Sequence[Plot]
) -> list[str]:
    """Everything but the notes."""
    adapted = [row for row in rows if not row.pretraining]
    pairs: dict[tuple[str, str], list[MatrixRow]] = {}
    for row in adapted:
        pairs.setdefault(row.point.pair, []).append(row)
    lines = [f"# {title(rows)}", "", count_line(rows), *alike_lines(points)]
    trunks = [row for row in rows if row.pretraining]
    for members in pairs.values():
        lines += pair_lines(members, adapted, trunks)
    lines += pretraining_lines(trunks)
    return [*lines, *gap_lines(rows), *plot_lines(plots), *paper_lines(paper, adapted)]


def condition_lines(records: Sequence[RunRecord], rows: Sequence[MatrixRow]) -> list[str]:
    """The notes: what columns mean, then data, reference scores and versions."""
    told = [*notes(rows), *conditions([cell for record in records for cell in record.cells])]
    return ["", "## Notes", "", *(f"- {one}" for one in told)]


def plot_lines(plots: Sequence[Plot]) -> list[str]:
    """The section of plots; [] without any."""
    lines = ["", "## Plots"] if plots else []
    for plot in plots:
        lines += ["", f"![{plot.caption}]({plot.file})", "", f"{plot.caption}."]
        if plot.left_out:
            lines[-1] += f" The first {MOST_PANELS} of {len(plot.groups)} panels; report.csv has all rows."
    return lines


def write_matrix_files(folder: Path, report: MatrixReport) -> Path:
    """Write report.md, report.csv and the plots into a folder; returns the path of report.md."""
    write_text(folder / "report.csv", report.csv)
    write_text(folder / "report.md", report.markdown)
    for plot in report.plots:

        def draw(plot: Plot = plot) -> None:  # imported here: whatever is wrong with matplotlib costs the plots alone
            from transfer.recipes.reports.matrix.plots.drawing import save_matrix_plot

            save_matrix_plot(folder, plot)

        plot_or_warn(folder / plot.file, draw)
    return folder / "report.md"
