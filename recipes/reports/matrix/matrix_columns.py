"""The columns of the tables of a matrix in Markdown: what a row shows, and the reason where it has nothing to show."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from transfer.numbers import duration
from transfer.recipes.reports.conditions import asked
from transfer.recipes.reports.markdown_tables import LEFT, Column, Marks, number, span
from transfer.recipes.reports.matrix.coordinates import MODE, differing, names_of, numeric, told_apart
from transfer.recipes.reports.matrix.matrix_rows import Against, MatrixRow
from transfer.recipes.reports.matrix.transfer_ratio import BY_DEFINITION, CONTROL
from transfer.recipes.reports.rows import Row

Compared = tuple[MatrixRow, Against]
NO_INTERVAL = "one seed says nothing about another"
NO_IQM = "an interquartile mean takes five seeds"
NOT_HELD_OUT = "no held-out error was measured"
NOT_TIMED = "the training was not timed, or went on after a stop"
NO_MEMORY = "the memory was not measured"


def coordinate_columns(rows: Sequence[MatrixRow], without: Iterable[str] = ()) -> list[Column[MatrixRow]]:
    """A column for each coordinate that differs, then the mode, and what was asked for where that differs."""
    points = list({row.point.label: row.point for row in rows}.values())
    shown = [name for name in differing(points) if name not in without]
    decodes = {row.row.decode for row in rows if row.row}
    return [
        ("run", lambda row: row.point.label, not told_apart(points)),
        *((name, place_of(name), True) for name in shown),
        (MODE, lambda row: row.mode, True),
        ("decode", lambda row: row.row.decode if row.row else "-", len(decodes) > 1),
        ("asked", lambda row: asked(row.row) if row.row else "-", several_asked(rows)),
    ]


def text_columns(rows: Sequence[MatrixRow]) -> list[str]:
    """The heads of columns that are aligned to the left: those of text."""
    points = [row.point for row in rows]
    found = [name for name in names_of(points) if not numeric(value for one in points for value in one.at(name))]
    return [*LEFT, *found, "environment", "number", "mark", "note"]


def place_of(name: str) -> Callable[[MatrixRow], str]:
    """What reads a coordinate of a row in words; "-" where its point has none."""
    return lambda row: row.mode if name == MODE else row.point.texts.get(name, "-")


def several_asked(rows: Iterable[MatrixRow]) -> bool:
    """Whether any mode at one point was asked for more than one thing."""
    seen: set[tuple[str, str, str]] = set()
    for row in [row for row in rows if row.row]:
        key = (row.point.label, row.mode, row.row.decode if row.row else "")
        if key in seen:
            return True
        seen.add(key)
    return False


def score_columns(rows: Sequence[MatrixRow], marks: Marks) -> list[Column[MatrixRow]]:
    """The columns of scores, behind those of coordinates; one that all of `rows` lack is told by a note instead."""

    def column(head: str, text: Callable[[MatrixRow, Row], str], reason: str, wanted: bool = True) -> Column[MatrixRow]:
        def shown(row: MatrixRow) -> str:
            return "-" if row.row is None else text(row, row.row) or marks.empty(reason)

        return head, shown, wanted

    def any_row(has: Callable[[Row], object]) -> bool:
        return any(row.row is not None and has(row.row) for row in rows)

    return [
        ("seeds", lambda row: seeds(row, marks), True),
        ("score", lambda row: marks.empty(*reasons_of(row)) if row.row is None else number(row.score), True),
        column("95 % interval", lambda _, one: interval(one), NO_INTERVAL, any_row(lambda one: one.score.interval)),
        column("IQM", lambda _, one: middle(one), NO_IQM, any_row(lambda one: one.score.iqm is not None)),
        ("transfer ratio", lambda row: transferred(row, marks), any(row.on_pretrained for row in rows)),
        column("held-out error", lambda _, one: held_out(one), NOT_HELD_OUT, any_row(held_out)),
        column("trained", lambda _, one: f"{one.trained:,}", ""),
        column("training", lambda _, one: trained_for(one), NOT_TIMED, any_row(trained_for)),
        column("memory", lambda row, _: in_mib(row.memory), NO_MEMORY, any(row.memory for row in rows)),
        column("GPU memory", lambda row, _: in_mib(row.gpu_memory), "no GPU", any(row.gpu_memory for row in rows)),
        column("trunk unchanged", lambda _, one: one.trunk, "", any_row(lambda one: one.trunk == "NO")),
    ]


def difference_columns(rows: Sequence[MatrixRow], without: Iterable[str], marks: Marks) -> list[Column[Compared]]:
    """The columns of differences to controls; `rows` decide which coordinates are shown."""

    def of_row(text: Callable[[MatrixRow], str]) -> Callable[[Compared], str]:
        return lambda pair: text(pair[0])

    return [
        *((head, of_row(text), wanted) for head, text, wanted in coordinate_columns(rows, without)),
        ("less", lambda pair: pair[1].control, True),
        ("seeds", lambda pair: str(pair[1].by.seeds) if pair[1].by else "-", True),
        ("difference", lambda pair: f"{pair[1].by.mean:+.1f}" if pair[1].by else marks.empty(pair[1].reason), True),
        ("95 % interval", lambda pair: signed(pair[1].by.interval) if pair[1].by else "-", True),
        ("p", lambda pair: f"{pair[1].by.p:.3f}" if pair[1].by else "-", True),
    ]


def seeds(row: MatrixRow, marks: Marks) -> str:
    """Seeds with results, and of how many where some have none."""
    there = row.row.score.runs if row.row else 0
    return f"{there} of {there + len(row.gaps)} {marks(*reasons_of(row))}" if row.gaps else str(there)


def reasons_of(row: MatrixRow) -> list[str]:
    """Why seeds have no results, each reason once."""
    return list(dict.fromkeys(gap.reason for gap in row.gaps))


def interval(row: Row) -> str:
    """The interval of the score; "" for none, as in all of these."""
    return span(row.score.interval) if row.score.interval else ""


def middle(row: Row) -> str:
    """The interquartile mean with its interval."""
    return "" if row.score.iqm is None else f"{number(row.score.iqm)} ({span(row.score.iqm_interval)})"


def transferred(row: MatrixRow, marks: Marks) -> str:
    """The transfer ratio with its interval, or why there is none."""
    found = row.ratio.found
    if row.row is None or row.ratio.reason in (CONTROL, BY_DEFINITION):
        return "-" if row.row is None else row.ratio.reason
    if found is None or found.value is None or found.interval is None:
        return marks.empty(row.ratio.reason)
    return f"{found.value:.2f} ({found.interval[0]:.2f} to {found.interval[1]:.2f})"


def held_out(row: Row) -> str:
    """The held-out error."""
    return "" if row.held_out is None else number(row.held_out, 4)


def trained_for(row: Row) -> str:
    """The time that training took."""
    return "" if row.train_seconds is None else duration(row.train_seconds)


def in_mib(size: int | None) -> str:
    """Bytes in MiB."""
    return "" if size is None else f"{size / 2**20:,.0f} MiB"


def signed(bounds: tuple[float, float]) -> str:
    """The interval of a difference."""
    return f"{bounds[0]:+.1f} to {bounds[1]:+.1f}"
