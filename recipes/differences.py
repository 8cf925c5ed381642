"""What a frozen trunk makes for: each of its modes less the controls and full training, seed by seed."""

from collections.abc import Sequence
from dataclasses import dataclass

from transfer.recipes.rows import Row
from transfer.statistics import difference

CONTROLS = ("random-trunk:{}", "shuffled-trunk:{}", "full", "scratch-adapt", "scratch-total", "mlp")
LEAST = 3  # seeds that both modes have


@dataclass(frozen=True)
class Pair:
    """Scores of one mode less those of another.

    Attributes:
        row, other: what is compared.
        seeds: how many training seeds both have.
        mean: over them.
        interval: 95 %, bootstrap over seeds in pairs, then over the episodes of each.
    """

    row: Row
    other: Row
    seeds: int
    mean: float
    interval: tuple[float, float]


def pairs(rows: Sequence[Row]) -> list[Pair]:
    """Every mode on a frozen trunk against each control of the same run, where enough seeds have both."""
    known = {_key(row, row.mode): row for row in rows}
    found = []
    for row in rows:
        if row.trunk != "yes" or ":" in row.mode:
            continue
        for control in CONTROLS:
            other = known.get(_key(row, control.format(row.mode)))
            shared = sorted(set(row.seeds) & set(other.seeds)) if other is not None else []
            if other is not None and len(shared) >= LEAST:
                mine, theirs = ({seed: one.by_seed[seed] for seed in shared} for one in (row, other))
                found.append(Pair(row, other, len(shared), *difference(mine, theirs)))
    return found


def _key(row: Row, mode: str) -> tuple[object, ...]:
    asked = "calibrated" if row.calibrated else round(row.target_score, 4)
    return row.run, row.environment, row.decode, asked, mode


def table(found: Sequence[Pair]) -> list[str]:
    """Lines of Markdown; none where there is nothing to compare."""
    if not found:
        return []
    several = len({pair.row.run for pair in found}) > 1
    lines = [
        ["run", "mode", "less", "seeds", "difference", "95 % interval"],
        ["---", "---", "---", "---:", "---:", "---:"],
        *([p.row.run, p.row.mode, p.other.mode, str(p.seeds), f"{p.mean:+.1f}", span(p.interval)] for p in found),
    ]
    rows = ["| " + " | ".join(line if several else line[1:]) + " |" for line in lines]
    return ["", "Differences of scores, seed by seed:", "", *rows]


def span(interval: tuple[float, float]) -> str:
    """With signs."""
    return f"{interval[0]:+.1f} to {interval[1]:+.1f}"
