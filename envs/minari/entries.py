"""Entries of the cache of packed datasets: their content, and whether they are intact and up to date.

An entry is a folder with the four arrays of some datasets and `index.json`. It is used only if

- this user owns folder and files, and nobody else may write to them (`transfer.runtime.cache_folder`),
- the arrays are unchanged: a CRC-32 of each is computed at every opening (12 ms for 57 MiB),
- the data files are unchanged. A file is if its inode, size, mtime and ctime are the same, because every write sets the
  ctime. Otherwise its sha256 decides. It also decides if the file was written less than two seconds before it was read,
  because two writes in one tick of the clock have the same ctime.

Two changes are not detected: a consistent change of arrays and index by this user, and a data file that was changed
below the file system.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import tempfile
import time
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from transfer.data.environment.observations import Slices
from transfer.data.packed import ARRAYS
from transfer.envs.minari.located import Located
from transfer.errors import TransferError
from transfer.runtime.cache_folder import cache_root, distrust
from transfer.storage.files import read_json

INDEX = "index.json"
_FORMAT = 4  # to be raised when arrays or index change, so that old entries are not read
_SAME_TICK = 2 * 10**9  # nanoseconds


@dataclass(frozen=True)
class State:
    """The state of a data file."""

    path: str
    sha256: str  # of its content, "" if it was not computed
    stamp: tuple[int, ...]  # device, inode, size, mtime and ctime; equal stamps mean equal content
    seen: int  # when the stamp was taken, in nanoseconds since 1970

    @classmethod
    def of(cls, file: Path, content: bool = True) -> State:
        """Returns the present state of a file, with or without its sha256."""
        found, seen = file.stat(), time.time_ns()
        stamp = (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
        return cls(str(file), sha256_of(file) if content else "", stamp, seen)

    @property
    def settled(self) -> bool:
        """Whether every later write changes the stamp."""
        return self.seen - max(self.stamp[3:]) > _SAME_TICK


def sha256_of(file: Path) -> str:
    """Returns the sha256 of a file's content."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def entry_path(located: Sequence[Located], slices: Slices) -> Path:
    """Returns the path of the cache entry of some datasets (or episodes of them), with states of these slices."""
    which = [[str(one.file.resolve()), one.indices] for one in located]
    name = hashlib.sha256(json.dumps([_FORMAT, which, [asdict(one) for one in slices]]).encode()).hexdigest()[:24]
    return cache_root() / f"packed-{name}"


def checksum(array: NDArray[Any]) -> int:
    """Returns the CRC-32 of an array's bytes. It detects every change within 32 consecutive bits."""
    return zlib.crc32(np.ascontiguousarray(array).data)


def write_index(folder: Path, content: Mapping[str, Any], states: Sequence[State]) -> None:
    """Writes the index of the arrays in a folder. Sums that the content has are kept."""
    sums = content.get("sums") or {key: checksum(array) for key, array in map_arrays(folder).items()}
    index = {**content, "sums": sums, "files": [asdict(one) for one in states]}
    handle, new = tempfile.mkstemp(prefix=".index-", dir=folder)
    with open(handle, "w", encoding="utf-8") as stream:
        stream.write(json.dumps({"index": index, "sha256": _digest(index)}, indent=1))
    os.replace(new, folder / INDEX)


def read_entry(folder: Path, files: Sequence[Path]) -> tuple[dict[str, Any], dict[str, NDArray[Any]]] | None:
    """Returns index and mapped arrays of an entry, None if the data files have changed.

    Raises:
        OSError, ValueError, KeyError, TypeError, TransferError: the entry is missing, damaged or not this user's own.
    """
    for path in (folder.parent, folder, *(folder / name for name in (INDEX, *(f"{key}.npy" for key in ARRAYS)))):
        if why := distrust(path):
            raise TransferError(f"{path.name}: {why}")
        if path.suffix and not path.is_file():  # reading a pipe or a device may never end
            raise TransferError(f"{path.name} is no plain file")
    stored = read_json(folder / INDEX)
    index = dict(stored["index"])
    if stored["sha256"] != _digest(index):
        raise ValueError("checksum of index.json does not match its content")
    before = [State(**{**one, "stamp": tuple(one["stamp"])}) for one in index["files"]]
    now = [State.of(file, content=False) for file in files]
    if len(now) != len(before) or not all(_same(*pair) for pair in zip(before, now, strict=True)):
        return None
    arrays = map_arrays(folder)
    for key, array in arrays.items():
        if checksum(array) != index["sums"][key]:
            raise ValueError(f"checksum of {key}.npy does not match index.json")
    if any(one.stamp != other.stamp or not one.settled for one, other in zip(before, now, strict=True)):
        # New stamps of files whose content was compared, so that the next opening need not compare it.
        with contextlib.suppress(OSError):
            states = [replace(new, sha256=old.sha256) for old, new in zip(before, now, strict=True)]
            write_index(folder, index, states)
    return index, arrays


def _same(before: State, now: State) -> bool:
    """Whether a file has the same content as before."""
    if before.stamp == now.stamp and before.settled:
        return True
    return before.stamp[2] == now.stamp[2] and sha256_of(Path(now.path)) == before.sha256


def map_arrays(folder: Path) -> dict[str, NDArray[Any]]:
    """Returns the four arrays of an entry as read-only memory maps."""
    # Plain views: slicing np.memmap objects costs several times as much.
    return {key: np.asarray(np.load(folder / f"{key}.npy", mmap_mode="r", allow_pickle=False)) for key in ARRAYS}


def _digest(index: object) -> str:
    return hashlib.sha256(json.dumps(index, sort_keys=True).encode()).hexdigest()
