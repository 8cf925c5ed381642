"""The four arrays of episodes: copied from a user's own, checked, and summed.

Letters: N steps, E episodes, T steps of one of them, S state size, A action size, n numbers under one key.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from transfer.data.arrays import own
from transfer.data.environment.observations import Slices, flat, slices_of, to_state
from transfer.errors import TransferError
from transfer.numbers import seen

STEPS = ("states", "actions", "rewards")
ARRAYS = {"states": np.float32, "actions": np.float32, "rewards": np.float32, "offsets": np.int64}
OF_THE_WHOLE = ("returns_to_go", "times", "steps_left")  # what a step of a stretch has of its whole episode
NDIMS = {"states": 2, "actions": 2, "rewards": 1, "offsets": 1}
_LARGEST = float(np.finfo(np.float32).max)
_BLOCK = 1 << 20  # numbers that are summed at once


def content_hash(arrays: Mapping[str, NDArray[Any]], of: str = "") -> str:
    """Sha256 over name, dtype, shape and bytes of states, actions, rewards and offsets, and `of`, another hash."""
    digest = hashlib.sha256()
    for key in ARRAYS:
        array = np.ascontiguousarray(arrays[key])
        digest.update(json.dumps([key, array.dtype.str, array.shape]).encode())
        digest.update(array.data)
    digest.update(of.encode())
    return digest.hexdigest()


def own_states(states: ArrayLike | Mapping[str, ArrayLike], name: str) -> tuple[NDArray[np.float32], Slices]:
    """The state vectors (N, S) of observations (N, S) or {key: (N, n)}, and their slices."""
    if not isinstance(states, Mapping):
        vectors = own(states, f"{name}: states", ndim=2)
        return vectors, flat(vectors.shape[1])
    if not states or not all(isinstance(key, str) and key for key in states):
        raise TransferError(f"{name}: the keys of states must be text, one at least; got {list(states)[:5]}")
    keyed = {}
    for key, values in states.items():
        # A difference of two float32 arrays is taken in float32, as it is in a rollout.
        single = str(getattr(values, "dtype", "")).endswith("float32")
        keyed[key] = own(values, f"{name}: states['{key}']", 2, np.float32 if single else np.float64)
    lengths = {key: len(values) for key, values in keyed.items()}
    if len(set(lengths.values())) > 1:
        raise TransferError(f"{name}: the keys of states hold {lengths} steps; all must be equal")
    slices = slices_of({key: values.shape[1] for key, values in keyed.items()})
    return to_state(slices, keyed), slices


def own_arrays(
    states: ArrayLike | Mapping[str, ArrayLike],
    actions: ArrayLike,
    rewards: ArrayLike,
    lengths: ArrayLike | None,
    flags: Mapping[str, ArrayLike | None],
    name: str,
) -> tuple[dict[str, NDArray[Any]], Slices]:
    """The four arrays, copied from a user's and checked, and the slices of the state: see `Episodes.from_arrays`."""
    checked_ids((name,))
    vectors, slices = own_states(states, name)
    arrays = {
        "states": vectors,
        "actions": own(actions, f"{name}: actions", 2),
        "rewards": own(rewards, f"{name}: rewards", 1),
    }
    arrays["offsets"] = offsets_of(len(arrays["rewards"]), lengths, flags, name)
    check_arrays(arrays, name)
    check_finite(arrays, name)
    check_returns(arrays["rewards"], arrays["offsets"], name)
    return arrays, slices


def offsets_of(
    steps: int, lengths: ArrayLike | None, flags: Mapping[str, ArrayLike | None], name: str
) -> NDArray[np.int64]:
    """(E + 1,) first step of each episode, and N, from lengths (E,), end flags (N,) by their names, or both."""
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


def offsets_from(lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    """(E + 1,) first step of each episode and N, from the lengths (E,)."""
    return np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)


def joined(parts: Sequence[Any]) -> dict[str, NDArray[Any]]:
    """The four arrays of several episodes, one after another."""
    arrays = {key: np.concatenate([getattr(part, key) for part in parts]) for key in STEPS}
    return {**arrays, "offsets": offsets_from(np.concatenate([part.lengths for part in parts]))}


def episode_returns(rewards: NDArray[np.float32], offsets: NDArray[np.int64]) -> NDArray[np.float64]:
    """(E,) sums of the rewards (N,) between the offsets (E + 1,), added up in float64."""
    return np.add.reduceat(rewards, offsets[:-1], dtype=np.float64)


def returns_to_go(rewards: NDArray[np.float32], offsets: NDArray[np.int64]) -> NDArray[np.float32]:
    """(N,) undiscounted sum of the rewards (N,) from each step to the end of its episode.

    Each episode is summed by itself, from its end, in float64: no reward reaches another episode, and a million small
    rewards lose no precision that float32 shows. Episodes of equal lengths are summed together.
    """
    sums = np.empty(len(rewards), dtype=np.float32)
    lengths = np.diff(offsets)
    for length in np.unique(lengths).tolist():
        starts = offsets[:-1][lengths == length]
        count = max(1, _BLOCK // length)
        for first in range(0, len(starts), count):
            steps = starts[first : first + count, None] + np.arange(length)  # (E', T)
            backwards = rewards[steps[:, ::-1]].astype(np.float64)
            sums[steps] = np.cumsum(backwards, axis=1)[:, ::-1]
    return sums


def check_arrays(arrays: Mapping[str, NDArray[Any]], name: str) -> None:
    """Raises TransferError, with the name of the dataset, unless the four arrays fit together."""
    states, actions, rewards, offsets = (arrays[key] for key in ARRAYS)
    for key, dtype in ARRAYS.items():
        if arrays[key].ndim != NDIMS[key] or arrays[key].dtype != dtype:
            got = f"{arrays[key].ndim}-d {arrays[key].dtype}"
            raise TransferError(f"{name}: {key} must be {NDIMS[key]}-d {np.dtype(dtype)}, got {got}")
    if len(offsets) < 2:
        raise TransferError(f"{name}: no episode in it; at least one is needed")
    lengths = np.diff(offsets)
    if lengths.min() <= 0:
        raise TransferError(
            f"{name}: episode {int(lengths.argmin())} has {int(lengths.min())} steps; each needs at least one"
        )
    if offsets[0] != 0 or not len(states) == len(actions) == len(rewards) == offsets[-1]:
        raise TransferError(
            f"{name}: {len(states)} states, {len(actions)} actions and {len(rewards)} rewards for episodes of "
            f"{int(offsets[-1])} steps altogether; all four must be equal"
            + ("; leave out the last observation of each episode" if len(states) > len(actions) else "")
        )
    if 0 in (states.shape[1], actions.shape[1]):
        raise TransferError(f"{name}: states and actions need a size, got shapes {states.shape} and {actions.shape}")


def first_not_finite(values: NDArray[Any]) -> int | None:
    """The first step of an array (N, ...) with a NaN or an infinity, None if all are finite."""
    finite = np.isfinite(values)
    return None if finite.all() else int(np.argmin(finite.reshape(len(finite), -1).all(axis=1)))


def check_finite(arrays: Mapping[str, NDArray[Any]], name: str) -> None:
    """Raises TransferError, with dataset, array and episode, if a number is NaN or infinite."""
    for key in STEPS:
        step = first_not_finite(arrays[key])
        if step is not None:
            episode = int(np.searchsorted(arrays["offsets"], step, side="right")) - 1
            raise TransferError(
                f"{name}: {key} of episode {episode}, step {step - int(arrays['offsets'][episode])}, are not finite: "
                f"{arrays[key][step]}. Remove or repair that episode."
            )


def check_returns(rewards: NDArray[np.float32], offsets: NDArray[np.int64], name: str) -> None:
    """Raises TransferError, with the name of the dataset, if the rewards (N,) of an episode exceed float32 in sum."""
    longest = int(np.diff(offsets).max())
    largest = max(float(rewards.max()), -float(rewards.min()))
    if largest * longest <= _LARGEST:
        return
    with np.errstate(over="ignore"):
        step = first_not_finite(returns_to_go(rewards, offsets))
    if step is not None:
        episode = int(np.searchsorted(offsets, step, side="right")) - 1
        raise TransferError(
            f"{name}: the rewards of episode {episode} add up to more than float32 holds ({_LARGEST:.3g}); the largest "
            f"one is {largest:.3g}. Scale the rewards, or repair that episode."
        )


def numbers(starts: NDArray[np.int64], stops: NDArray[np.int64]) -> NDArray[np.int64]:
    """The numbers from each start to before its stop, one range after another."""
    lengths = stops - starts
    return np.repeat(starts - (np.cumsum(lengths) - lengths), lengths) + np.arange(lengths.sum())


def checked_ids(ids: Any) -> tuple[str, ...]:
    """The names of datasets. Raises TransferError unless there is one or more, each a text that is not empty."""
    if not isinstance(ids, list | tuple) or not ids or not all(isinstance(one, str) and one.strip() for one in ids):
        raise TransferError(f"the name of a dataset must be text, got {seen(ids)}")
    return tuple(ids)
