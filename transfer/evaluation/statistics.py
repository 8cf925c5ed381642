"""Statistics of returns: mean per training seed, interquartile mean, bootstrap intervals.

Two levels vary: training runs (seeds) and the episodes each run plays. Episodes of one run are not independent runs,
so the bootstrap draws seeds first and then episodes inside each drawn seed.

Sources: Agarwal et al. 2021, "Deep Reinforcement Learning at the Edge of the Statistical Precipice", sections 4.2 and
4.3 (interquartile mean, percentile bootstrap intervals) and its library rliable (`metrics.aggregate_iqm`, which is
scipy's `trim_mean(x, 0.25)`); Davison and Hinkley 1997, "Bootstrap Methods and their Application", section 3.8
(resampling of nested data).
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from transfer.errors import TransferError

IQM_RUNS = 5
"""Least number of runs for an interquartile mean: with four, the middle half is two runs."""
CONFIDENCE = 0.95
"""Share of the bootstrap distribution inside an interval."""
REPLICATES = 2000
"""Bootstrap resamples."""
KEPT = 2**22
"""Most draws, of 8 bytes each, that are kept for the next rows of a report."""
Column = tuple[NDArray[np.int64], NDArray[np.int64]]
"""Draws of one run of each resampled experiment: its length (R,), and the places (R, n) of the episodes drawn."""


@dataclass(frozen=True)
class Summary:
    """Returns or scores of several training runs in a few numbers.

    Attributes:
        run_means: mean over the episodes of each run, in the order of the seeds.
        episodes: number of episodes in all.
        mean: mean of the run means, so that each run weighs the same.
        interval: bootstrap interval of `mean`; None for one run, which says nothing about other runs.
        iqm: interquartile mean of the run means; None below five runs.
        iqm_interval: bootstrap interval of `iqm`.
    """

    run_means: tuple[float, ...]
    episodes: int
    mean: float
    interval: tuple[float, float] | None
    iqm: float | None
    iqm_interval: tuple[float, float] | None

    @property
    def runs(self) -> int:
        """Number of training runs."""
        return len(self.run_means)


def iqm(values: ArrayLike) -> NDArray[np.float64]:
    """Interquartile means (...) of values (..., n): without floor(n / 4) values at either end, as in rliable."""
    ordered = np.sort(np.asarray(values, dtype=np.float64), axis=-1)
    n = ordered.shape[-1]
    return np.asarray(ordered[..., n // 4 : n - n // 4].mean(axis=-1))


def bootstrap_run_means(
    runs: Sequence[NDArray[np.float64]],
    replicates: int,
    rng: np.random.Generator,
    seeds: NDArray[np.int64] | None = None,
) -> NDArray[np.float64]:
    """Run means of resampled experiments: seeds with replacement, then episodes within each drawn seed.

    Args:
        runs: returns of each run, (n_i,) with n_i at least 1; the lengths may differ.
        replicates: R, resampled experiments.
        rng: source of every draw.
        seeds: (R, S), which runs each experiment draws; drawn here where not given.

    Returns:
        (R, S) for S runs.
    """
    return _means(runs, _draws(tuple(map(len, runs)), replicates, rng, seeds))


def _draws(
    lengths: tuple[int, ...], replicates: int, rng: np.random.Generator, seeds: NDArray[np.int64] | None
) -> Iterator[Column]:
    """The draws of `bootstrap_run_means`, a column of its result at a time: memory stays at R * n."""
    each, longest = np.array(lengths), max(lengths)  # (S,)
    for column in range(len(lengths)):
        drawn = rng.integers(len(lengths), size=replicates) if seeds is None else seeds[:, column]  # (R,)
        n = each[drawn][:, None]  # (R, 1)
        picks = (rng.random((replicates, longest)) * n).astype(np.int64)  # (R, n), each below its run's length
        places = drawn[:, None] * longest + picks
        yield n[:, 0], np.where(np.arange(longest) < n, places, len(lengths) * longest)


def _means(runs: Sequence[NDArray[np.float64]], draws: Iterable[Column]) -> NDArray[np.float64]:
    """The means (R, S) of what was drawn."""
    longest = max(map(len, runs))
    padded = np.zeros(len(runs) * longest + 1)  # of every run n, then the zero that shorter ones draw
    for number, run in enumerate(runs):
        padded[number * longest : number * longest + len(run)] = run
    return np.stack([padded.take(places).sum(axis=1) / n for n, places in draws], axis=1)


def _resampled(
    ways: Sequence[Sequence[NDArray[np.float64]]], replicates: int = REPLICATES, seed: int = 0
) -> list[NDArray[np.float64]]:
    """`bootstrap_run_means` (R, S) of each of several ways of training; they share the seeds that are drawn."""
    lengths = tuple(tuple(map(len, runs)) for runs in ways)
    few = replicates * sum(len(each) * max(each) for each in lengths) <= KEPT
    draws = _kept(lengths, replicates, seed) if few else _paired(lengths, replicates, seed)
    return [_means(runs, columns) for runs, columns in zip(ways, draws, strict=True)]


def _paired(lengths: tuple[tuple[int, ...], ...], replicates: int, seed: int) -> Iterator[Iterable[Column]]:
    """The draws of `_resampled`, which must be read in order: they come from one generator."""
    rng = np.random.default_rng(seed)
    seeds = None if len(lengths) == 1 else rng.integers(len(lengths[0]), size=(replicates, len(lengths[0])))  # (R, S)
    for each in lengths:
        yield _draws(each, replicates, rng, seeds)


@functools.lru_cache(maxsize=8)
def _kept(lengths: tuple[tuple[int, ...], ...], replicates: int, seed: int) -> tuple[tuple[Column, ...], ...]:
    """As `_paired`, kept: the rows of a report have equal lengths, and drawing takes longer than the means."""
    return tuple(tuple(columns) for columns in _paired(lengths, replicates, seed))


def summarise(
    returns_by_seed: Mapping[int, ArrayLike] | Sequence[ArrayLike], replicates: int = REPLICATES, seed: int = 0
) -> Summary:
    """Mean, interquartile mean and bootstrap intervals of the returns (or scores) of training runs.

    Args:
        returns_by_seed: returns of the episodes of each run, by training seed or in a fixed order.
        replicates: bootstrap resamples.
        seed: of the resampling; equal input and seed give equal output.

    Raises:
        TransferError: no run, a run without episodes, or a return that is not finite.
    """
    runs = _checked(returns_by_seed)
    means = np.array([run.mean() for run in runs])
    interval = iqm_interval = middle = None
    if len(runs) >= 2:
        (resampled,) = _resampled([runs], replicates, seed)  # (R, S)
        interval = _percentiles(resampled.mean(axis=1))
        if len(runs) >= IQM_RUNS:
            middle = float(iqm(means))
            iqm_interval = _percentiles(iqm(resampled))
    return Summary(
        run_means=tuple(means.tolist()),
        episodes=sum(len(run) for run in runs),
        mean=float(means.mean()),
        interval=interval,
        iqm=middle,
        iqm_interval=iqm_interval,
    )


@dataclass(frozen=True)
class Difference:
    """Difference of the returns or scores of two ways of training.

    Attributes:
        seeds: training seeds that both were run with.
        mean: over seeds, of the difference of their run means.
        interval: bootstrap interval of it; with few seeds too narrow.
        p: two-sided sign-flip test over seeds (Fisher 1935, "The Design of Experiments", chapter 3); n seeds cannot get
            below 2 ** (1 - n).
    """

    seeds: int
    mean: float
    interval: tuple[float, float]
    p: float


def difference(one: Mapping[int, ArrayLike], other: Mapping[int, ArrayLike]) -> Difference:
    """Compare two ways of training, seed by seed.

    Runs of one seed share what it decides (first weights, order of batches), so the bootstrap draws seeds in pairs,
    then the episodes of each run.

    Args:
        one: returns or scores of the episodes of each run, by training seed.
        other: those of the other way, of the same seeds.

    Raises:
        TransferError: other seeds, fewer than two, or what `summarise` raises.
    """
    if set(one) != set(other) or len(one) < 2:
        raise TransferError(f"a difference needs two seeds or more that both have, got {list(one)} and {list(other)}.")
    first, second = _checked(one), _checked(other)
    mine, theirs = _resampled([first, second])  # (R, S)
    each = np.array([a.mean() - b.mean() for a, b in zip(first, second, strict=True)])  # (S,)
    interval = _percentiles((mine - theirs).mean(axis=1))
    return Difference(len(each), float(each.mean()), interval, _sign_flips(each, np.random.default_rng(0)))


@dataclass(frozen=True)
class Ratio:
    """How far one way of training gets on the way from another to a third.

    Attributes:
        seeds: training seeds that all three were run with.
        gap: between the other two, mean over seeds.
        gap_interval: bootstrap interval of it.
        value: (one - low) / (high - low) of means over seeds; None where `gap_interval` holds 0 or lies below it.
        interval: bootstrap interval of `value`; None with it.
    """

    seeds: int
    gap: float
    gap_interval: tuple[float, float]
    value: float | None
    interval: tuple[float, float] | None


def ratio(one: Mapping[int, ArrayLike], low: Mapping[int, ArrayLike], high: Mapping[int, ArrayLike]) -> Ratio:
    """(one - low) / (high - low): 0 is as good as `low`, 1 as good as `high`.

    As in `difference`, the bootstrap draws seeds that the three share, then the episodes of each run. It is a ratio of
    means and no mean of ratios, which one seed with a small gap would decide.

    Args:
        one: returns or scores of the episodes of each run, by training seed.
        low: those of the way that is 0, of the same seeds.
        high: those of the way that is 1.

    Raises:
        TransferError: other seeds, fewer than two, or what `summarise` raises.
    """
    if not set(one) == set(low) == set(high) or len(one) < 2:
        raise TransferError(
            f"a ratio needs two seeds or more that all three have, got {list(one)}, {list(low)} and {list(high)}."
        )
    ways = [_checked(runs) for runs in (one, low, high)]
    mine, below, above = (means.mean(axis=1) for means in _resampled(ways))  # (R,)
    own, start, end = (float(np.mean([run.mean() for run in runs])) for runs in ways)
    gap_interval = _percentiles(above - below)
    if gap_interval[0] <= 0:
        return Ratio(len(one), end - start, gap_interval, None, None)
    apart, gaps = mine - below, above - below
    # A replicate without a gap is beyond every bound; with the gap's interval above 0, too few are to reach an end.
    values = np.where(gaps > 0, apart / np.where(gaps > 0, gaps, 1), np.copysign(np.inf, apart))
    tail = 50 * (1 - CONFIDENCE)
    bounds = (
        float(np.percentile(values, tail, method="higher")),
        float(np.percentile(values, 100 - tail, method="lower")),
    )
    return Ratio(len(one), end - start, gap_interval, (own - start) / (end - start), bounds)


def _sign_flips(differences: NDArray[np.float64], rng: np.random.Generator) -> float:
    """Share of sums with other signs (S,) that are as far from zero; all signs up to 16 seeds, some beyond."""
    count = len(differences)
    if count <= 16:
        signs = 1 - 2 * (np.arange(2**count)[:, None] >> np.arange(count) & 1)
    else:
        signs = rng.choice([-1, 1], size=(2**16, count))
    total = abs(differences.sum())
    return float(np.mean(abs(signs @ differences) >= total * (1 - 1e-9)))


def _checked(returns_by_seed: Mapping[int, ArrayLike] | Sequence[ArrayLike]) -> list[NDArray[np.float64]]:
    """The runs as float64 arrays (n_i,), in the order of their seeds."""
    named = returns_by_seed if isinstance(returns_by_seed, Mapping) else dict(enumerate(returns_by_seed))
    if not named:
        raise TransferError("no runs to summarise")
    runs = []
    for name, returns in sorted(named.items()):
        run = np.asarray(returns, dtype=np.float64).reshape(-1)
        if not len(run):
            raise TransferError(f"run {name} has no episodes")
        if not np.isfinite(run).all():
            raise TransferError(f"run {name} has a return that is not finite: {run[~np.isfinite(run)][0]}")
        runs.append(run)
    return runs


def _percentiles(values: NDArray[np.float64]) -> tuple[float, float]:
    """The central interval of a bootstrap distribution (R,)."""
    tail = 50 * (1 - CONFIDENCE)
    low, high = np.percentile(values, [tail, 100 - tail])
    return float(low), float(high)
