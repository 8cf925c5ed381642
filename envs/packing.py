"""Reading Minari's HDF5 files into packed arrays, and keeping those as memory maps for the next time.

Letters: N steps altogether, E episodes, S state size, A action size, T steps of an episode.
"""

import hashlib
import json
import logging
import os
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from transfer.episodes import ARRAYS, Episodes, episode_returns
from transfer.errors import TransferError
from transfer.specs import describe

logger = logging.getLogger(__name__)
Arrays = dict[str, NDArray[Any]]
_FORMAT = 1  # raise it when the packed arrays or the index change, so that old entries are not read


def read_hdf5(path: Path, dataset_id: str) -> Arrays:
    """Reads states (N, S), actions (N, A), rewards (N,) and lengths (E,) of a Minari file, leaving out the infos.

    Minari stores T + 1 observations and T of the rest for each episode (group "episode_<i>").

    Raises:
        TransferError: the file is not whole HDF5, or lacks what a Minari file has.
    """
    import h5py

    try:
        with h5py.File(path, "r") as file:
            names = sorted((key for key in file if key.startswith("episode_")), key=lambda key: int(key[8:]))
            episodes = [_read_episode(file[name], f"dataset '{dataset_id}', {name} of {path}") for name in names]
    except (OSError, RuntimeError, ValueError, KeyError) as error:
        raise TransferError(
            f"dataset '{dataset_id}': {path} is not a whole Minari HDF5 file: {error}. {_again(dataset_id)}"
        ) from error
    if not episodes:
        raise TransferError(f"dataset '{dataset_id}' has no episodes in {path}. {_again(dataset_id)}")
    states, actions, rewards = zip(*episodes, strict=True)
    _check_widths(dataset_id, path, states, actions)
    return {
        "states": np.concatenate(states),
        "actions": np.concatenate(actions),
        "rewards": np.concatenate(rewards),
        "lengths": np.array([len(one) for one in rewards], dtype=np.int64),
    }


def check_file(path: Path, dataset_id: str) -> None:
    """Raises TransferError, with the command that brings it back, if the data file is missing."""
    if not path.is_file():
        raise TransferError(
            f"dataset '{dataset_id}' lacks its data file {path} (only Minari's hdf5 format is read). "
            f"{_again(dataset_id)}"
        )


def _read_episode(group: Any, where: str) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """States (T, S), actions (T, A) and rewards (T,) of one episode, float32."""
    missing = [key for key in ("observations", "actions", "rewards") if key not in group]
    if missing:
        raise TransferError(f"{where} lacks {', '.join(missing)}")
    stored = group["observations"], group["actions"], group["rewards"]
    for array, ndim in zip(stored, (2, 2, 1), strict=True):
        if len(getattr(array, "shape", ())) != ndim:
            raise TransferError(f"{where}: {array.name} is not a {ndim}-d array; only flat vectors are supported")
    steps = [len(array) for array in stored]
    if not steps[0] - 1 == steps[1] == steps[2]:
        raise TransferError(
            f"{where} has {steps[0]} observations, {steps[1]} actions, {steps[2]} rewards; wanted T+1, T, T"
        )
    with np.errstate(over="ignore"):  # too large for float32 becomes infinite and is reported as that
        observations, actions, rewards = (array[()].astype(np.float32) for array in stored)
    return observations[:-1], actions, rewards


def _check_widths(dataset_id: str, path: Path, states: Sequence[Any], actions: Sequence[Any]) -> None:
    widths = {(one.shape[1], two.shape[1]) for one, two in zip(states, actions, strict=True)}
    if len(widths) > 1:
        raise TransferError(
            f"dataset '{dataset_id}': episodes of {path} differ in state and action size: {sorted(widths)}"
        )


def _again(dataset_id: str) -> str:
    from transfer.envs.names import bundled_name

    name = bundled_name([dataset_id])
    return (
        f"Make it again: transfer data make {name} --overwrite"
        if name
        else f"Get it again: minari download {dataset_id}"
    )


def cache_root() -> Path:
    """$XDG_CACHE_HOME/embedding-swap, by default ~/.cache/embedding-swap."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "embedding-swap"


def entry_path(files: Sequence[Path]) -> Path:
    """The cache entry of these data files: a folder by their paths, in it one by their sizes and times of change."""
    paths, states = [], []
    for file in files:
        paths.append(str(file.resolve()))
        for one in (file, file.with_name("metadata.json")):
            stat = one.stat()
            states.append((stat.st_size, stat.st_mtime_ns))
    return cache_root() / _digest(paths) / _digest([_FORMAT, states])


def _digest(value: object) -> str:
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()[:24]


def open_entry(entry: Path) -> Episodes | None:
    """Episodes over read-only memory maps, None when the entry is missing or damaged."""
    try:
        index = json.loads((entry / "index.json").read_text())
        # A plain view: slicing np.memmap objects costs several times as much.
        arrays = {key: np.asarray(np.load(entry / f"{key}.npy", mmap_mode="r")) for key in ARRAYS}
        returns = episode_returns(arrays["rewards"], arrays["offsets"])
        spec = describe(index["gym_spec"], index["state_size"], index["action_size"], returns)
        return Episodes(
            **arrays, env_spec=spec, dataset_ids=tuple(index["dataset_ids"]), content_hash=index["content_hash"]
        )
    except (OSError, ValueError, KeyError, TransferError) as error:
        if entry.exists():
            logger.warning("the cache entry %s is damaged and is made again: %s", entry, error)
        return None


def write_entry(entry: Path, episodes: Episodes) -> None:
    """Writes an entry under a temporary name and renames it; a cache that cannot be written is only logged."""
    index = {
        "gym_spec": episodes.env_spec.gym_spec,
        "state_size": episodes.state_size,
        "action_size": episodes.action_size,
        "dataset_ids": episodes.dataset_ids,
        "content_hash": episodes.content_hash,
    }
    staged = None
    try:
        entry.parent.mkdir(parents=True, exist_ok=True)
        staged = Path(tempfile.mkdtemp(prefix=".writing-", dir=entry.parent))
        for key in ARRAYS:
            np.save(staged / f"{key}.npy", getattr(episodes, key))
        (staged / "index.json").write_text(json.dumps(index, indent=1))
        for old in entry.parent.glob("[!.]*"):  # of earlier versions of the same files, or damaged
            shutil.rmtree(old, ignore_errors=True)
        staged.rename(entry)
    except OSError as error:
        logger.warning("no cache for %s: %s", ", ".join(episodes.dataset_ids), error)
    finally:
        if staged is not None:
            shutil.rmtree(staged, ignore_errors=True)
