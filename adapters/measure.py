"""The `transfer.data.dataset_statistics.Statistics` of some episodes, measured a block of steps at a time.

Letters: N steps, E episodes, S state size, A action size.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from transfer.data.dataset_statistics import LONGEST, Statistics
from transfer.data.environment.spec import EnvironmentSpec
from transfer.data.episodes import Episodes
from transfer.errors import TransferError, check_type

logger = logging.getLogger(__name__)
Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]
QUANTILES = {"p25": 0.25, "p50": 0.5, "p75": 0.75, "p90": 0.9, "p95": 0.95, "max": 1.0}
BLOCK = 4 << 20  # bytes of data that are looked at together
CONSTANT = 1e-5  # share of a state number's size below which its deviation is rounding or noise
KNOTS = 101  # points of the mean return-to-go
# Bounds that are so many times as far as any action, and as 1, are none: scaled by them the data would be a small spot
# around zero. What a readout by regression learned in 250 steps was off by 2 % of half the data's range with bounds as
# far as the data, by 6 % with ten times that, 20 % with a hundred times, and by many times the range with a million.
WIDE = 10
BEYOND = 1e-5  # share of half the bounds' distance that is rounding


def measure(episodes: Episodes) -> Statistics:
    """Scales of states, actions and returns, and quantiles of the episode returns."""
    check_type(episodes, Episodes, "episodes")
    mean, std = _moments(episodes.states)
    least, most = (
        ends([ends(block, axis=0) for block in blocks(episodes.actions)], axis=0).astype(np.float64)
        for ends in (np.min, np.max)
    )
    low, high = bounds(episodes.env_spec, least, most)
    knots, every = expected_returns(episodes) if episodes.env_spec.reference.table == "dataset" else ((), 1.0)
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
    """Values (N, ...), a few megabytes of them at a time."""
    rows = max(1, BLOCK * len(values) // max(1, values.nbytes))
    for start in range(0, len(values), rows):
        yield values[start : start + rows]


def _moments(states: Float32) -> tuple[Float32, Float32]:
    """Mean and deviation (S,) of states (N, S), at least 1 where it is nothing beside the number's size.

    A number's size is its mean, or the deviation that the state's numbers typically have, if that is below 1: an angle
    beside pressures in pascal is no noise. A position 5,000 km from its origin deviates little beside that, but by more
    than 1: it keeps its deviation, or most states would be clipped.
    """
    total = np.add.reduce([block.sum(0, dtype=np.float64) for block in blocks(states)])
    mean = total / len(states)
    squares = np.add.reduce([np.square(block - mean).sum(0) for block in blocks(states)])
    std = np.sqrt(squares / len(states))
    typical = min(1.0, np.median(std[std > 0])) if (std > 0).any() else 0.0
    constant = std <= CONSTANT * np.maximum(abs(mean), typical)
    return mean.astype(np.float32), np.where(constant, np.maximum(std, 1.0), std).astype(np.float32)


def bounds(spec: EnvironmentSpec, least: Float64, most: Float64) -> tuple[Float32, Float32]:
    """Smallest and largest actions (A,): the environment's, and where it has none those of some data, (A,) each.

    Never beyond the environment's.
    """
    spec_low, spec_high = np.array(spec.action_low, np.float64), np.array(spec.action_high, np.float64)
    far = WIDE * np.maximum(1.0, np.maximum(abs(least), abs(most)))
    low, high = np.where(spec_low >= -far, spec_low, least), np.where(spec_high <= far, spec_high, most)
    # All data may lie beyond the one bound that there is: then there is nothing between the two.
    low, high = np.minimum(low, np.maximum(high, spec_low)), np.maximum(high, np.minimum(low, spec_high))
    return _rounded(low, up=True), _rounded(high, up=False)


def _rounded(bound: Float64, up: bool) -> Float32:
    """Bounds in float32, towards the inside."""
    near = bound.astype(np.float32)
    beyond = near < bound if up else near > bound
    return np.where(beyond, np.nextafter(near, np.float32(np.inf if up else -np.inf)), near)


def expected_returns(episodes: Episodes) -> tuple[tuple[float, ...], float]:
    """The mean return-to-go of the episodes that are not over, at `KNOTS` points of the longest, and their distance."""
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
    """Log how many of the data's numbers lie outside the bounds, and are clipped to them.

    Raises:
        TransferError: there are some, and `out_of_bounds` is "refuse".
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
    logger.warning("%s; they are clipped to them", said)
