"""The results.json and timing.json of one MODE/SEED, believed only after every value in them was looked at."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from transfer.errors import TransferError
from transfer.files import read_json
from transfer.recipes.shapes import Shape, by_name, flag, misfits, number, optional, share, some, text, whole

FORMAT = 1
EVALUATION: Shape = {
    **{"checkpoint": text, "decode": text, "target?": text, "target_return": number, "target_score": number},
    **{"returns": some(number), "mean_return": number, "mean_score": number, "success_rate?": optional(share)},
}
PROBE: Shape = {"mean_score": number}
# What tables need; results.json holds more.
RESULTS: Shape = {
    **{"mode": text, "seed": whole, "environment": text, "dataset_ids": some(text), "content_hash": text},
    "reference": {"table": text, "minimum": number, "maximum": number},
    "trained": {"numbers": whole, "share": share},
    "trunk": {"frozen": flag, "pretrained": optional(text), "after": optional(text), "unchanged": optional(flag)},
    "evaluations": [EVALUATION],
    "probes": [PROBE],
    "versions": by_name(text),
}
TIMING: Shape = {"train_seconds?": number, "resumed_at_step?": whole}


def read_results(file: Path) -> dict[str, Any]:
    """One results.json. Raises TransferError when it is damaged, edited, of another format or lacks a key."""
    again = f"Remove {file.parent} and run again with --resume."
    try:
        results = read_json(file)
    except TransferError as error:
        raise TransferError(f"{error} {again}") from error
    if results.get("format") != FORMAT:
        raise TransferError(f"{file} has format {results.get('format')!r:.40}; this version reads format {FORMAT}.")
    wrong = misfits(results, RESULTS) or ([] if results["evaluations"] else ["no evaluation"])
    if wrong:
        raise TransferError(f"{file} was edited: {few(wrong)}. {again}")
    return results


def read_timing(file: Path) -> dict[str, Any]:
    """One timing.json, empty when there is none. Raises TransferError when it is damaged or edited."""
    timing = read_json(file) if file.exists() else {}
    if wrong := misfits(timing, TIMING):
        raise TransferError(f"{file} was edited: {few(wrong)}. It is no part of the result: remove it.")
    return timing


def few(wrong: list[str]) -> str:
    """The first few of a list of mistakes."""
    return ", ".join(wrong[:5]) + (f" and {len(wrong) - 5} more" if len(wrong) > 5 else "")
