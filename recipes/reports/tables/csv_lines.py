"""Dataclasses as the lines of a CSV file: a column for each field, numbers unrounded, "" for None.

Text is written so that no spreadsheet takes it for a formula, and on one line; an apostrophe in front of it goes when
it is read. A column is called as its field, without the underscore behind a word of Python (`return_`).
"""

from __future__ import annotations

import csv
import dataclasses
import io
import re
import types
import typing
from collections.abc import Callable, Collection, Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any, TypeVar

from transfer.errors import TransferError, unknown
from transfer.numbers import seen
from transfer.recipes.reports.escaping import csv_field, plain
from transfer.recipes.settings.schema import FILES, hints, read, words
from transfer.storage.files import read_text

Line = TypeVar("Line")
Gap = TypeVar("Gap")
REASON = "reason"
"""The column that is filled where a line is a gap: there are no results."""
LARGEST_FILE = 256 * 2**20  # bytes; a line of an episode has about 90, a matrix 10,000 cells of 100 episodes
WHOLE, REAL = re.compile(r"-?[0-9]{1,19}"), re.compile(r"-?[0-9]{1,40}(\.[0-9]{1,40})?(e[-+]?[0-9]{1,3})?")


def columns(kind: type) -> list[str]:
    """The columns of a dataclass, in order."""
    return [name.removesuffix("_") for name in hints(kind)]


def later(kind: type) -> dict[str, object]:
    """The columns that files of older versions lack, with the value that they mean there."""
    return {one.name: one.default for one in dataclasses.fields(kind) if one.metadata.get("later")}


def dump_lines(kind: type[Line], lines: Iterable[Line]) -> str:
    """The text of a CSV file; a column of `later` without a value is left out.

    A field that a line of another kind lacks stays empty.
    """
    each, stream = list(lines), io.StringIO()
    empty = {name for name, value in later(kind).items() if all(getattr(line, name, value) == value for line in each)}
    names = [name for name in hints(kind) if name not in empty]
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(name.removesuffix("_") for name in names)
    writer.writerows([field(getattr(line, name, None)) for name in names] for line in each)
    return stream.getvalue()


def field(value: object) -> object:
    """A value as it is written; `value_of` reads it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    # csv writes the repr of a float, from which the very number is read again
    return csv_field(value, also=("'",))


def read_lines(kind: type[Line], file: Path, again: str, gap: type[Gap] | None = None) -> list[tuple[int, Line | Gap]]:
    """The lines of a CSV file, each with its number in the file.

    Columns may come in any order, the file with a byte-order mark and with line ends of Windows, as spreadsheets write.

    Args:
        kind: the dataclass of a line.
        file: to read.
        again: how to get the file back, as a sentence.
        gap: the dataclass of lines that hold a reason in place of results.

    Raises:
        TransferError: no such file, an empty one, a column that is missing, twice or unknown, a line of another length,
            or a value that is not what its column holds.
    """
    if not file.exists():
        raise TransferError(f"{file} is missing. {again}")
    try:
        text = read_text(file, LARGEST_FILE, "utf-8-sig")
    except TransferError as error:
        raise TransferError(f"{error} {again}") from error
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        head = next(reader, [])
        check_head(head, columns(kind), file, again, later(kind))
        read_line = reading(kind, head, again)
        read_gap, place = (reading(gap, head, again), head.index(REASON)) if gap and REASON in head else (read_line, 0)
        found: list[tuple[int, Line | Gap]] = []
        for fields in reader:
            empty = read_gap is read_line or not any(fields[place : place + 1])
            where = f"{file}, line {reader.line_num}"
            found.append((reader.line_num, (read_line if empty else read_gap)(fields, where)))
        return found
    except csv.Error as error:
        raise TransferError(f"{file}, line {reader.line_num} is no CSV: {error}. {again}") from error


def check_head(
    head: Sequence[str], known: Sequence[str], file: Path, again: str, optional: Collection[str] = ()
) -> None:
    """Raise TransferError unless the columns of a file are the known ones, in any order; some may be missing."""
    if not head:
        raise TransferError(f"{file} is empty; its first line names the columns {', '.join(known)}. {again}")
    for name in head:
        if name not in known:
            raise unknown(f"column in {file}", plain(name)[:80], known, again)
        if head.count(name) > 1:
            raise TransferError(f"{file} has the column {name} twice. {again}")
    if missing := [name for name in known if name not in head and name not in optional]:
        raise TransferError(f"{file} lacks the column {', '.join(missing)}. Known: {', '.join(known)}. {again}")


def reading(kind: type[Line], head: Sequence[str], again: str) -> Callable[[Sequence[str], str], Line]:
    """What reads one line of a file with these columns; those that the kind lacks must be empty.

    What it returns takes the fields of a line, and where they stand. It raises TransferError as `read_lines`.
    """
    known = {name.removesuffix("_"): (name, annotation) for name, annotation in hints(kind).items()}
    wanted: list[tuple[str, str, Any, dict[str, Any]]] = [
        (column, *known.get(column, ("", None)), {}) for column in head
    ]

    def line(fields: Sequence[str], where: str) -> Line:
        if len(fields) != len(head):
            raise TransferError(f"{where} was edited: it has {len(fields)} fields, the first line {len(head)}. {again}")
        values = {}
        for (column, name, annotation, read_before), text in zip(wanted, fields, strict=True):
            if text not in read_before:  # most texts stand in many lines
                value, problem = value_of(text, annotation) if name else (None, text and "nothing beside a reason")
                if problem:
                    raise TransferError(f"{where} was edited: {column} is {seen(text)}; {problem} is needed. {again}")
                read_before[text] = value
            if name:
                values[name] = read_before[text]
        return kind(**values)

    return line


def value_of(text: str, wanted: Any) -> tuple[Any, str]:
    """A field as the value that its annotation says, and ""; or None, and what was wanted."""
    if typing.get_origin(wanted) in (typing.Union, types.UnionType):
        value, problem = value_of(text, typing.get_args(wanted)[0]) if text else (None, "")
        return value, f"{problem}, or nothing," if problem else ""
    wrong: list[str] = []
    plain_type = typing.get_args(wanted)[0] if typing.get_origin(wanted) is Annotated else wanted
    value = read(parsed(text, plain_type), wanted, "", wrong)
    return value, "" if not wrong else words(wanted, FILES) + (" on one line" if wanted is str else "")


def parsed(text: str, wanted: type) -> Any:
    """A field as text, a number or a truth value; None where it is none."""
    if wanted is str:
        return text.removeprefix("'") if plain(text) == text else None
    if wanted is bool:
        return {"true": True, "false": False}.get(text)
    if WHOLE.fullmatch(text):
        return int(text)
    return float(text) if wanted is float and REAL.fullmatch(text) else None
