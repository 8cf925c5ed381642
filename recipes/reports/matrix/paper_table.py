"""The table of a paper's numbers beside ours."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from transfer.recipes.reports.markdown_tables import Column, Marks, lay_out, number, span
from transfer.recipes.reports.matrix.coordinates import MODE, differing
from transfer.recipes.reports.matrix.matrix_columns import NO_INTERVAL, place_of, reasons_of, signed, text_columns
from transfer.recipes.reports.matrix.matrix_rows import MatrixRow, first_evaluations, less
from transfer.recipes.reports.matrix.paper_rows import PaperRow
from transfer.recipes.reports.rows import shared_seeds


@dataclass(frozen=True)
class Beside:
    """A number of the paper, a row of ours that it belongs to, and ours as it is shown.

    Attributes:
        value, interval: "" for none, with the reasons.
    """

    paper: PaperRow
    row: MatrixRow | None
    value: str
    interval: str
    reasons: tuple[str, ...] = ()


def paper_lines(paper: Sequence[PaperRow], rows: Sequence[MatrixRow]) -> list[str]:
    """The section of a paper's numbers; [] where no paper is compared with."""
    if not paper:
        return []
    marks, known = Marks(), first_evaluations(rows)
    found = []
    for one in paper:
        places = [row for row in known if at(row, one.coordinates)]
        lacking = Beside(one, None, "", "-", ("no row of the matrix is at this place",))
        found += [beside(one, row, known) for row in places] or [lacking]
    names = dict.fromkeys(name for one in paper for name in one.coordinates)
    names |= dict.fromkeys(differing([one.row.point for one in found if one.row]))

    def told(name: str) -> Callable[[Beside], str]:
        return lambda one: one.paper.coordinates.get(name) or (place_of(name)(one.row) if one.row else "-")

    columns: list[Column[Beside]] = [
        *((name, told(name), True) for name in names),
        ("number", measured, any(one.measure != "score" for one in paper)),
        ("ours", lambda one: one.value or marks.empty(*one.reasons), True),
        ("95 % interval", lambda one: one.interval or marks.empty(NO_INTERVAL), True),
        ("seeds", lambda one: str(one.row.row.score.runs) if one.row and one.row.row else "-", True),
        ("paper", lambda one: one.paper.value or marks.empty("the paper gives no number"), True),
        ("mark", lambda one: one.paper.mark or "-", any(one.mark for one in paper)),
        ("note", lambda one: one.paper.note or "-", any(one.note for one in paper)),
    ]
    return ["", "## Beside the paper", "", lay_out(columns, found, text_columns(rows)), *marks.lines]


def at(row: MatrixRow, place: Mapping[str, str]) -> bool:
    """Whether a row is at these coordinates."""
    return all(place_of(name)(row) == value for name, value in place.items())


def measured(one: Beside) -> str:
    """What a number is, in words."""
    against = ", ".join(one.paper.against.values())
    return f"{one.paper.measure} to {against}" if against else one.paper.measure


def beside(paper: PaperRow, row: MatrixRow, known: Sequence[MatrixRow]) -> Beside:
    """Our number for a row."""
    if row.row is None:
        return Beside(paper, row, "", "-", tuple(reasons_of(row)))
    if paper.measure == "deviation":
        means = row.row.score.run_means
        value = number(float(np.std(means, ddof=1))) if len(means) > 1 else ""
        return Beside(paper, row, value, "-", () if value else ("a deviation takes two seeds",))
    if paper.measure == "difference":
        return differing_by(paper, row, known)
    interval = row.row.score.interval
    return Beside(paper, row, number(row.score), span(interval) if interval else "")


def differing_by(paper: PaperRow, row: MatrixRow, known: Sequence[MatrixRow]) -> Beside:
    """Our difference to the row that is elsewhere in `against` alone, seed by seed."""
    place = {name: place_of(name)(row) for name in (*row.point.values, MODE)} | dict(paper.against)
    others = [one.row for one in known if at(one, place) and one.row]
    if row.row is None or not others:
        return Beside(paper, row, "", "-", ("what it is compared with has no results",))
    seeds, found = shared_seeds(row.row, others[0]), less(row.row, others[0])
    if found.by:
        return Beside(paper, row, f"{found.by.mean:+.1f}", signed(found.by.interval))
    if not seeds:
        return Beside(paper, row, "", "-", ("both share no seed",))
    mine, theirs = (float(np.mean(one.by_seed[seeds[0]])) for one in (row.row, others[0]))
    return Beside(paper, row, f"{mine - theirs:+.1f}", "")
