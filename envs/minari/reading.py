"""Reading Minari's HDF5 files in blocks of steps: neither a dataset nor a long episode is in memory as a whole.

Letters: E episodes, S state size, A action size, T steps of an episode.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from transfer.data.environment.spec import EnvironmentSpec
from transfer.data.packed import first_not_finite
from transfer.envs.minari.hdf5 import CheckedArrays, again, episode_names, opened
from transfer.errors import TransferError, unknown

Packed = dict[str, NDArray[np.float32]]
_BLOCK = 1 << 25  # bytes of observations in one block


@dataclass(frozen=True)
class Source:
    """One dataset whose shapes were checked and whose values are not read yet."""

    dataset_id: str
    file: Path  # HDF5
    spec: EnvironmentSpec  # sizes, slices and Gymnasium spec; the scale of an unknown environment is measured later
    lengths: dict[str, int]  # steps of each episode "episode_<i>", in order


def scan(dataset_id: str, file: Path, spec: EnvironmentSpec, indices: tuple[int, ...] | None = None) -> Source:
    """Checks the shapes of every episode.

    For each episode Minari stores T + 1 observations and T actions, rewards and flags. Dict observations are a group of
    arrays.

    Args:
        dataset_id: Minari id.
        file: the HDF5 file.
        spec: sizes and slices that every episode must have.
        indices: numbers of the chosen episodes, in order; default: all.

    Raises:
        TransferError: the file is damaged, has no episodes, or an episode does not match `spec`.
    """
    with opened(dataset_id, file) as groups:
        arrays, (names, odd) = CheckedArrays(groups, file), episode_names(groups)
        where = f"dataset '{dataset_id}', {{}} of {file}"
        if odd:
            raise TransferError(f"{where.format(odd[0])} is no episode; they are called episode_0, episode_1 and so on")
        if not names:
            raise TransferError(f"dataset '{dataset_id}' has no episodes in {file}. {again(dataset_id)}")
        chosen = names if indices is None else [f"episode_{index}" for index in indices]
        for name in chosen:
            if name not in groups:
                raise unknown(f"episode in dataset '{dataset_id}'", name, names[:20])
        return Source(
            dataset_id, file, spec, {name: _length(arrays, name, where.format(name), spec) for name in chosen}
        )


def blocks_of(source: Source) -> Iterator[Packed]:
    """Yields the steps in order, as {"states": (n, S), "actions": (n, A), "rewards": (n,)} of n steps of one episode.

    All arrays are float32. Infos are not read.

    Raises:
        TransferError: a value is not finite, or the file cannot be read to its end.
    """
    most = max(1, _BLOCK // (8 * source.spec.state_size))
    paths = (*_observation_sizes(source.spec), "actions", "rewards")
    with opened(source.dataset_id, source.file) as groups:
        arrays = CheckedArrays(groups, source.file)
        for index, (name, steps) in enumerate(source.lengths.items()):
            found = {path: arrays.get(f"{name}/{path}") for path in paths}
            for start in range(0, steps, most):
                block = _read(found, source.spec, slice(start, min(start + most, steps)))
                for key, values in block.items():
                    _check_finite(values, f"{source.dataset_id}: {key} of episode {index}", start)
                yield block


def check_file(path: Path, dataset_id: str) -> None:
    """Raises TransferError, with the command that gets the dataset again, if the data file is missing."""
    if not path.is_file():
        raise TransferError(
            f"dataset '{dataset_id}' lacks its data file {path} (only Minari's hdf5 format is read). "
            f"{again(dataset_id)}"
        )


def _length(arrays: CheckedArrays, name: str, where: str, spec: EnvironmentSpec) -> int:
    """Returns T of one episode. Raises TransferError unless its arrays match each other and the spec."""
    _check_keys(arrays, name, where, spec)
    sizes = _observation_sizes(spec)
    found = {path: _numbers(arrays, name, path, where) for path in (*sizes, "actions", "rewards")}
    for path, size in {**sizes, "actions": spec.action_size}.items():
        shape = found[path].shape
        if len(shape) != 2 or shape[1] != size:
            raise TransferError(f"{where}: {path} has shape {shape}; (steps, {size}) wanted, only flat vectors")
    steps = int(found["actions"].shape[0])
    wanted = {**dict.fromkeys(sizes, steps + 1), "actions": steps, "rewards": steps}
    if found["rewards"].ndim != 1 or any(len(found[path]) != count for path, count in wanted.items()):
        counts = ", ".join(f"{found[path].shape[0] if found[path].shape else 'no'} {path}" for path in wanted)
        raise TransferError(f"{where} has {counts}; wanted T+1, T, T")
    if not steps:
        raise TransferError(f"{where} has no steps; every episode needs one. Remove it from the dataset")
    return steps


def _numbers(arrays: CheckedArrays, name: str, path: str, where: str) -> Any:
    """Returns the array at a path of an episode. Raises TransferError unless it holds real numbers."""
    array = arrays.get(f"{name}/{path}")
    dtype = getattr(array, "dtype", None)
    if dtype is None or not hasattr(array, "ndim"):
        raise TransferError(f"{where}: {path} is no array")
    if dtype.kind not in "fiu":
        raise TransferError(f"{where}: {path} hold {dtype}, real numbers wanted")
    return array


def _check_keys(arrays: CheckedArrays, name: str, where: str, spec: EnvironmentSpec) -> None:
    """Raises TransferError unless an episode has its arrays, and observations with the keys of the spec."""
    have = arrays.keys(name)
    missing = [key for key in ("observations", "actions", "rewards") if key not in have]
    if missing:
        raise TransferError(f"{where} lacks {', '.join(missing)}")
    stored = arrays.get(f"{name}/observations")
    keys = set(stored.keys()) if stored is not None and hasattr(stored, "keys") else {""}
    if {f"observations/{key}".rstrip("/") for key in keys} != set(_observation_sizes(spec)):
        kind = f"Dict observations with {', '.join(sorted(keys)) or 'no keys'}" if keys != {""} else "flat observations"
        raise TransferError(
            f"{where} has {kind}, its environment {spec.gym_id} others; only flat vectors and Dicts of such are read"
        )


def _observation_sizes(spec: EnvironmentSpec) -> dict[str, int]:
    """Sizes of the observations by path: of one array, or of one under each key."""
    keys = {one.key: one.size for one in spec.slices} | {one.minus: one.size for one in spec.slices if one.minus}
    return {f"observations/{key}".rstrip("/"): size for key, size in keys.items()}


def _read(arrays: Mapping[str, Any], spec: EnvironmentSpec, steps: slice) -> Packed:
    """Reads some steps of an episode that `scan` has checked, from its arrays by path."""
    shown = {path.partition("/")[2]: array[steps] for path, array in arrays.items() if path.startswith("observations")}
    with np.errstate(over="ignore"):  # a float32 overflow becomes infinite, which is reported
        actions, rewards = (arrays[key][steps].astype(np.float32) for key in ("actions", "rewards"))
    return {"states": spec.to_state(shown.get("", shown)), "actions": actions, "rewards": rewards}


def _check_finite(values: NDArray[np.float32], where: str, start: int) -> None:
    step = first_not_finite(values)
    if step is not None:
        raise TransferError(
            f"{where}, step {start + step}, are not finite: {values[step]}. Remove or repair that episode."
        )
