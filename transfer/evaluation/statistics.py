"""Statistics of returns: mean per training seed, interquartile mean, bootstrap intervals.

Two levels vary: training runs (seeds) and the episodes each run plays. Episodes of one run are not independent runs,
so the bootstrap draws seeds first and then episodes inside each drawn seed.

Sources: Agarwal et al. 2021, "Deep Reinforcement Learning at the Edge of the Statistical Precipice", sections 4.2 and
4.3 (interquartile mean, percentile bootstrap intervals) and its library rliable (`metrics.aggregate_iqm`, which is
scipy's `trim_mean(x, 0.25)`); Davison and Hinkley 1997, "Bootstrap Methods and their Application", section 3.8
(resampling of nested data).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
    lengths = np.array([len(run) for run in runs])  # (S,)
    longest = int(lengths.max())
    padded = np.zeros((len(runs), longest))  # (S, n)
    for row, run in zip(padded, runs, strict=True):
        row[: len(run)] = run
    means = np.empty((replicates, len(runs)))
    # One column at a time: memory stays at R * n however many runs there are.
    for column in range(len(runs)):
        drawn = rng.integers(len(runs), size=replicates) if seeds is None else seeds[:, column]  # (R,)
        n = lengths[drawn][:, None]  # (R, 1)
        picks = (rng.random((replicates, longest)) * n).astype(np.int64)  # (R, n), each below its run's length
        values = padded[drawn[:, None], picks]  # (R, n)
        means[:, column] = np.where(np.arange(longest) < n, values, 0.0).sum(axis=1) / n[:, 0]
    return means


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
        resampled = bootstrap_run_means(runs, replicates, np.random.default_rng(seed))  # (R, S)
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
    rng = np.random.default_rng(0)
    seeds = rng.integers(len(first), size=(REPLICATES, len(first)))  # (R, S)
    apart = bootstrap_run_means(first, REPLICATES, rng, seeds) - bootstrap_run_means(second, REPLICATES, rng, seeds)
    each = np.array([mine.mean() - theirs.mean() for mine, theirs in zip(first, second, strict=True)])  # (S,)
    interval = _percentiles(apart.mean(axis=1))
    return Difference(len(each), float(each.mean()), interval, _sign_flips(each, rng))


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
