"""Packing datasets into arrays on disk, memory-mapped from then on.

Letters: N steps altogether, E episodes, S state size, A action size.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
import logging
import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from transfer.envs.reading import Source, episodes_of
from transfer.episodes import Episodes, check_joinable
from transfer.errors import TransferError
from transfer.observations import Slice
from transfer.packed import ARRAYS, content_hash, episode_returns
from transfer.specs import bounds_from_json, describe

logger = logging.getLogger(__name__)
_FORMAT = 3  # raise it when the packed arrays or the index change, so that old entries are not read


def pack(sources: Sequence[Source], entry: Path) -> Episodes:
    """All episodes of some datasets, in the order given, written to a cache entry and mapped from there.

    One episode at a time passes through memory. Where the cache cannot be written the arrays stay in memory.

    Raises:
        TransferError: the datasets do not fit together, or one of them is damaged. There is no entry then.
    """
    for source in sources[1:]:
        check_joinable((sources[0].spec, [sources[0].dataset_id]), (source.spec, [source.dataset_id]))
    try:
        with _staging(entry) as folder:
            _write_arrays(folder, sources)
            arrays = _map(folder)
            _write_index(folder, sources, content_hash(arrays))
        return _opened(entry)
    except OSError as error:
        logger.warning("no cache for %s: %s", ", ".join(one.dataset_id for one in sources), error)
        return _in_memory(sources)


def shapes(sources: Sequence[Source]) -> dict[str, tuple[int, ...]]:
    """Shapes of states (N, S), actions (N, A) and rewards (N,)."""
    steps = sum(sum(source.lengths.values()) for source in sources)
    spec = sources[0].spec
    return {"states": (steps, spec.state_size), "actions": (steps, spec.action_size), "rewards": (steps,)}


def offsets(sources: Sequence[Source]) -> NDArray[np.int64]:
    """(E + 1,) first step of each episode, and N."""
    return np.cumsum([0, *(length for source in sources for length in source.lengths.values())], dtype=np.int64)


def _write_arrays(folder: Path, sources: Sequence[Source]) -> None:
    """Plain appending: a full disk is then an OSError, where writing to a map would kill the process."""
    with contextlib.ExitStack() as stack:
        files = {}
        for key, shape in shapes(sources).items():
            files[key] = stack.enter_context((folder / f"{key}.npy").open("wb"))
            header = {"descr": "<f4", "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_1_0(files[key], header)
        for episode in itertools.chain.from_iterable(map(episodes_of, sources)):
            for key, values in episode.items():
                files[key].write(np.ascontiguousarray(values, "<f4").data)
    np.save(folder / "offsets.npy", offsets(sources))


def _write_index(folder: Path, sources: Sequence[Source], digest: str) -> None:
    spec = sources[0].spec
    index = {
        "gym_spec": spec.gym_spec,
        "state_size": spec.state_size,
        "action_size": spec.action_size,
        "action_low": spec.to_json()["action_low"],
        "action_high": spec.to_json()["action_high"],
        "slices": spec.to_json()["slices"],
        "dataset_ids": [source.dataset_id for source in sources],
        "content_hash": digest,
    }
    (folder / "index.json").write_text(json.dumps(index, indent=1))


def _in_memory(sources: Sequence[Source]) -> Episodes:
    """The same without a cache."""
    arrays: dict[str, NDArray[Any]] = {key: np.empty(shape, ARRAYS[key]) for key, shape in shapes(sources).items()}
    arrays["offsets"] = offsets(sources)
    everything = itertools.chain.from_iterable(map(episodes_of, sources))
    for start, episode in zip(arrays["offsets"], everything, strict=False):
        for key, values in episode.items():
            arrays[key][start : start + len(values)] = values
    spec, ids = sources[0].spec, tuple(source.dataset_id for source in sources)
    returns = episode_returns(arrays["rewards"], arrays["offsets"])
    bounds = (spec.action_low, spec.action_high)
    spec = describe(spec.gym_spec, spec.state_size, spec.action_size, returns, spec.slices, bounds)
    return Episodes.over(arrays, spec, ids)


@contextlib.contextmanager
def _staging(entry: Path) -> Iterator[Path]:
    """A hidden folder that becomes the entry when the block ends well; else it and new folders above it are removed."""
    new = [folder for folder in entry.parents if not folder.exists()]
    try:
        entry.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".writing-", dir=entry.parent, ignore_cleanup_errors=True) as name:
            folder = Path(name) / "entry"
            folder.mkdir()
            yield folder
            for old in entry.parent.glob("[!.]*"):  # of earlier versions of the same files, or damaged
                shutil.rmtree(old, ignore_errors=True)
            folder.rename(entry)
        for left in entry.parent.glob(".writing-*"):  # of a process that was killed
            if time.time() - left.stat().st_mtime > 86_400:
                shutil.rmtree(left, ignore_errors=True)
    finally:
        for folder in new:
            with contextlib.suppress(OSError):  # not empty, or never made
                folder.rmdir()


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
        return _opened(entry)
    except (OSError, ValueError, KeyError, TransferError) as error:
        if entry.exists():
            logger.warning("the cache entry %s is damaged and is made again: %s", entry, error)
        return None


def _opened(entry: Path) -> Episodes:
    index = json.loads((entry / "index.json").read_text())
    arrays = _map(entry)
    returns = episode_returns(arrays["rewards"], arrays["offsets"])
    slices = tuple(map(Slice.from_json, index["slices"]))
    bounds = bounds_from_json(index["action_low"], index["action_high"])
    spec = describe(index["gym_spec"], index["state_size"], index["action_size"], returns, slices, bounds)
    ids = tuple(index["dataset_ids"])
    return Episodes.over(arrays, spec, ids, index["content_hash"])


def _map(folder: Path) -> dict[str, NDArray[Any]]:
    # Plain views: slicing np.memmap objects costs several times as much.
    return {key: np.asarray(np.load(folder / f"{key}.npy", mmap_mode="r")) for key in ARRAYS}
