"""From cells to table rows: one row per run, mode, decoding and target return, over all training seeds."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from transfer.evaluation.statistics import Summary, summarise
from transfer.recipes.reports.tables.cell_results import CellResult, PlayedEpisodes
from transfer.recipes.settings.target_names import BY_CALIBRATION

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


def make_rows(cells: Sequence[CellResult]) -> list[Row]:
    """Rows in the order of the cells."""
    groups: dict[Key, list[tuple[CellResult, int]]] = {}
    succeeding = {cell.environment for cell in cells for one in cell.evaluations if one.success_rate is not None}
    for cell in cells:
        for index, played in enumerate(cell.evaluations):
            one = played.first
            if one.checkpoint == "last":
                # The same percentile of the same data: rounding only guards against a last-digit difference.
                target = one.target if one.target in BY_CALIBRATION else f"{one.target_return:.4f}"
                key = (cell.run, cell.environment, cell.mode, one.decode, target)
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


def make_row(key: Key, members: Sequence[tuple[CellResult, int]], succeeds: bool) -> Row:
    """One row from the cells of its seeds, each with the index of its evaluation.

    Args:
        key: of the row.
        members: its cells.
        succeeds: whether its environment is known to tell of success.
    """
    run, environment, mode, decode, target = key
    first, index = members[0]
    returns = {cell.seed: np.asarray(cell.evaluations[i].returns, dtype=np.float64) for cell, i in members}
    scores = {seed: np.asarray(first.reference.score(values)) for seed, values in returns.items()}
    summary = summarise(scores)
    last = dict(zip(sorted(scores), summary.run_means, strict=True))
    whole = [cell.line for cell, _ in members if not cell.line.resumed_at_step]
    seconds = [line.train_seconds for line in whole if line.train_seconds is not None]
    return Row(
        run=run,
        environment=environment,
        mode=mode,
        decode=decode,
        target=target,
        target_score=float(
            np.mean([cell.reference.score(cell.evaluations[i].first.target_return) for cell, i in members])
        ),
        seeds=tuple(sorted(scores)),
        success=mean_success([cell.evaluations[i] for cell, i in members]) if succeeds else None,
        score=summary,
        returns=summarise(returns),
        by_seed={seed: tuple(scores[seed].tolist()) for seed in sorted(scores)},
        best=None if target in BY_CALIBRATION else best_score(members, last),
        over_full=None,
        trained=first.line.parameters,
        share=float(first.line.share),
        train_seconds=float(np.mean(seconds)) if seconds else None,
        trunk=combine([trunk_word(cell) for cell, _ in members]),
    )


def mean_success(played: Sequence[PlayedEpisodes]) -> float:
    """Mean success rate over seeds; some environments tell of success only when there is one, so silence is none."""
    return float(np.mean([one.success_rate or 0.0 for one in played]))


def best_score(members: Sequence[tuple[CellResult, int]], last: dict[int, float]) -> float | None:
    """Mean over seeds of the best of probes and last.

    Probes ask for the first target, so only a cell's first evaluation has any.
    """
    best = []
    for cell, index in members:
        probes = cell.probe_scores if index == 0 else []
        if not probes:
            return None
        best.append(max(*probes, last[cell.seed]))
    return float(np.mean(best))


def trunk_word(cell: CellResult) -> str:
    """What happened to the trunk in one cell: see `Row.trunk`."""
    line = cell.line
    if line.frozen:
        return "yes" if line.trunk_unchanged else "NO"
    if line.trunk_after is None:
        return "none"
    return "own" if line.trunk_pretrained is None or cell.mode == "pretrain" else "copy"


def combine(words: Sequence[str]) -> str:
    """One word for all seeds; a single changed trunk is not averaged away."""
    return "NO" if "NO" in words else "/".join(dict.fromkeys(words))
