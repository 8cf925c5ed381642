"""A tokenizer ceiling in Markdown: its table, and the notes below it."""

from collections.abc import Sequence

from transfer.recipes.ceiling.ceiling_report import CeilingReport, CeilingRow
from transfer.recipes.ceiling.replay import HOLD
from transfer.recipes.reports.escaping import markdown
from transfer.recipes.reports.markdown_tables import Column, lay_out, number

POINTS = 1  # of score, that nobody minds losing


def page(report: CeilingReport) -> str:
    """A whole file: the table, then how to read it."""
    title = f"# Tokenizer ceiling of {markdown(report.environment)}"
    return "\n".join([title, "", table(report), "", *(f"- {note}" for note in notes(report)), ""])


def table(report: CeilingReport) -> str:
    """A Markdown table without the columns that no row has anything to say in."""
    lines, held = report.lines, report.replayed.held_score is not None
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
        ("success", lambda row: number(row.success, 2), any(row.success is not None for row in lines)),
    ]
    return lay_out(columns, lines)


def _points(value: float | None, error: float | None) -> str:
    """Score points without the sign of a zero, with their standard error where there is one."""
    return number(None if value is None else round(value, 1) + 0.0) + (f" ± {error:.1f}" if error else "")


def notes(report: CeilingReport) -> list[str]:
    """What was measured, on what, and how to read it; last, the versions."""
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
    versions = ", ".join(f"{name} {one}" for name, one in report.versions.items())
    return [*lines, *_meaning(report), *_advice(report), f"Versions: {versions}."]


def _meaning(report: CeilingReport) -> list[str]:
    """What the columns are."""
    lines = [
        "Errors: in units of the action, over all steps of the data.",
        "Score, lost: the decoded actions from start to end without looking, and points below raw replay ± standard "
        "error over episodes. A lower bound: errors add up, where a policy that sees states corrects them.",
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
    """What to look at first."""
    lines = []
    if abs(report.replayed.score - report.dataset.score) > POINTS:
        lines.append(
            f"**The raw actions earn a score of {report.replayed.score:.1f} here, {report.dataset.score:.1f} in the "
            "data: other versions of the physics.** Compare with raw replay, not with the dataset."
        )
    bad = [row for row in report.rows if row.held_lost is not None and _least(row.held_lost, row.held_error) > POINTS]
    good = [row for row in report.rows if row not in bad and _most(row.lost, row.lost_error) <= POINTS]
    if bad:
        lines.append(f"Doubtful, more than {POINTS} point lost even when held: {_names(bad)}.")
    if good:
        lines.append(f"Good, at most {POINTS} point lost even without looking: {_names(good)}.")
    if len(bad) + len(good) < len(report.rows):
        which = "About the others" if bad or good else "None is clearly good or doubtful, so"
        lines.append(f"{which} only training can tell; more bins are the safe side.")
    return lines


def _least(lost: float, error: float | None) -> float:
    """A loss less twice its standard error."""
    return lost - 2 * (error or 0.0)


def _most(lost: float | None, error: float | None) -> float:
    """A loss and twice its standard error."""
    return (lost or 0.0) + 2 * (error or 0.0)


def _names(rows: Sequence[CeilingRow]) -> str:
    return ", ".join(f"{row.tokenizer} {row.bins}" for row in rows)
