"""The numbers of a paper, shown beside ours: paper.csv keeps them, because cells.csv holds what was measured here."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from transfer.errors import TransferError
from transfer.numbers import seen
from transfer.recipes.reports.markdown_tables import Column, Marks, lay_out, number
from transfer.recipes.reports.matrix.coordinates import differing
from transfer.recipes.reports.matrix.matrix_columns import NO_INTERVAL, interval, place_of, reasons_of
from transfer.recipes.reports.matrix.matrix_rows import MatrixRow, first_evaluations
from transfer.recipes.reports.rows import Row
from transfer.recipes.reports.tables.csv_lines import dump_lines, read_lines


@dataclass(frozen=True)
class PaperRow:
    """A number of a paper.

    Attributes:
        coordinates: in words, those that say which rows it belongs to: {"mode": "full", "trunk.width": "256"}; "mode"
            is one, and so are "source", "target", "method" and "size".
        value: as it is printed: "105.3", or "+11 over DT".
        mark: how well it is known: "read off a graphic", "derived".
        note: anything else.
    """

    coordinates: Mapping[str, str]
    value: str
    mark: str
    note: str = ""


Beside = tuple[PaperRow, MatrixRow | None]
"""A number of the paper, and a row of ours that it belongs to."""


@dataclass(frozen=True)
class PaperLine:
    """A line of paper.csv; `coordinates` are an object of JSON."""

    coordinates: str
    value: str
    mark: str
    note: str


def paper_text(rows: Sequence[PaperRow]) -> str:
    """The text of paper.csv."""
    return dump_lines(
        PaperLine, [PaperLine(json.dumps(dict(one.coordinates)), one.value, one.mark, one.note) for one in rows]
    )


def read_paper(file: Path) -> list[PaperRow]:
    """The rows of paper.csv, none where there is no such file.

    Raises:
        TransferError: it was edited.
    """
    if not file.exists():
        return []
    lines = read_lines(PaperLine, file, "Bring it back from a copy (git checkout).")
    return [PaperRow(named(file, number, line.coordinates), line.value, line.mark, line.note) for number, line in lines]


def named(file: Path, number: int, text: str) -> dict[str, str]:
    """The coordinates in a line. Raises TransferError where they are not text by text."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict) or not all(isinstance(one, str) for one in found.values()):
        raise TransferError(f"{file}, line {number} was edited: coordinates are {seen(text)}; text by text is needed.")
    return found


def paper_lines(paper: Sequence[PaperRow], rows: Sequence[MatrixRow]) -> list[str]:
    """The table of a paper's numbers beside ours; [] where no paper is compared with."""
    if not paper:
        return []
    marks, known = Marks(), first_evaluations(rows)
    found: list[Beside] = []
    for one in paper:
        found += [(one, row) for row in matching(one, known)] or [(one, None)]
    ours_differ = differing([row.point for _, row in found if row])
    names = dict.fromkeys([*(name for one in paper for name in one.coordinates), *ours_differ])

    def told(name: str) -> Callable[[Beside], str]:
        return lambda pair: pair[0].coordinates.get(name) or (place_of(name)(pair[1]) if pair[1] else "-")

    def of_ours(text: Callable[[Row], str], reason: str) -> Callable[[Beside], str]:
        return lambda pair: (text(pair[1].row) or marks.empty(reason)) if pair[1] and pair[1].row else "-"

    columns: list[Column[Beside]] = [
        *((name, told(name), True) for name in names),
        ("ours", lambda pair: ours(pair[1], marks), True),
        ("95 % interval", of_ours(interval, NO_INTERVAL), True),
        ("seeds", of_ours(lambda one: str(one.score.runs), ""), True),
        ("paper", lambda pair: pair[0].value or marks.empty("the paper gives no number"), True),
        ("mark", lambda pair: pair[0].mark or "-", any(one.mark for one in paper)),
        ("note", lambda pair: pair[0].note or "-", any(one.note for one in paper)),
    ]
    return ["", "## Beside the paper", "", lay_out(columns, found), *marks.lines]


def ours(row: MatrixRow | None, marks: Marks) -> str:
    """Our score, or why there is none."""
    if row is None:
        return marks.empty("no row of the matrix is at this place")
    return marks.empty(*reasons_of(row)) if row.row is None else number(row.score)


def matching(one: PaperRow, rows: Sequence[MatrixRow]) -> list[MatrixRow]:
    """The rows that a number of the paper belongs to."""
    return [row for row in rows if all(place_of(name)(row) == value for name, value in one.coordinates.items())]
