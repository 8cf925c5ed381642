"""Rows of a report, one per run, mode, decoding and target return over all training seeds, and their differences."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from transfer.evaluation.statistics import Difference, Summary, difference, summarise
from transfer.recipes.reports.tables.cell_results import CellResult, PlayedEpisodes
from transfer.recipes.reports.tables.result_lines import CellLine, named_part
from transfer.recipes.runs.cells import is_pretraining
from transfer.recipes.settings.target_names import BY_CALIBRATION

Key = tuple[str, str, str, str, str, str]
"""Run, environment, mode, decoding, target and what else was asked for, of a row."""
Members = Sequence[tuple[CellResult, PlayedEpisodes]]
"""The cells of a row, one for each seed, each with the evaluation that belongs to the row."""
CONTROLS = (
    "random-trunk:{}",
    "scaled-random-trunk:{}",
    "shuffled-trunk:{}",
    "full",
    "scratch-adapt",
    "scratch-total",
    "mlp",
    "mlp-history",
)
LEAST = 3  # seeds that both modes have


@dataclass(frozen=True)
class Row:
    """The results of one mode.

    Attributes:
        target: the raw target return, as text, or "best" or "calibrated": the best one of each seed's calibration;
            "" for none.
        asked: what else was asked for, in words.
        target_score: score of the target return, mean over seeds where each was calibrated; None without one.
        success: share of episodes that succeeded, mean over seeds; None where the environment does not report it.
        score, returns: over seeds and episodes, last checkpoint.
        by_seed: score of every episode, by training seed in order, as in `score.run_means`.
        best: mean over seeds of the best probe or last score; None without probes, and where the target was calibrated
            after them.
        over_full: score divided by that of mode `full`, over the seeds that both have: runs differ too much to compare
            others. None where there are none, or when the score of `full` is not positive.
        held_out: mean held-out error over seeds; None where none was measured.
        trained, share: trained parameters, and their share of the model (0..1).
        train_seconds: mean over seeds that were trained in one go; None without timings.
        trunk: `yes` unchanged, `NO` changed although frozen, `copy` trained on a copy, `own` trained from random
            weights, `none`.
        source: names of the sources whose adapters it took something over from; "" for none.
    """

    run: str
    environment: str
    mode: str
    decode: str
    target: str
    asked: str
    target_score: float | None
    success: float | None
    score: Summary
    returns: Summary
    by_seed: dict[int, tuple[float, ...]]
    best: float | None
    over_full: float | None
    held_out: float | None
    trained: int
    share: float
    train_seconds: float | None
    trunk: str
    source: str = ""

    @property
    def calibrated(self) -> bool:
        """Whether the target of each seed is the best one of its calibration."""
        return self.target in BY_CALIBRATION

    @property
    def on_pretrained(self) -> bool:
        """Whether its mode freezes the pretrained trunk, which may have changed all the same."""
        return self.trunk in ("yes", "NO") and ":" not in self.mode

    @property
    def key(self) -> Key:
        """What tells it from others."""
        return self.run, self.environment, self.mode, self.decode, self.target, self.asked

    @property
    def episode_scores(self) -> tuple[float, ...]:
        """Of all seeds."""
        return tuple(score for scores in self.by_seed.values() for score in scores)


def make_rows(cells: Sequence[CellResult]) -> list[Row]:
    """Rows in the order of the cells."""
    groups: dict[Key, list[tuple[CellResult, PlayedEpisodes]]] = {}
    succeeding = {cell.line.environment for cell in cells for one in cell.evaluations if one.success_rate is not None}
    for cell in cells:
        for played in cell.evaluations:
            one = played.first
            if one.checkpoint == "last":
                # The same percentile of the same data: rounding only guards against a last-digit difference.
                raw = "" if one.target_return is None else f"{one.target_return:.4f}"
                target = one.target if one.target in BY_CALIBRATION else raw
                # What the method derives of a calibration differs by seed, as the target does.
                asked = named_part(one.asked) if target in BY_CALIBRATION else one.asked
                key = (one.run, cell.line.environment, one.mode, one.decode, target, asked)
                groups.setdefault(key, []).append((cell, played))
    rows = {key: make_row(key, members, key[1] in succeeding) for key, members in groups.items()}
    full = {key: None if is_pretraining(row.mode) else rows.get(with_mode(key, "full")) for key, row in rows.items()}
    return [replace(row, over_full=ratio(row, full[key])) for key, row in rows.items()]


def with_mode(key: Key, mode: str) -> Key:
    """The key of another mode under the same conditions."""
    return (*key[:2], mode, *key[3:])


def ratio(row: Row, full: Row | None) -> float | None:
    """Score over the score of `full` on the seeds of both; None where no seed is shared or `full` scores nothing."""
    shared = shared_seeds(row, full) if full is not None else []
    if full is None or not shared:
        return None
    mine, theirs = (np.mean([np.mean(one.by_seed[seed]) for seed in shared]) for one in (row, full))
    return float(mine / theirs) if theirs > 0 else None


def shared_seeds(one: Row, other: Row) -> list[int]:
    """Training seeds of both."""
    return sorted(set(one.by_seed) & set(other.by_seed))


def paired_difference(one: Row, other: Row) -> Difference:
    """A row less another, on the training seeds of both. Raises TransferError for fewer than two."""
    mine, theirs = ({seed: row.by_seed[seed] for seed in shared_seeds(one, other)} for row in (one, other))
    return difference(mine, theirs)


def make_row(key: Key, members: Members, succeeds: bool) -> Row:
    """One row from the cells of its seeds; `succeeds`: whether its environment is known to report success."""
    first = members[0][0]
    returns = {cell.line.seed: np.asarray(played.returns, dtype=np.float64) for cell, played in members}
    scores = {seed: np.asarray(first.reference.score(values)) for seed, values in returns.items()}
    summary = summarise(scores)
    asked = [
        float(cell.reference.score(one.first.target_return))
        for cell, one in members
        if one.first.target_return is not None
    ]
    errors = [cell.line.held_out_loss for cell, _ in members if cell.line.held_out_loss is not None]
    # Some environments report success only when an episode succeeds: a seed without it has none.
    rates = [played.success_rate or 0.0 for _, played in members]
    whole = [cell.line.train_seconds for cell, _ in members if not cell.line.resumed_at_step]
    seconds = [one for one in whole if one is not None]
    last = dict(zip(sorted(scores), summary.run_means, strict=True))
    return Row(
        *key,
        target_score=float(np.mean(asked)) if asked else None,
        held_out=float(np.mean(errors)) if errors else None,
        success=float(np.mean(rates)) if succeeds else None,
        score=summary,
        returns=summarise(returns),
        by_seed={seed: tuple(scores[seed].tolist()) for seed in sorted(scores)},
        best=None if key[4] in BY_CALIBRATION else best_score(members, last),
        over_full=None,
        trained=first.line.parameters,
        share=float(first.line.share),
        train_seconds=float(np.mean(seconds)) if seconds else None,
        trunk=combine([trunk_word(cell.line) for cell, _ in members]),
        source="/".join(dict.fromkeys(cell.line.source for cell, _ in members if cell.line.source)),
    )


def best_score(members: Members, last: dict[int, float]) -> float | None:
    """Mean over seeds of the best of probes and last.

    The target of the probes is the first one, so only a cell's first evaluation has any.
    """
    best = []
    for cell, played in members:
        if not cell.probe_scores or played is not cell.evaluations[0]:
            return None
        best.append(max(*cell.probe_scores, last[cell.line.seed]))
    return float(np.mean(best))


def trunk_word(line: CellLine) -> str:
    """The state of the trunk in one cell: see `Row.trunk`."""
    if line.frozen:
        return "yes" if line.trunk_unchanged else "NO"
    if line.trunk_after is None:
        return "none"
    return "own" if line.trunk_pretrained is None or is_pretraining(line.mode) else "copy"


def combine(words: Sequence[str]) -> str:
    """One word for all seeds; a single changed trunk is not averaged away."""
    return "NO" if "NO" in words else "/".join(dict.fromkeys(words))


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
    for row in [row for row in rows if row.on_pretrained and row.trunk == "yes"]:
        keys = [with_mode(row.key, control.format(row.mode)) for control in CONTROLS]
        for other in [known[key] for key in keys if key in known]:
            if len(shared_seeds(row, other)) >= LEAST:
                found.append(Pair(row, other, paired_difference(row, other)))
    return found
