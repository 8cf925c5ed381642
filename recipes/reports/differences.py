"""Scores of each mode on a frozen trunk less those of the controls and of full training, seed by seed."""

from collections.abc import Sequence
from dataclasses import dataclass

from transfer.evaluation.statistics import Difference, difference
from transfer.recipes.reports.rows import Row, shared_seeds, with_mode

CONTROLS = ("random-trunk:{}", "shuffled-trunk:{}", "full", "scratch-adapt", "scratch-total", "mlp")
LEAST = 3  # seeds that both modes have


@dataclass(frozen=True)
class Pair:
    """Scores of `row` less those of `other`, `by` how much: over the training seeds that both have."""

    row: Row
    other: Row
    by: Difference


def pairs(rows: Sequence[Row]) -> list[Pair]:
    """Every mode on a frozen trunk against each control under the same conditions, where enough seeds have both."""
    known = {row.key: row for row in rows}
    found = []
    for row in [row for row in rows if row.trunk == "yes" and ":" not in row.mode]:
        keys = [with_mode(row.key, control.format(row.mode)) for control in CONTROLS]
        for other in [known[key] for key in keys if key in known]:
            shared = shared_seeds(row, other)
            if len(shared) >= LEAST:
                mine, theirs = ({seed: one.by_seed[seed] for seed in shared} for one in (row, other))
                found.append(Pair(row, other, difference(mine, theirs)))
    return found
