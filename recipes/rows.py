"""From cells to table rows: one row per run, mode, decoding and target return, over all training seeds."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from transfer.recipes.asked import BY_CALIBRATION
from transfer.recipes.cells import Cell
from transfer.statistics import Summary, summarise

Key = tuple[str, str, str, str, str]
"""Run, environment, mode, decoding and target of a row."""


@dataclass(frozen=True)
class Row:
    """What a report says about one mode.

    Attributes:
        target: the raw return that was asked for, as text, or "best" or "calibrated": what did best in each seed's
            calibration.
        target_score: the score that was asked for, mean over seeds where each was calibrated.
        success: share of episodes that succeeded, mean over seeds; None where the environment tells nothing of it.
        score, returns: over seeds and episodes, last checkpoint.
        by_seed: score of every episode, by training seed.
        best: mean over seeds of the best probe or last score; None without probes, and where the target was calibrated
            after them.
        seeds: training seeds, in the order of `score.run_means`.
        over_full: score divided by that of mode `full`, over the seeds that both have: runs differ too much to compare
            others. None where there are none, or when the score of `full` is not positive.
        trained, share: numbers trained, and their share of the model (0..1).
        train_seconds: mean over seeds that were trained in one go; None without timings.
        trunk: `yes` unchanged, `NO` changed although frozen, `copy` trained on a copy, `own` trained from random
            weights, `none`.
    """

    run: str
    environment: str
    mode: str
    decode: str
    target: str
    target_score: float
    seeds: tuple[int, ...]
    success: float | None
    score: Summary
    returns: Summary
    by_seed: dict[int, tuple[float, ...]]
    best: float | None
    over_full: float | None
    trained: int
    share: float
    train_seconds: float | None
    trunk: str

    @property
    def calibrated(self) -> bool:
        """Whether each seed asked for what did best in its calibration."""
        return self.target in BY_CALIBRATION

    @property
    def key(self) -> Key:
        """What its cells have in common."""
        return self.run, self.environment, self.mode, self.decode, self.target

    @property
    def episode_scores(self) -> tuple[float, ...]:
        """Of all seeds."""
        return tuple(score for scores in self.by_seed.values() for score in scores)


def make_rows(cells: Sequence[Cell]) -> list[Row]:
    """Rows in the order of the cells."""
    groups: dict[Key, list[tuple[Cell, int]]] = {}
    succeeding = {cell.environment for cell in cells for one in cell.results["evaluations"] if told(one) is not None}
    for cell in cells:
        for index, played in enumerate(cell.results["evaluations"]):
            if played["checkpoint"] == "last":
                # The same percentile of the same data: rounding only guards against a last-digit difference.
                named = str(played.get("target"))
                target = named if named in BY_CALIBRATION else f"{played['target_return']:.4f}"
                key = (cell.run, cell.environment, cell.mode, str(played["decode"]), target)
                groups.setdefault(key, []).append((cell, index))
    rows = {key: make_row(key, members, key[1] in succeeding) for key, members in groups.items()}
    return [replace(row, over_full=ratio(row, rows.get(with_mode(key, "full")))) for key, row in rows.items()]


def with_mode(key: Key, mode: str) -> Key:
    """The key of another mode under the same conditions."""
    return (key[0], key[1], mode, key[3], key[4])


def ratio(row: Row, full: Row | None) -> float | None:
    """Score over the score of `full` on the seeds of both, where that means something."""
    shared = shared_seeds(row, full) if full is not None else []
    if full is None or not shared:
        return None
    mine, theirs = (np.mean([np.mean(one.by_seed[seed]) for seed in shared]) for one in (row, full))
    return float(mine / theirs) if theirs > 0 else None


def shared_seeds(one: Row, other: Row) -> list[int]:
    """Training seeds of both."""
    return sorted(set(one.seeds) & set(other.seeds))


def make_row(key: Key, members: Sequence[tuple[Cell, int]], succeeds: bool) -> Row:
    """One row from the cells of its seeds, each with the index of its evaluation.

    Args:
        key: of the row.
        members: its cells.
        succeeds: whether its environment is known to tell of success.
    """
    run, environment, mode, decode, target = key
    first, index = members[0]
    returns = {cell.seed: np.asarray(evaluation(cell, i)["returns"], dtype=np.float64) for cell, i in members}
    scores = {seed: np.asarray(first.reference.score(values)) for seed, values in returns.items()}
    summary = summarise(scores)
    last = dict(zip(sorted(scores), summary.run_means, strict=True))
    whole = [cell.timing for cell, _ in members if not cell.timing.get("resumed_at_step")]
    seconds = [timing["train_seconds"] for timing in whole if "train_seconds" in timing]
    return Row(
        run=run,
        environment=environment,
        mode=mode,
        decode=decode,
        target=target,
        target_score=float(np.mean([evaluation(cell, i)["target_score"] for cell, i in members])),
        seeds=tuple(sorted(scores)),
        success=mean_success([evaluation(cell, i) for cell, i in members]) if succeeds else None,
        score=summary,
        returns=summarise(returns),
        by_seed={seed: tuple(scores[seed].tolist()) for seed in sorted(scores)},
        best=None if target in BY_CALIBRATION else best_score(members, last),
        over_full=None,
        trained=int(first.results["trained"]["numbers"]),
        share=float(first.results["trained"]["share"]),
        train_seconds=float(np.mean(seconds)) if seconds else None,
        trunk=combine([trunk_word(cell) for cell, _ in members]),
    )


def mean_success(played: Sequence[dict[str, Any]]) -> float:
    """Mean success rate over seeds; some environments tell of success only when there is one, so silence is none."""
    return float(np.mean([told(one) or 0.0 for one in played]))


def told(played: dict[str, Any]) -> float | None:
    """The success rate of an evaluation, None where nothing was said of it."""
    rate: float | None = played.get("success_rate")
    return rate


def evaluation(cell: Cell, index: int) -> dict[str, Any]:
    """One entry of a cell's evaluations."""
    entry: dict[str, Any] = cell.results["evaluations"][index]
    return entry


def best_score(members: Sequence[tuple[Cell, int]], last: dict[int, float]) -> float | None:
    """Mean over seeds of the best of probes and last.

    Probes ask for the first target, so only a cell's first evaluation has any.
    """
    best = []
    for cell, index in members:
        probes = [float(probe["mean_score"]) for probe in cell.results.get("probes", [])] if index == 0 else []
        if not probes:
            return None
        best.append(max(*probes, last[cell.seed]))
    return float(np.mean(best))


def trunk_word(cell: Cell) -> str:
    """What happened to the trunk in one cell: see `Row.trunk`."""
    trunk = cell.results["trunk"]
    if trunk["frozen"]:
        return "yes" if trunk["unchanged"] else "NO"
    if trunk["after"] is None:
        return "none"
    return "own" if trunk["pretrained"] is None or cell.mode == "pretrain" else "copy"


def combine(words: Sequence[str]) -> str:
    """One word for all seeds; a single changed trunk is not averaged away."""
    return "NO" if "NO" in words else "/".join(dict.fromkeys(words))
