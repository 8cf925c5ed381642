"""The transfer ratio: how much of what full training gains over a random trunk a frozen trunk gains."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from transfer.evaluation.statistics import Ratio, ratio
from transfer.recipes.reports.rows import Key, Row, with_mode

LEAST_GAP = 10.0
"""Points of score between `full` and the random trunk: below, a ratio is noise over noise."""
LEAST_SEEDS = 2
RANDOM, FULL = "random-trunk:{}", "full"
CONTROL, BY_DEFINITION = "control", "1 by definition"
"""Reasons that are no lack of anything."""
CHANGED = "its frozen trunk has changed"


@dataclass(frozen=True)
class TransferRatio:
    """(score - random trunk) / (full - random trunk), paired by seed.

    Attributes:
        found: the ratio with its interval; None where there is none.
        reason: why not, in words; "" where there is one.
    """

    found: Ratio | None
    reason: str = ""


def transfer_ratio(row: Row, known: Mapping[Key, Row]) -> TransferRatio:
    """The transfer ratio of a row.

    Args:
        row: of a mode on a frozen pretrained trunk; others have no ratio.
        known: the rows of its run, with its controls among them.
    """
    if row.mode == FULL:
        return TransferRatio(None, BY_DEFINITION)
    if row.trunk == "NO":
        return TransferRatio(None, CHANGED)
    if not row.on_pretrained:
        return TransferRatio(None, CONTROL)
    names = [RANDOM.format(row.mode), FULL]
    low, high = (known.get(with_mode(row.key, name)) for name in names)
    if low is None or high is None:
        lacking = [name for name, one in zip(names, (low, high), strict=True) if one is None]
        return TransferRatio(None, f"no results of {' and '.join(lacking)}")
    seeds = sorted(set(row.by_seed) & set(low.by_seed) & set(high.by_seed))
    if len(seeds) < LEAST_SEEDS:
        return TransferRatio(None, f"two seeds are needed that it, {names[0]} and full have; there are {len(seeds)}")
    found = ratio(*({seed: one.by_seed[seed] for seed in seeds} for one in (row, low, high)))
    if found.gap < LEAST_GAP:
        return TransferRatio(None, f"full is less than {LEAST_GAP:g} points above the random trunk")
    if found.value is None:
        return TransferRatio(None, "the interval of full less the random trunk holds 0")
    return TransferRatio(found)
