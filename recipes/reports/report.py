"""The report of one or several runs: a Markdown table, CSV and a plot."""

import csv
import io
import shlex
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from transfer.errors import TransferError
from transfer.numbers import duration
from transfer.recipes.reports.conditions import CHANGED_TRUNK, FLIPS, HELD_OUT, INTERVALS, asked, conditions
from transfer.recipes.reports.escaping import csv_field, markdown
from transfer.recipes.reports.markdown_tables import Column, lay_out, number, span
from transfer.recipes.reports.matrix.matrix_report import MatrixReport, make_matrix_report, write_matrix_files
from transfer.recipes.reports.matrix.paper_rows import read_paper
from transfer.recipes.reports.rows import Pair, Row, make_rows, pairs
from transfer.recipes.reports.tables.cell_results import RunRecord
from transfer.recipes.reports.tables.records import read_records
from transfer.recipes.reports.tables.results_folder import PAPER
from transfer.recipes.reports.trouble import plot_or_warn
from transfer.recipes.runs.cells import configured, is_results_folder
from transfer.recipes.runs.used import read_used
from transfer.storage.files import write_text


@dataclass(frozen=True)
class Report:
    """A finished report: `markdown` and `csv` are the content of whole files, made of `records` and `rows`."""

    records: tuple[RunRecord, ...]
    title: str
    rows: tuple[Row, ...]
    markdown: str
    csv: str


def report(runs: Sequence[Path]) -> Report | MatrixReport:
    """The report of run folders and results folders, or that of one matrix.

    Raises:
        TransferError: no run, a folder without results, damaged results, scores that cannot be compared, or a matrix
            among other folders.
    """
    records = read_records(runs)
    if not any(record.in_matrix for record in records):
        return make_report(records)
    if len(runs) > 1:
        matrix = next(record.config.parent for record in records if record.in_matrix)
        raise TransferError(
            f"{matrix} is a matrix, which has a report of its own: {shlex.join(['transfer', 'report', str(matrix)])}. "
            "Report the other folders apart."
        )
    return make_matrix_report(records, read_paper(runs[0] / PAPER))


def make_report(records: Sequence[RunRecord]) -> Report:
    """The report of runs that were read already."""
    cells = [cell for record in records for cell in record.cells]
    rows = make_rows(cells)
    title = ", ".join(record.label for record in records)
    missing = [f"{record.label}/{name}" for record in records for name in record.missing]
    notes = [*conditions(cells), *(line for record in records for line in replaced(record))]
    notes += remarks(rows, missing)
    lines = [f"# {markdown(title)}", "", table(rows), *difference_table(pairs(rows)), ""]
    text = "\n".join([*lines, *(f"- {note}" for note in notes), ""])
    return Report(tuple(records), title, tuple(rows), text, to_csv(rows))


def write_report(folder: Path, result: Report | MatrixReport | None = None) -> Path:
    """Write report.md, report.csv and report.png into a run folder; no report.csv into a results folder of runs.

    `result` is by default the report of the run in `folder`. Returns the path of report.md.
    """
    written = report([folder]) if result is None else result
    if isinstance(written, MatrixReport):
        return write_matrix_files(folder, written)

    def plot() -> None:  # the import is inside: whatever is wrong with matplotlib costs the plot alone
        from transfer.recipes.reports.plots import save_plot

        save_plot(folder / "report.png", written.rows, written.title)

    if not is_results_folder(folder):
        write_text(folder / "report.csv", written.csv)
    write_text(folder / "report.md", written.markdown)
    plot_or_warn(folder / "report.png", plot)
    return folder / "report.md"


def table(rows: Sequence[Row], without: Collection[str] = ()) -> str:
    """A Markdown table without columns that are empty or alike in every row, and without those of these heads."""
    columns: list[Column[Row]] = [
        ("run", lambda row: row.run, len({row.run for row in rows}) > 1),
        ("environment", lambda row: row.environment, True),
        ("mode", lambda row: row.mode, True),
        ("decode", lambda row: row.decode, len({row.decode for row in rows}) > 1),
        ("asked", asked, True),
        ("seeds", lambda row: str(row.score.runs), True),
        ("score", lambda row: f"{row.score.mean:.1f}", True),
        ("95 % interval", lambda row: span(row.score.interval), any(row.score.interval for row in rows)),
        ("IQM", lambda row: number(row.score.iqm), any(row.score.iqm is not None for row in rows)),
        ("IQM interval", lambda row: span(row.score.iqm_interval), any(row.score.iqm_interval for row in rows)),
        ("best", lambda row: number(row.best), any(row.best is not None for row in rows)),
        ("held-out error", lambda row: number(row.held_out, 4), any(row.held_out is not None for row in rows)),
        ("success", lambda row: number(row.success, 2), any(row.success is not None for row in rows)),
        ("return", lambda row: f"{row.returns.mean:.0f}", True),
        ("/ full", lambda row: number(row.over_full, 2), any(row.over_full is not None for row in rows)),
        ("trained", lambda row: f"{row.trained:,}", True),
        ("% of model", lambda row: f"{100 * row.share:.1f}", True),
        ("training", lambda row: "-" if row.train_seconds is None else duration(row.train_seconds), True),
        ("trunk unchanged", lambda row: row.trunk, True),
        ("takes over from", lambda row: row.source or "-", any(row.source for row in rows)),
    ]
    return lay_out([column for column in columns if column[0] not in without], rows)


def difference_table(found: Sequence[Pair]) -> list[str]:
    """The lines of a second table; none where nothing can be compared."""
    if not found:
        return []
    columns: list[Column[Pair]] = [
        ("run", lambda pair: pair.row.run, len({pair.row.run for pair in found}) > 1),
        ("environment", lambda pair: pair.row.environment, len({pair.row.environment for pair in found}) > 1),
        ("decode", lambda pair: pair.row.decode, len({pair.row.decode for pair in found}) > 1),
        ("asked", lambda pair: asked(pair.row), len({(pair.row.target, pair.row.asked) for pair in found}) > 1),
        ("mode", lambda pair: pair.row.mode, True),
        ("less", lambda pair: pair.other.mode, True),
        ("seeds", lambda pair: str(pair.by.seeds), True),
        ("difference", lambda pair: f"{pair.by.mean:+.1f}", True),
        ("95 % interval", lambda pair: f"{pair.by.interval[0]:+.1f} to {pair.by.interval[1]:+.1f}", True),
        ("p", lambda pair: f"{pair.by.p:.3f}", True),
    ]
    return ["", "Differences of scores, seed by seed:", "", lay_out(columns, found), "", FLIPS]


def replaced(record: RunRecord) -> list[str]:
    """A line for each section of a run that used its fallback."""
    return [
        f"{markdown(record.label)} asked for {markdown(', '.join(asked))} under [{section}]; not to be had, so the "
        f"fallback was used: {markdown(', '.join(one.data))}."
        for section, one in read_used(record.config).items()
        if (asked := data_asked(record.config, section)) and asked != list(one.data)
    ]


def data_asked(config: Path, section: str) -> list[str]:
    """The data that a run asked for, under a key of `[used]`: "source.2" is the second of several."""
    name, _, number = section.partition(".")
    found = configured(config, f"{name}.data")
    if number:  # a list of tables has no key of its own
        tables = [one for one in found if isinstance(one, dict)]
        found = tables[int(number) - 1].get("data", []) if 0 < int(number) <= len(tables) else []
    return [str(one) for one in found] if isinstance(found, list) else []


def remarks(rows: Sequence[Row], missing: Sequence[str]) -> list[str]:
    """Notes on the columns that the table has."""
    lines = ["Score and return: last checkpoint, mean over seeds of the mean over episodes."]
    if any(row.score.interval is None for row in rows):
        lines.append("One seed says nothing about another: rows with one seed have no interval.")
    if any(row.score.interval is not None for row in rows):
        lines.append(INTERVALS)
    if any(row.over_full is not None for row in rows):
        lines.append("/ full: score over that of mode full, on the training seeds that both have.")
    if any(row.held_out is not None for row in rows):
        lines.append(HELD_OUT)
    if any(row.best is not None for row in rows):
        lines.append("Best: the best probe during training, chosen by its own score and so too high.")
    if any(row.trunk == "NO" for row in rows):
        lines.append(CHANGED_TRUNK)
    if missing:
        lines.append(markdown(f"Not finished: {', '.join(missing)}."))
    return lines


def to_csv(rows: Sequence[Row]) -> str:
    """One line per row, numbers unrounded, empty where there is none.

    Columns of `asked` and `held_out_error` are there where a row has them.
    """
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    heads = "run environment mode decode target_score calibrated seeds episodes score score_low score_high "
    heads += "iqm iqm_low iqm_high best success return return_low return_high over_full "
    heads += "trained share train_seconds trunk"
    new: dict[str, list[str | float | None]] = {
        "asked": [row.asked for row in rows],
        "held_out_error": [row.held_out for row in rows],
    }
    more = {name: values for name, values in new.items() if any(one not in ("", None) for one in values)}
    writer.writerow([*heads.split(), *more])
    for place, row in enumerate(rows):
        score, returns = row.score, row.returns
        ends = [*(score.interval or ("", "")), score.iqm, *(score.iqm_interval or ("", "")), row.best, row.success]
        head = [row.run, row.environment, row.mode, row.decode, row.target_score, row.calibrated]
        head += [score.runs, score.episodes]
        tail = [row.over_full, row.trained, row.share, row.train_seconds, row.trunk]
        tail += [values[place] for values in more.values()]
        fields = [*head, score.mean, *ends, returns.mean, *(returns.interval or ("", "")), *tail]
        writer.writerow(map(csv_field, fields))
    return stream.getvalue()
