"""A tokenizer ceiling in Markdown, and its files."""

from pathlib import Path

from transfer.recipes.ceiling.ceiling_report import CeilingReport, CeilingRow
from transfer.recipes.ceiling.replay import HOLD
from transfer.recipes.reports.escaping import markdown
from transfer.recipes.reports.markdown_tables import Column, lay_out, number
from transfer.recipes.reports.tables.csv_lines import dump_lines
from transfer.recipes.reports.trouble import plot_or_warn
from transfer.storage.files import write_json, write_text

POINTS = 1  # of score: smaller losses are no reason for another tokenizer


def write(report: CeilingReport, folder: Path) -> Path:
    """Write ceiling.md, ceiling.json, ceiling.csv and ceiling.png into a folder; returns the path of ceiling.md."""

    def plot() -> None:  # imports matplotlib, whose trouble must not cost the other files
        from transfer.recipes.ceiling.ceiling_plot import save_ceiling

        save_ceiling(folder / "ceiling.png", report)

    write_json(folder / "ceiling.json", report.to_json())
    write_text(folder / "ceiling.csv", dump_lines(CeilingRow, report.lines))
    write_text(folder / "ceiling.md", page(report))
    plot_or_warn(folder / "ceiling.png", plot)
    return folder / "ceiling.md"


def page(report: CeilingReport) -> str:
    """The whole Markdown file: the table, then how to read it."""
    title = f"# Tokenizer ceiling of {markdown(report.environment)}"
    notes = [*_measured(report), *_meaning(report), *_advice(report)]
    notes.append(f"Versions: {', '.join(f'{name} {version}' for name, version in report.versions.items())}.")
    return "\n".join([title, "", _table(report), "", *(f"- {note}" for note in notes), ""])


def _table(report: CeilingReport) -> str:
    """A Markdown table without the columns that are empty in every row."""
    held, success = (report.replayed.held_score is not None, any(row.success is not None for row in report.lines))
    columns: list[Column[CeilingRow]] = [
        ("tokenizer", lambda row: row.tokenizer, True),
        ("bins", lambda row: number(row.bins, 0), True),
        ("used", lambda row: number(row.used_bins), True),
        ("mean error", lambda row: number(row.mean_error, 4), True),
        ("max error", lambda row: number(row.max_error, 3), True),
        ("held score", lambda row: number(row.held_score), held),
        ("held lost", lambda row: _points(row.held_lost, row.held_error), held),
        ("return", lambda row: number(row.mean_return), True),
        ("score", lambda row: number(row.score), True),
        ("lost", lambda row: _points(row.lost, row.lost_error), True),
        ("steps", lambda row: number(row.mean_length, 0), True),
        ("success", lambda row: number(row.success, 2), success),
    ]
    return lay_out(columns, report.lines)


def _points(value: float | None, error: float | None) -> str:
    """Score points without the sign of a zero, with their standard error where there is one."""
    return number(None if value is None else round(value, 1) + 0.0) + (f" ± {error:.1f}" if error else "")


def _measured(report: CeilingReport) -> list[str]:
    """Notes on the scale, the data and skipped episodes."""
    scale, skipped = report.reference, report.skipped
    lines = [
        f"Score of {markdown(report.environment)}: 0 at a return of {scale.minimum:g}, 100 at {scale.maximum:g}, table "
        f"{markdown(scale.table)}.",
        f"Data: {markdown(', '.join(report.dataset_ids))} (content {report.content_hash[:12]}), {report.episodes} "
        f"episodes replayed in {markdown(report.gym_id)}, each over its own length.",
    ]
    if skipped:
        reasons = "; ".join(f"{reason} ({count})" for reason, count in skipped.items())
        lines.append(f"Skipped, because their start could not be brought back: {sum(skipped.values())}. {reasons}.")
    return lines


def _meaning(report: CeilingReport) -> list[str]:
    """Notes on the columns."""
    lines = [
        "Errors: in units of the action, over all steps of the data.",
        "Score, lost: the decoded actions from start to end in open loop, and points below raw replay ± standard error "
        "over episodes. A lower bound: errors add up, where a policy that sees states corrects them.",
    ]
    if report.replayed.held_score is not None:
        lines.append(
            f"Held: the same, put back on the recorded course every {HOLD} steps, so that errors add up for no longer. "
            "A policy corrects them sooner than that, but has to find its own way back."
        )
    if {"uniform", "mu-law"} & {row.tokenizer for row in report.rows}:
        lines.append(
            "Uniform and mu-law bins decode to their centres, so never to the largest actions: with few bins, a policy "
            "that needs those loses more than held replays show."
        )
    return lines


def _advice(report: CeilingReport) -> list[str]:
    """Warn of another physics; name the tokenizers that are clearly good or doubtful, by two standard errors."""
    lines = []
    if abs(report.replayed.score - report.dataset.score) > POINTS:
        lines.append(
            f"**The raw actions earn a score of {report.replayed.score:.1f} here, {report.dataset.score:.1f} in the "
            "data: other versions of the physics.** Compare with raw replay, not with the dataset."
        )
    names: dict[str, list[str]] = {"bad": [], "good": [], "unclear": []}
    for row in report.rows:
        bad = row.held_lost is not None and row.held_lost - 2 * (row.held_error or 0.0) > POINTS
        good = (row.lost or 0.0) + 2 * (row.lost_error or 0.0) <= POINTS
        names["bad" if bad else "good" if good else "unclear"].append(f"{row.tokenizer} {row.bins}")
    if names["bad"]:
        lines.append(f"Doubtful, more than {POINTS} point lost even when held: {', '.join(names['bad'])}.")
    if names["good"]:
        lines.append(f"Good, at most {POINTS} point lost even in open loop: {', '.join(names['good'])}.")
    if names["unclear"]:
        which = "About the others" if names["bad"] or names["good"] else "None is clearly good or doubtful, so"
        lines.append(f"{which} only training can tell; more bins are the safe side.")
    return lines
