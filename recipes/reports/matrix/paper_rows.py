"""The numbers of a paper, shown beside ours: paper.csv keeps them, because cells.csv holds what was measured here."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from transfer.errors import TransferError, unknown
from transfer.numbers import seen
from transfer.recipes.reports.tables.csv_lines import dump_lines, read_lines

MEASURES = ("score", "difference", "deviation")
"""What a number is: a score, a score less that of other rows, the standard deviation of scores over seeds."""


@dataclass(frozen=True)
class PaperRow:
    """A number of a paper.

    Attributes:
        coordinates: in words, those that say which rows it belongs to: {"mode": "full", "trunk.width": "256"}; "mode"
            is one, and so are "source", "target", "method" and "size".
        value: as it is printed: "105.3", or "+11 over DT".
        mark: how well it is known: "read off a graphic", "derived".
        note: anything else.
        measure: one of `MEASURES`; ours is the same of our rows.
        against: of a difference, the coordinates in which the other row is not as this one.

    Raises:
        TransferError: another measure, or a difference to nothing.
    """

    coordinates: Mapping[str, str]
    value: str
    mark: str
    note: str = ""
    measure: str = "score"
    against: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.measure not in MEASURES:
            raise unknown("measure of a paper's number", self.measure, MEASURES)
        if bool(self.against) != (self.measure == "difference"):
            raise TransferError(
                f"a paper's {self.measure} with against={seen(dict(self.against))}: differences need it."
            )


@dataclass(frozen=True)
class PaperLine:
    """A line of paper.csv; `coordinates` and `against` are objects of JSON."""

    coordinates: str
    value: str
    mark: str
    note: str
    measure: str
    against: str


def paper_text(rows: Sequence[PaperRow]) -> str:
    """The text of paper.csv."""
    lines = [
        PaperLine(
            json.dumps(dict(one.coordinates)), one.value, one.mark, one.note, one.measure, json.dumps(dict(one.against))
        )
        for one in rows
    ]
    return dump_lines(PaperLine, lines)


def read_paper(file: Path) -> list[PaperRow]:
    """The rows of paper.csv, none where there is no such file. Raises TransferError where it was edited."""
    if not file.exists():
        return []
    found = []
    for number, line in read_lines(PaperLine, file, "Bring it back from a copy (git checkout)."):
        where = f"{file}, line {number}"
        places = named(where, line.coordinates), named(where, line.against)
        try:
            found.append(PaperRow(places[0], line.value, line.mark, line.note, line.measure, places[1]))
        except TransferError as error:
            raise TransferError(f"{where} was edited: {error}") from error
    return found


def named(where: str, text: str) -> dict[str, str]:
    """The coordinates in a line. Raises TransferError where they are not text by text."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict) or not all(isinstance(one, str) for one in found.values()):
        raise TransferError(f"{where} was edited: coordinates are {seen(text)}; text by text is needed.")
    return found
