"""Packing datasets into arrays on disk and mapping them; `transfer.envs.minari.entries` says when an entry is valid.

Letters: N steps altogether, E episodes, S state size, A action size.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import os
import re
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from transfer.data.environment.belonging import check_joinable
from transfer.data.environment.spec import EnvironmentSpec
from transfer.data.episodes import Episodes
from transfer.data.packed import ARRAYS, content_hash, offsets_from
from transfer.envs.minari.entries import State, entry_path, map_arrays, read_entry, write_index
from transfer.envs.minari.located import Located
from transfer.envs.minari.reading import Source, blocks_of, scan
from transfer.envs.writing.staging import recover, staged
from transfer.errors import TransferError
from transfer.runtime.cache_folder import own_folder
from transfer.runtime.logs import warn_once

logger = logging.getLogger(__name__)
_STAGED = ".writing-"
_TRIES, _PAUSE = 4, 0.2  # attempts to read a file that another process replaces; seconds between two
_OLD_ENTRY = re.compile("[0-9a-f]{24}")  # of formats before the fourth


def packed(located: Sequence[Located], specs: Sequence[EnvironmentSpec]) -> Episodes:
    """Returns the episodes of some datasets over read-only memory maps, from the cache or packed now.

    Args:
        located: the datasets, in order.
        specs: the environment of each; the scale of an unknown environment is measured on all returns.

    Raises:
        TransferError: the datasets cannot be joined, one of them is damaged or being written, or they fit neither on
            the disk nor in memory. No entry is written then.
    """
    for one, spec in zip(located[1:], specs[1:], strict=True):
        check_joinable((specs[0], [located[0].dataset_id]), (spec, [one.dataset_id]))
    entry = entry_path(located, specs[0].slices)
    tries_left = _TRIES
    while True:
        tries_left -= 1
        try:
            found = open_entry(entry, located, specs[0])
            return _pack(located, specs, entry) if found is None else found
        except _Changed:
            if not tries_left:
                raise
            time.sleep(_PAUSE)


def _pack(located: Sequence[Located], specs: Sequence[EnvironmentSpec], entry: Path) -> Episodes:
    """Writes a cache entry and maps it. If it cannot be written, the arrays are kept in memory."""
    states = [_state(one.file) for one in located]
    sources = [scan(one.dataset_id, one.file, spec, one.indices) for one, spec in zip(located, specs, strict=True)]
    try:
        existing = next(one for one in entry.parents if one.exists())
        needed, free = _bytes(sources), shutil.disk_usage(existing).free
        if needed > free:
            raise OSError(f"it takes {needed / 1e9:.1f} GB in {entry.parent}, where {free / 1e9:.1f} GB are free")
        with staged(entry.parent, _STAGED, 0o700) as folder:
            if why := own_folder(entry.parent):
                raise OSError(f"{entry.parent}: {why}")
            new = folder / "entry"
            new.mkdir(mode=0o700)
            _write_arrays(new, sources)
            _check_unchanged(states)
            ids = [one.dataset_id for one in located]
            write_index(new, {"dataset_ids": ids, "content_hash": content_hash(map_arrays(new))}, states)
            _publish(new, entry)
        opened = open_entry(entry, located, specs[0])
        if opened is not None:
            return opened
        _check_unchanged(states)
        raise OSError("the entry that was written cannot be read back")
    except OSError as error:
        warn_once(logger, f"no cache for {', '.join(one.dataset_id for one in located)}: {error}")
        return _in_memory(sources)


def open_entry(entry: Path, located: Sequence[Located], spec: EnvironmentSpec) -> Episodes | None:
    """Returns the episodes of an entry, None if it is missing, damaged or out of date."""
    try:
        found = read_entry(entry, [one.file for one in located])
    except FileNotFoundError:
        if entry.exists():
            logger.warning("the cache entry %s is incomplete and is made again", entry)
        return None
    except (OSError, ValueError, LookupError, TypeError, AttributeError, EOFError, MemoryError, TransferError) as error:
        logger.warning("the cache entry %s is damaged and is made again: %s", entry, error)
        return None
    if found is None:
        return None
    index, arrays = found
    ids = dict.fromkeys(one.dataset_id for one in located)  # each once: several parts of one dataset share an id
    return Episodes.over(arrays, spec, list(ids), index["content_hash"])


def _shapes(sources: Sequence[Source]) -> dict[str, tuple[int, ...]]:
    """The shapes (N, S), (N, A) and (N,) of states, actions and rewards."""
    steps = sum(sum(source.lengths.values()) for source in sources)
    spec = sources[0].spec
    return {"states": (steps, spec.state_size), "actions": (steps, spec.action_size), "rewards": (steps,)}


def _offsets(sources: Sequence[Source]) -> NDArray[np.int64]:
    """(E + 1,) the first step of each episode, and N."""
    return offsets_from(np.array([length for source in sources for length in source.lengths.values()]))


def _bytes(sources: Sequence[Source]) -> int:
    return sum(4 * int(np.prod(shape, dtype=np.float64)) for shape in _shapes(sources).values())


def _write_arrays(folder: Path, sources: Sequence[Source]) -> None:
    """Appends block by block: then a full disk is an OSError, where writing to a map would kill the process."""
    with contextlib.ExitStack() as stack:
        files = {}
        for key, shape in _shapes(sources).items():
            files[key] = stack.enter_context(_new_file(folder / f"{key}.npy"))
            header = {"descr": "<f4", "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_1_0(files[key], header)
        for block in itertools.chain.from_iterable(map(blocks_of, sources)):
            for key, values in block.items():
                files[key].write(np.ascontiguousarray(values, "<f4").data)
        np.save(stack.enter_context(_new_file(folder / "offsets.npy")), _offsets(sources))


def _new_file(path: Path) -> Any:
    """Opens a new file that only this user can read and write, whatever the umask."""
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")


class _Changed(TransferError):
    """A data file was replaced or written to while it was read. Reading it again may succeed."""


def _state(file: Path, content: bool = True) -> State:
    try:
        return State.of(file, content)
    except FileNotFoundError as error:
        raise _Changed(f"{file} was removed while it was read") from error


def _check_unchanged(states: Sequence[State]) -> None:
    """Raises _Changed if a data file has changed."""
    for before in states:
        if _state(Path(before.path), content=False).stamp != before.stamp:
            raise _Changed(f"{before.path} was written to while it was read. Let its writer finish first.")


def _publish(new: Path, entry: Path) -> None:
    """Moves a finished entry to its place, and removes what older versions and killed processes left.

    If another process published an entry of the same files a moment before, its equal entry stays.
    """
    with contextlib.suppress(FileNotFoundError):
        entry.rename(new.with_name("before"))
    try:
        new.rename(entry)
    except OSError:
        if not entry.exists():
            raise
    recover(entry.parent, _STAGED)
    for old in entry.parent.iterdir():
        if _OLD_ENTRY.fullmatch(old.name):
            shutil.rmtree(old, ignore_errors=True)


def _in_memory(sources: Sequence[Source]) -> Episodes:
    """Packs into memory, without a cache entry."""
    needed, free = _bytes(sources), _free_memory()
    if free is not None and needed > free:
        ids = ", ".join(one.dataset_id for one in sources)
        raise TransferError(
            f"{ids} takes {needed / 1e9:.1f} GB as float32, more than the {free / 1e9:.1f} GB of memory that are free. "
            "Set XDG_CACHE_HOME to a folder with room, from where it is mapped."
        )
    arrays: dict[str, NDArray[Any]] = {key: np.empty(shape, ARRAYS[key]) for key, shape in _shapes(sources).items()}
    arrays["offsets"] = _offsets(sources)
    start = 0
    for block in itertools.chain.from_iterable(map(blocks_of, sources)):
        end = start + len(block["rewards"])
        for key, values in block.items():
            arrays[key][start:end] = values
        start = end
    return Episodes.over(arrays, sources[0].spec, list(dict.fromkeys(source.dataset_id for source in sources)))


def _free_memory() -> int | None:
    """Bytes of free memory, None if the system does not tell."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        return next(1024 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable"))
    except (OSError, StopIteration, ValueError):
        return None
