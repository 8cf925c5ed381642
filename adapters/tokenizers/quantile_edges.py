"""Edges of quantile bins: bins of equal mass, and one bin for each value that holds more than that (an atom).

Letters in shapes: N values in the data, ascending.
"""

import numpy as np
import numpy.typing as npt

from transfer.adapters.tokenizers.tables import Float32, Int64


def quantile_edges(data: Float32, bins: int) -> Float32:
    """Inner edges of the atom-aware quantile bins of ascending values (N,). Every bin holds data."""
    starts, single = _blocks(data, bins)
    stops = np.append(starts[1:], len(data))
    shares = _shares(stops - starts, single, bins)
    edges = [_between(data[starts[1:] - 1], data[starts[1:]])]
    for block in np.flatnonzero(shares > 1):
        edges.append(quantiles(data[starts[block] : stops[block]], int(shares[block])))
    ordered = np.sort(np.concatenate(edges))
    below, keep = np.unique(np.searchsorted(data, ordered, side="left"), return_index=True)
    return ordered[keep[(below > 0) & (below < len(data))]]  # two edges with no value between them are one


def _blocks(data: Float32, bins: int) -> tuple[Int64, npt.NDArray[np.bool_]]:
    """First index of each block of ascending values (N,), and which blocks are atoms.

    A block is an atom, or the values between two atoms. Bins are intervals, so many atoms inside a continuous range can
    need more blocks than there are bins. Then the lightest atoms stop being atoms.
    """
    first, stop = _atoms(data, bins)
    while True:
        starts = np.unique(np.concatenate([[0], first, stop[stop < len(data)]]))
        if len(starts) <= bins:
            return starts, np.isin(starts, first)
        lightest = (stop - first).argmin()
        first, stop = np.delete(first, lightest), np.delete(stop, lightest)


def _atoms(data: Float32, bins: int) -> tuple[Int64, Int64]:
    """Starts and ends of the atoms of ascending values (N,). With at most `bins` distinct values each is an atom."""
    changes = data[1:] != data[:-1]
    if np.count_nonzero(changes) < bins:
        first = np.concatenate([[0], np.flatnonzero(changes) + 1])
        return first, np.append(first[1:], len(data))
    values = np.unique(data[:: len(data) // bins])  # an atom is longer than the stride, so the stride hits it
    first, stop = (np.searchsorted(data, values, side=side) for side in ("left", "right"))
    atoms = (stop - first) * bins > len(data)
    return first[atoms], stop[atoms]


def quantiles(data: Float32, parts: int) -> Float32:
    """Quantiles (parts - 1,) that divide ascending values (N,) into equal parts: `numpy.percentile` without copies."""
    place = (len(data) - 1) * (np.linspace(0, 100, parts + 1)[1:-1] / 100)
    before = place.astype(np.int64)
    low, high = data[before].astype(np.float64), data[np.minimum(before + 1, len(data) - 1)].astype(np.float64)
    share = place - before
    from_low, from_high = low + (high - low) * share, high - (high - low) * (1 - share)
    return np.where(share < 0.5, from_low, from_high).astype(np.float32)


def _shares(mass: Int64, single: npt.NDArray[np.bool_], bins: int) -> Int64:
    """Number of bins of each block: 1 for an atom. The others share the rest by mass, at least 1 each."""
    shares = np.ones(len(mass), np.int64)
    left = bins - len(mass)
    if single.all():
        return shares
    ideal = np.where(single, 0, mass) * left / mass[~single].sum()
    shares += ideal.astype(np.int64)
    missing = bins - shares.sum()
    shares[np.argsort(np.floor(ideal) - ideal, kind="stable")[:missing]] += 1  # largest remainder first
    return shares


def _between(low: Float32, high: Float32) -> Float32:
    """Float32 edges with low < edge <= high, half way between them where float32 has such a value."""
    middle = ((low.astype(np.float64) + high) / 2).astype(np.float32)
    return np.where(middle > low, middle, high)
