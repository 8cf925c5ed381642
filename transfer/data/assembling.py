"""Packed arrays from a user's own: copies, state vectors from Dict observations, episodes from end flags.

Letters: N steps altogether, E episodes, S state size, A action size, n numbers under one key of an observation.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from transfer.data.arrays import own
from transfer.data.environment.observations import Slices, flat, slices_of, to_state
from transfer.data.packed import offsets_from
from transfer.errors import TransferError


def own_states(states: ArrayLike | Mapping[str, ArrayLike], name: str) -> tuple[NDArray[np.float32], Slices]:
    """The state vectors (N, S) of observations (N, S) or {key: (N, n)}, and their slices.

    Raises:
        TransferError: no arrays of numbers, keys that are no text, or keys of other lengths.
    """
    if not isinstance(states, Mapping):
        vectors = own(states, f"{name}: states", ndim=2)
        return vectors, flat(vectors.shape[1])
    if not states or not all(isinstance(key, str) and key for key in states):
        raise TransferError(f"{name}: the keys of states must be text, one at least; got {list(states)[:5]}")
    # A difference of two float32 arrays is taken in float32, as it is in a rollout.
    keyed = {key: own(values, f"{name}: states['{key}']", 2, _precision(values)) for key, values in states.items()}
    lengths = {key: len(values) for key, values in keyed.items()}
    if len(set(lengths.values())) > 1:
        raise TransferError(f"{name}: the keys of states hold {lengths} steps; all must be equal")
    slices = slices_of({key: values.shape[1] for key, values in keyed.items()})
    return to_state(slices, keyed), slices


def _precision(values: object) -> type[np.floating[Any]]:
    return np.float32 if str(getattr(values, "dtype", "")).endswith("float32") else np.float64


def offsets_of(
    steps: int,
    lengths: ArrayLike | None,
    terminations: ArrayLike | None,
    truncations: ArrayLike | None,
    name: str,
) -> NDArray[np.int64]:
    """(E + 1,) first step of each episode, and N.

    Args:
        steps: N.
        lengths: (E,) steps of each episode.
        terminations: (N,) whether the task ended an episode after this step; the steps after the last flag are an
            episode too.
        truncations: (N,) whether an episode was cut after this step.
        name: of the data, for errors.

    Raises:
        TransferError: neither lengths nor flags, flags of another length, or lengths and flags that disagree.
    """
    flags = {"terminations": terminations, "truncations": truncations}
    given = {key: own(flag, f"{name}: {key}", 1, bool) for key, flag in flags.items() if flag is not None}
    for key, flag in given.items():
        if len(flag) != steps:
            raise TransferError(f"{name}: {len(flag)} {key} for {steps} steps; both must be equal")
    ends = np.flatnonzero(np.any(list(given.values()), axis=0)) + 1 if given else np.zeros(0, np.int64)
    if lengths is None:
        if not given:
            raise TransferError(f"{name}: give lengths=, or terminations= and truncations=, to tell episodes apart")
        return np.union1d([0, steps], ends).astype(np.int64) if steps else np.zeros(1, np.int64)
    try:
        counts = own(lengths, f"{name}: lengths", 1, np.int64)
    except TransferError as error:
        raise TransferError(f"{error}. End flags go into terminations= and truncations=.") from error
    if (total := sum(counts.tolist())) > np.iinfo(np.int64).max:
        raise TransferError(f"{name}: lengths add up to {total} steps, more than any memory holds")
    offsets = offsets_from(counts)
    inside = np.setdiff1d(ends, offsets)
    if len(inside):
        raise TransferError(
            f"{name}: an episode is marked as ended after step {int(inside[0]) - 1}, where lengths have no end. Give "
            "one of the two."
        )
    return offsets
