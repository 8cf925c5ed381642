"""The long table of a matrix, report.csv: a line for each row, numbers unrounded, a reason where there is none."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

from transfer.recipes.reports.escaping import csv_field
from transfer.recipes.reports.matrix.coordinates import names_of
from transfer.recipes.reports.matrix.matrix_rows import MatrixRow

Value = str | int | float | None
ENDS = ("", "_low", "_high", "_p", "_reason")
"""Behind `less CONTROL`: the difference, its interval, p, and why there is none."""


def to_csv(rows: Sequence[MatrixRow]) -> str:
    """The text of report.csv. Columns of coordinates and of controls are those that any row has."""
    names = names_of([row.point for row in rows])
    controls = list(dict.fromkeys(one.control for row in rows for one in row.against))
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    lines = [line(row, names, controls) for row in rows]
    writer.writerow(map(csv_field, lines[0]))
    writer.writerows([csv_field(value) for value in one.values()] for one in lines)
    return stream.getvalue()


def line(row: MatrixRow, names: Sequence[str], controls: Sequence[str]) -> dict[str, Value]:
    """One line, by column."""
    texts = row.point.texts
    found: dict[str, Value] = {"run": row.point.label, **{name: texts.get(name, "") for name in names}}
    found |= {"mode": row.mode} | scores(row)
    found |= {"missing": len(row.gaps), "missing_reasons": "; ".join(f"{one.seed}: {one.reason}" for one in row.gaps)}
    by_control = {one.control: one for one in row.against}
    for control in controls:
        one = by_control.get(control)
        values: list[Value] = [None, None, None, None, "not compared" if one is None else one.reason]
        if one is not None and one.by is not None:
            values[:4] = [one.by.mean, *one.by.interval, one.by.p]
        found |= {f"less {control}{end}": value for end, value in zip(ENDS, values, strict=True)}
    return found


def scores(row: MatrixRow) -> dict[str, Value]:
    """The columns of the results; empty without any."""
    one, ratio = row.row, row.ratio.found
    bounds = ratio.interval if ratio and ratio.interval else (None, None)
    score = one.score if one else None
    low, high = (score.interval if score else None) or (None, None)
    iqm_low, iqm_high = (score.iqm_interval if score else None) or (None, None)
    return {
        "environment": one.environment if one else None,
        "decode": one.decode if one else None,
        "target_score": one.target_score if one else None,
        "asked": one.asked if one else None,
        "seeds": score.runs if score else 0,
        "episodes": score.episodes if score else 0,
        "score": row.score,
        "score_low": low,
        "score_high": high,
        "iqm": score.iqm if score else None,
        "iqm_low": iqm_low,
        "iqm_high": iqm_high,
        "return": one.returns.mean if one else None,
        "success": one.success if one else None,
        "transfer_ratio": row.transferred,
        "transfer_ratio_low": bounds[0],
        "transfer_ratio_high": bounds[1],
        "transfer_ratio_reason": row.ratio.reason,
        "held_out_error": one.held_out if one else None,
        "trained": one.trained if one else None,
        "share": one.share if one else None,
        "train_seconds": one.train_seconds if one else None,
        "peak_memory_bytes": row.memory,
        "peak_gpu_bytes": row.gpu_memory,
        "trunk": one.trunk if one else None,
    }
