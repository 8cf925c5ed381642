"""The files of a tokenizer ceiling: Markdown, JSON, CSV and a plot."""

from pathlib import Path

from transfer.recipes.ceiling.ceiling_report import CeilingReport, CeilingRow
from transfer.recipes.ceiling.ceiling_text import page
from transfer.recipes.reports.tables.csv_lines import dump_lines
from transfer.recipes.reports.trouble import plot_or_warn
from transfer.storage.files import write_json, write_text


def write(report: CeilingReport, folder: Path) -> Path:
    """Write ceiling.md, ceiling.json, ceiling.csv and ceiling.png into a folder; returns the path of ceiling.md."""
    write_json(folder / "ceiling.json", report.to_json())
    write_text(folder / "ceiling.csv", dump_lines(CeilingRow, report.lines))
    write_text(folder / "ceiling.md", page(report))
    plot_or_warn(folder / "ceiling.png", lambda: plot(folder / "ceiling.png", report))
    return folder / "ceiling.md"


def plot(file: Path, report: CeilingReport) -> None:
    """Write the plot. matplotlib is loaded here, so that whatever is wrong with it does not cost the numbers."""
    from transfer.recipes.ceiling.ceiling_plot import save_ceiling

    save_ceiling(file, report)
