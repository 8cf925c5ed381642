"""Measuring the `transfer.data.measured.dataset_statistics.Statistics` of some episodes, a block of steps at a time.

Letters: N steps, E episodes, S state size, A action size.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from transfer.data.environment.spec import EnvironmentSpec
from transfer.data.episodes import Episodes
from transfer.data.measured.dataset_statistics import LONGEST, Statistics
from transfer.errors import TransferError, check_type

logger = logging.getLogger(__name__)
Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]
QUANTILES = {"p25": 0.25, "p50": 0.5, "p75": 0.75, "p90": 0.9, "p95": 0.95, "max": 1.0}
BLOCK = 4 << 20  # bytes of data in one block
CONSTANT = 1e-5  # a deviation below this share of a state dimension's size is rounding or noise
KNOTS = 101  # points of the mean return-to-go
# Bounds further out than WIDE times every action, and than WIDE, count as none: scaled by them, the data would be a
# small spot around zero. The error of a regression readout after 250 steps, as a share of half the data's range, was 2
# % with bounds at the data, 6 % at ten times the data, 20 % at a hundred times, and many times the range at a million
# times.
WIDE = 10
BEYOND = 1e-5  # share of half the distance between the bounds that counts as rounding


def measure(episodes: Episodes) -> Statistics:
    """Measures the scales of states, actions and returns, and the quantiles of the episode returns."""
    check_type(episodes, Episodes, "episodes")
    mean, std = _moments(episodes.states)
    least, most = (
        ends([ends(block, axis=0) for block in blocks(episodes.actions)], axis=0).astype(np.float64)
        for ends in (np.min, np.max)
    )
    low, high = bounds(episodes.env_spec, least, most)
    knots, every = expected_returns(episodes.whole) if episodes.env_spec.reference.table == "dataset" else ((), 1.0)
    return Statistics(
        state_mean=tuple(mean.tolist()),
        state_std=tuple(std.tolist()),
        action_low=tuple(low.tolist()),
        action_high=tuple(high.tolist()),
        return_span=episodes.env_spec.reference.span,
        return_means=knots,
        return_every=every,
        return_quantiles={name: episodes.quantile(q) for name, q in QUANTILES.items()},
    )


def blocks(values: Float32) -> Iterator[Float32]:
    """Yields values (N, ...) in blocks of a few megabytes."""
    steps = max(1, BLOCK * len(values) // max(1, values.nbytes))
    for start in range(0, len(values), steps):
        yield values[start : start + steps]


def _moments(states: Float32) -> tuple[Float32, Float32]:
    """Mean and deviation (S,) of states (N, S). The deviation of a constant dimension is at least 1.

    A dimension is constant if its deviation is tiny beside its mean or beside the median deviation of all dimensions.
    The median counts as 1 at most: an angle beside pressures in pascal is not noise. A position 5,000 km from its
    origin also deviates little beside its mean, but by more than 1, and keeps its deviation. Otherwise most states
    would be clipped.
    """
    total = np.add.reduce([block.sum(0, dtype=np.float64) for block in blocks(states)])
    mean = total / len(states)
    squares = np.add.reduce([np.square(block - mean).sum(0) for block in blocks(states)])
    std = np.sqrt(squares / len(states))
    typical = min(1.0, np.median(std[std > 0])) if (std > 0).any() else 0.0
    constant = std <= CONSTANT * np.maximum(abs(mean), typical)
    return mean.astype(np.float32), np.where(constant, np.maximum(std, 1.0), std).astype(np.float32)


def bounds(spec: EnvironmentSpec, least: Float64, most: Float64) -> tuple[Float32, Float32]:
    """Smallest and largest actions (A,): the environment's bounds, or where it has none, those of the data, (A,) each.

    The result never lies outside the environment's bounds.
    """
    spec_low, spec_high = np.array(spec.action_low, np.float64), np.array(spec.action_high, np.float64)
    far = WIDE * np.maximum(1.0, np.maximum(abs(least), abs(most)))
    low, high = np.where(spec_low >= -far, spec_low, least), np.where(spec_high <= far, spec_high, most)
    # If all data lie beyond a one-sided bound, both limits are that bound.
    low, high = np.minimum(low, np.maximum(high, spec_low)), np.maximum(high, np.minimum(low, spec_high))
    return _rounded(low, up=True), _rounded(high, up=False)


def _rounded(bound: Float64, up: bool) -> Float32:
    """Bounds in float32, rounded towards the inside."""
    near = bound.astype(np.float32)
    beyond = near < bound if up else near > bound
    return np.where(beyond, np.nextafter(near, np.float32(np.inf if up else -np.inf)), near)


def expected_returns(episodes: Episodes) -> tuple[tuple[float, ...], float]:
    """Mean return to go of the episodes still running, at `KNOTS` steps of the longest one, and the knots' distance."""
    longest = min(int(episodes.lengths.max()), LONGEST)
    total, count = np.zeros(longest), np.zeros(longest)
    for start, stop in zip(episodes.offsets[:-1], episodes.offsets[1:], strict=True):
        steps = min(stop - start, longest)
        total[:steps] += episodes.returns_to_go[start : start + steps]
        count[:steps] += 1
    every = max(longest - 1, 1) / (KNOTS - 1)
    means = np.interp(np.arange(KNOTS) * every, np.arange(longest), total / count)
    return tuple(means.astype(np.float32).tolist()), every


def check_bounds(episodes: Episodes, statistics: Statistics, out_of_bounds: str) -> None:
    """Logs how many action values lie outside the bounds and will be clipped.

    Raises:
        TransferError: there are some and `out_of_bounds` is "refuse".
    """
    low, high = np.array(statistics.action_low), np.array(statistics.action_high)
    slack = BEYOND * np.where(high > low, (high - low) / 2, 1)
    outside, farthest = 0, 0.0
    for block in blocks(episodes.actions):
        beyond = block[(block < low - slack) | (block > high + slack)]
        outside += beyond.size
        farthest = max(farthest, float(beyond[abs(beyond).argmax()]) if beyond.size else 0.0, key=abs)
    if not outside:
        return
    said = (
        f"{', '.join(episodes.dataset_ids)}: {outside:,} of {episodes.actions.size:,} action numbers lie outside the "
        f"bounds of '{episodes.env_spec.name}', the farthest is {farthest:g}"
    )
    if out_of_bounds == "refuse":
        raise TransferError(f"{said}. Repair the data, or set adapter.out_of_bounds to 'clip'.")
    logger.warning("%s; they are clipped", said)
