"""Measuring the episodes of a Minari file for the checks.

Letters: T steps of an episode, S state size, A action size. One episode is in memory at a time. Of each episode the
summary, the rewards, the first few states and, in a maze, the positions and goals are kept.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from transfer.data.environment.observations import Slices, to_state
from transfer.envs.minari.hdf5 import CheckedArrays
from transfer.errors import TransferError

Array = NDArray[Any]
FLAGS = ("terminations", "truncations")
OPENING = 5  # first steps of each episode that are kept
_LARGEST = float(np.finfo(np.float32).max)
_AT_BOUND = 1e-6  # of the bound, at least of 1


@dataclass(frozen=True)
class EpisodeLayout:
    """The arrays that every episode must have."""

    slices: Slices | None  # of the state vector, None if the observations are not supported
    shapes: Mapping[str, tuple[int, ...]]  # of one entry of each array, by path ("observations/goal")
    low: Array  # (A,) of the action space, empty if the actions are not supported
    high: Array  # (A,)


@dataclass(frozen=True)
class Measured:
    """The measurements of one episode."""

    name: str  # of its group in the file
    missing: tuple[str, ...]  # paths of required arrays that it lacks
    lengths: Mapping[str, int]  # entries of each array, by path
    shapes: Mapping[str, tuple[int, ...]]  # of one entry of each array, by path
    rewards: Array  # (T,) float64
    opening: Array  # (n, S) states after the first actions, n = `OPENING` or fewer
    way: Array | None  # (T + 1, 4) position and goal in a maze, None elsewhere
    low: Mapping[str, Array]  # smallest value of each column of "states" (S,) and "actions" (A,), if they can be read
    high: Mapping[str, Array]  # the largest
    unreal: Mapping[str, int]  # number of steps with a value that is not finite in float32, of each array with any
    ended: bool  # whether the last step is terminated or truncated
    early: int  # number of flags before the last step
    digest: bytes  # hash of states and actions, b"" if they cannot be read
    outside: int  # number of action values outside the space
    excess: float  # their largest distance to the space
    at_bound: int  # number of action values at a bound, or outside
    success: bool | None  # of the infos, None if they have none

    @property
    def steps(self) -> int:
        """T."""
        return len(self.rewards)


def distances(way: Array) -> Array:
    """Distances (T + 1,) from position to goal, of a way (T + 1, 4)."""
    return np.linalg.norm(way[:, :2] - way[:, 2:], axis=1)


def measure_episode(name: str, arrays: CheckedArrays, layout: EpisodeLayout) -> Measured:
    """Measures one episode of an open HDF5 file.

    Raises:
        TransferError: an array is in another file, or declared larger than what the file stores.
    """
    stored = _stored(name, arrays)
    sizes = {path: one.shape for path, one in stored.items()}
    values = {path: stored[path][()] for path in (*layout.shapes, *FLAGS) if path in stored}
    whole = {path: value for path, value in values.items() if value.shape[1:] == layout.shapes.get(path, ())}
    read = {"states": _states(whole, layout.slices), "actions": whole.get("actions")}
    tables: dict[str, Array] = {key: table for key, table in read.items() if table is not None}
    rewards = np.asarray(whole.get("rewards", ()), dtype=np.float64)
    flags = {key: whole[key] for key in FLAGS if key in whole}
    ends = [(flag != 0) & (flag == flag) for flag in flags.values()]  # NaN is not an end
    # The observation after the last action is in no training window, so its values are not checked.
    seen = {key: table[: len(rewards)] if key == "states" else table for key, table in tables.items()}
    return Measured(
        name=name,
        missing=tuple(path for path in layout.shapes if path not in stored),
        lengths={path: size[0] for path, size in sizes.items()},
        shapes={path: size[1:] for path, size in sizes.items()},
        rewards=rewards,
        opening=tables["states"][1 : OPENING + 1] if "states" in tables else np.zeros((0, 0)),
        way=_way(whole),
        **_columns(seen, rewards, flags),
        ended=any(bool(one[-1]) for one in ends if len(one)),
        early=sum(int(one[:-1].sum()) for one in ends),
        digest=_digest(tables.values()) if len(tables) == 2 else b"",
        **_bounds(tables.get("actions"), layout),
        success=_success(name, arrays),
    )


def _stored(name: str, arrays: CheckedArrays) -> dict[str, Any]:
    """The numeric arrays of an episode by path, without infos, not read yet."""
    found: dict[str, Any] = {}
    for key in ("observations", "actions", "rewards", *FLAGS):
        item, kinds = arrays.get(f"{name}/{key}"), "fiub" if key in FLAGS else "fiu"
        parts = {f"{key}/{part}": arrays.get(f"{name}/{key}/{part}") for part in getattr(item, "keys", list)()}
        for path, part in (parts or {key: item}).items():
            if part is not None and getattr(part, "shape", None) and part.dtype.kind in kinds:
                found[path] = part
    return found


def _states(values: Mapping[str, Array], slices: Slices | None) -> NDArray[np.float32] | None:
    """The state vectors (T + 1, S), None if the observations do not have the slices."""
    shown = {path.partition("/")[2]: values[path] for path in values if path.startswith("observations")}
    if slices is None or not shown or len({len(one) for one in shown.values()}) > 1:
        return None
    try:
        return to_state(slices, shown.get("", shown))
    except TransferError:
        return None


def _way(values: Mapping[str, Array]) -> Array | None:
    """Position and goal (T + 1, 4) if both are points in a plane."""
    paths = ("observations/achieved_goal", "observations/desired_goal")
    parts = [np.asarray(values[path], dtype=np.float64) for path in paths if path in values]
    if [one.shape[1:] for one in parts] != [(2,), (2,)] or len(parts[0]) != len(parts[1]):
        return None
    return np.concatenate(parts, axis=1)


def _columns(tables: Mapping[str, Array], rewards: Array, flags: Mapping[str, Array]) -> dict[str, Any]:
    """Extremes of each column, and the number of steps with a value that is not finite in float32."""
    filled = {key: table for key, table in {**tables, "rewards": rewards[:, None]}.items() if len(table)}
    low, high = ({key: extreme(table, axis=0) for key, table in filled.items()} for extreme in (np.min, np.max))
    fine = {key: (low[key] >= -_LARGEST) & (high[key] <= _LARGEST) for key in filled}  # False for NaN
    wrong = [key for key in filled if not fine[key].all()]
    unreal = {key: int((~(np.abs(filled[key]) <= _LARGEST)).any(axis=1).sum()) for key in wrong}
    ends = {key: int((~np.isfinite(flag)).sum()) for key, flag in flags.items() if flag.dtype.kind == "f"}
    return {"low": low, "high": high, "unreal": unreal | {key: count for key, count in ends.items() if count}}


def _bounds(actions: Array | None, layout: EpisodeLayout) -> dict[str, Any]:
    """Action values (T, A) outside and at the bounds of their space; unbounded columns are left out."""
    if actions is None or not len(actions):
        return {"outside": 0, "excess": 0.0, "at_bound": 0}
    bounded = np.isfinite(layout.low) & np.isfinite(layout.high)
    low, high = layout.low[bounded], layout.high[bounded]
    beyond = np.maximum(low - actions[:, bounded], actions[:, bounded] - high)  # (T, bounded)
    slack = _AT_BOUND * np.maximum(1.0, np.maximum(np.abs(low), np.abs(high)))
    excess = float(beyond.max(initial=0.0, where=np.isfinite(beyond)))
    return {"outside": int((beyond > slack).sum()), "excess": excess, "at_bound": int((beyond >= -slack).sum())}


def _digest(tables: Iterable[Array]) -> bytes:
    digest = hashlib.blake2b(digest_size=16)
    for table in tables:
        digest.update(str(table.shape).encode())
        digest.update(np.ascontiguousarray(table).data)
    return digest.digest()


def _success(name: str, arrays: CheckedArrays) -> bool | None:
    told = arrays.get(f"{name}/infos/success")
    known = getattr(told, "dtype", np.dtype("O")).kind in "fiub"
    return bool(np.any(told[()])) if known and told is not None else None
