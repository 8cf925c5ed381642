"""What a frozen trunk makes for: each of its modes less the controls and full training, seed by seed."""

from collections.abc import Sequence
from dataclasses import dataclass

from transfer.evaluation.statistics import Difference, difference
from transfer.recipes.reports.rows import Row, shared_seeds, with_mode

CONTROLS = ("random-trunk:{}", "shuffled-trunk:{}", "full", "scratch-adapt", "scratch-total", "mlp")
LEAST = 3  # seeds that both modes have


@dataclass(frozen=True)
class Pair:
    """Scores of one mode less those of another.

    Attributes:
        row, other: what is compared.
        by: over the training seeds that both have.
    """

    row: Row
    other: Row
    by: Difference


def pairs(rows: Sequence[Row]) -> list[Pair]:
    """Every mode on a frozen trunk against each control under the same conditions, where enough seeds have both."""
    known = {row.key: row for row in rows}
    found = []
    for row in rows:
        if row.trunk != "yes" or ":" in row.mode:
            continue
        for control in CONTROLS:
            other = known.get(with_mode(row.key, control.format(row.mode)))
            shared = shared_seeds(row, other) if other is not None else []
            if other is not None and len(shared) >= LEAST:
                mine, theirs = ({seed: one.by_seed[seed] for seed in shared} for one in (row, other))
                found.append(Pair(row, other, difference(mine, theirs)))
    return found
