"""Checksums of cells: an edited line of a results folder is noticed, and so is one that is gone."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from transfer.recipes.reports.tables.cell_results import CellResult
from transfer.recipes.reports.tables.csv_lines import field, later
from transfer.recipes.reports.tables.result_lines import GapLine, Key


def checksum(cell: CellResult | GapLine, settings: dict[str, Any]) -> str:
    """The sha256 of everything that a results folder holds of a cell, or of a gap, but the name of its run.

    Values count, not how they are written: 5 is 5.0, columns may come in any order. A column that files of older
    versions lack counts where a line has something in it.

    Args:
        cell: with all its lines, in order.
        settings: of its run, as parsed TOML; of a cell of a matrix, what `matrix_settings` makes of them.
    """
    lines: list[Any]
    if isinstance(cell, GapLine):
        lines = [replace(cell, run="", checksum="")]
    else:
        unnamed = cell.of_run("")
        lines = [replace(unnamed.line, checksum=""), *unnamed.episodes, *unnamed.curve, *unnamed.calibration]
    values = [
        {
            name: plain_value(value)
            for name, value in vars(line).items()
            if (name, value) not in later(type(line)).items()
        }
        for line in lines
    ]
    text = json.dumps([settings, values], sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def matrix_settings(settings: dict[str, Any], keys: Iterable[Key], paper: str) -> dict[str, Any]:
    """What the checksum of each cell of a matrix holds besides its lines, so that no other cell can be left out.

    Args:
        settings: of the matrix, as parsed TOML.
        keys: of all its cells and gaps.
        paper: the text of paper.csv; "" where there is none.
    """
    text = json.dumps([settings, sorted(keys), paper.splitlines()], sort_keys=True, default=str)
    return {"matrix": hashlib.sha256(text.encode()).hexdigest()}


def plain_value(value: object) -> object:
    """A value as it is after it was written and read again."""
    whole = isinstance(value, int) and not isinstance(value, bool)
    return float(value) if whole and float(value) == value else field(value)  # type: ignore[arg-type]
