"""Reading Minari's HDF5 files, one episode at a time, so that a large dataset never lies in memory twice.

Letters: E episodes, S state size, A action size, T steps of an episode.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from transfer.envs.names import bundled_name, command_for
from transfer.errors import TransferError
from transfer.packed import first_not_finite
from transfer.specs import EnvironmentSpec

Arrays = dict[str, NDArray[np.float32]]


@dataclass(frozen=True)
class Source:
    """One dataset that is about to be read: its shapes were looked at, its numbers not yet.

    Attributes:
        dataset_id: Minari id.
        file: the HDF5 file.
        spec: sizes, slices and Gymnasium spec; the scale of an unknown environment is not known yet.
        lengths: steps of each episode "episode_<i>", in their order.
    """

    dataset_id: str
    file: Path
    spec: EnvironmentSpec
    lengths: dict[str, int]


def scan(dataset_id: str, file: Path, spec: EnvironmentSpec) -> Source:
    """Looks at the shapes of every episode.

    Minari stores T + 1 observations and T of the rest for each episode; Dict observations are a group of arrays.

    Raises:
        TransferError: the file is not whole HDF5, has no episodes, or an episode is not what `spec` says.
    """
    with opened(dataset_id, file) as groups:
        lengths = {
            name: _length(groups[name], f"dataset '{dataset_id}', {name} of {file}", spec)
            for name in sorted((key for key in groups if key.startswith("episode_")), key=lambda key: int(key[8:]))
        }
    if not lengths:
        raise TransferError(f"dataset '{dataset_id}' has no episodes in {file}. {again(dataset_id)}")
    return Source(dataset_id, file, spec, lengths)


def episodes_of(source: Source) -> Iterator[Arrays]:
    """Each episode as {"states": (T, S), "actions": (T, A), "rewards": (T,)}, float32; the infos are left alone.

    Raises:
        TransferError: a number is not finite, or the file cannot be read to its end.
    """
    with opened(source.dataset_id, source.file) as groups:
        for index, name in enumerate(source.lengths):
            episode = _read(groups[name], source.spec)
            for key, values in episode.items():
                _check_finite(values, f"{source.dataset_id}: {key} of episode {index}")
            yield episode


@contextlib.contextmanager
def opened(dataset_id: str, file: Path) -> Iterator[Any]:
    """The HDF5 file; what h5py raises while it is open becomes a TransferError that names dataset and file."""
    import h5py

    try:
        with h5py.File(file, "r") as groups:
            yield groups
    except (OSError, RuntimeError, ValueError, KeyError, AttributeError) as error:
        raise TransferError(
            f"dataset '{dataset_id}': {file} is not a whole Minari HDF5 file: {error}. {again(dataset_id)}"
        ) from error


def again(dataset_id: str) -> str:
    """How to bring a dataset back, as a sentence."""
    return f"{'Make' if bundled_name([dataset_id]) else 'Get'} it again: {command_for(dataset_id)}"


def check_file(path: Path, dataset_id: str) -> None:
    """Raises TransferError, with the command that brings it back, if the data file is missing."""
    if not path.is_file():
        raise TransferError(
            f"dataset '{dataset_id}' lacks its data file {path} (only Minari's hdf5 format is read). "
            f"{again(dataset_id)}"
        )


def _length(group: Any, where: str, spec: EnvironmentSpec) -> int:
    """T of one episode, whose arrays must fit together and fit the spec."""
    _check_keys(group, where, spec)
    sizes = {f"observations/{key}".rstrip("/"): size for key, size in _observation_sizes(spec).items()}
    for key, size in {**sizes, "actions": spec.action_size}.items():
        shape = tuple(getattr(group[key], "shape", ()))
        if len(shape) != 2 or shape[1] != size:
            raise TransferError(f"{where}: {key} has shape {shape}; (steps, {size}) wanted, only flat vectors")
    steps = len(group["rewards"])
    wanted = {**dict.fromkeys(sizes, steps + 1), "actions": steps, "rewards": steps}
    if group["rewards"].ndim != 1 or any(len(group[key]) != count for key, count in wanted.items()):
        counts = ", ".join(f"{len(group[key])} {key}" for key in wanted)
        raise TransferError(f"{where} has {counts}; wanted T+1, T, T")
    if not steps:
        raise TransferError(f"{where} has no steps; every episode needs one. Remove it from the dataset")
    return steps


def _check_keys(group: Any, where: str, spec: EnvironmentSpec) -> None:
    """Raises TransferError unless an episode has its arrays, and observations of the kind that the spec has."""
    missing = [key for key in ("observations", "actions", "rewards") if key not in group]
    if missing:
        raise TransferError(f"{where} lacks {', '.join(missing)}")
    keys = set(group["observations"]) if hasattr(group["observations"], "keys") else {""}
    if keys != set(_observation_sizes(spec)):
        kind = f"Dict observations with {', '.join(sorted(keys)) or 'no keys'}" if keys != {""} else "flat observations"
        raise TransferError(
            f"{where} has {kind}, its environment {spec.gym_id} others; only flat vectors and Dicts of such are read"
        )


def _observation_sizes(spec: EnvironmentSpec) -> dict[str, int]:
    """Numbers under each key of the observation; "" stands for a flat one."""
    sizes = {one.key: one.size for one in spec.slices}
    return sizes | {one.minus: one.size for one in spec.slices if one.minus and one.minus not in sizes}


def _read(group: Any, spec: EnvironmentSpec) -> Arrays:
    stored = group["observations"]
    observations = {key: stored[key][()] for key in stored} if hasattr(stored, "keys") else stored[()]
    with np.errstate(over="ignore"):  # too large for float32 becomes infinite, which is reported
        actions, rewards = (group[key][()].astype(np.float32) for key in ("actions", "rewards"))
    return {"states": spec.to_state(observations)[:-1], "actions": actions, "rewards": rewards}


def _check_finite(values: NDArray[np.float32], where: str) -> None:
    step = first_not_finite(values)
    if step is not None:
        raise TransferError(f"{where}, step {step}, are not finite: {values[step]}. Remove or repair that episode.")
