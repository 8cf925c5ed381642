"""Checksums of cells: an edited line of a results folder is noticed, and so is one that is gone."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from typing import Any

from transfer.recipes.reports.tables.cell_results import CellResult
from transfer.recipes.reports.tables.csv_lines import field, later


def checksum(cell: CellResult, settings: dict[str, Any]) -> str:
    """The sha256 of everything that a results folder holds of a cell but the name of its run.

    Values count, not how they are written: 5 is 5.0, columns may come in any order. A column that files of older
    versions lack counts where a line has something in it.

    Args:
        cell: with all its lines, in order.
        settings: of its run, as parsed TOML.
    """
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


def plain_value(value: object) -> object:
    """A value as it is after it was written and read again."""
    whole = isinstance(value, int) and not isinstance(value, bool)
    return float(value) if whole and float(value) == value else field(value)  # type: ignore[arg-type]
