"""Entries of the packed cache: what is in one, whether it is whole, and whether it still is what the files say.

An entry is a folder with the four arrays of some datasets and `index.json`. It is used only if

- folder and files are this user's own, and nobody else may write to them (`transfer.runtime.caches`),
- the numbers are those that were written: a CRC-32 of each array is computed at every opening (12 ms for 57 MiB), so
  that a single changed number is noticed wherever it is,
- the data files are those that were read: a file whose inode, size, and times of content and status are as before
  is, since every way of writing to it sets the last one. Otherwise its sha256 decides, and so it does where the file
  had been written within two seconds of being read, which a clock may not tell apart.

Not noticed: a change of arrays and index that fits (by this user), and a data file changed beneath the file system.
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
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from transfer.data.environment.observations import Slices
from transfer.data.packed import ARRAYS
from transfer.envs.minari.located import Located
from transfer.errors import TransferError
from transfer.runtime.caches import cache_root, distrust
from transfer.storage.files import read_json

INDEX = "index.json"
_FORMAT = 4  # raise it when the packed arrays or the index change, so that old entries are not read
_SAME_TICK = 2 * 10**9  # nanoseconds


@dataclass(frozen=True)
class State:
    """What a data file is, in short.

    Attributes:
        path: of the file.
        sha256: of its content, "" where it was not asked for.
        stamp: device, inode, size, time of content and of status; equal ones mean equal content.
        seen: when the stamp was taken, in nanoseconds since 1970.
    """

    path: str
    sha256: str
    stamp: tuple[int, ...]
    seen: int

    @classmethod
    def of(cls, file: Path, content: bool = True) -> State:
        """The state of a file now, with its sha256 or without."""
        found = file.stat()
        stamp = (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
        seen = time.time_ns()
        return cls(str(file), sha256_of(file) if content else "", stamp, seen)

    @property
    def settled(self) -> bool:
        """Whether a later change is sure to change the stamp."""
        return self.seen - max(self.stamp[3:]) > _SAME_TICK


def sha256_of(file: Path) -> str:
    """Of the content of a file."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def entry_path(located: Sequence[Located], slices: Slices) -> Path:
    """The cache entry of some datasets, or of some of their episodes, as state vectors of these slices."""
    which = [[str(one.file.resolve()), one.indices] for one in located]
    name = hashlib.sha256(json.dumps([_FORMAT, which, [asdict(one) for one in slices]]).encode()).hexdigest()[:24]
    return cache_root() / f"packed-{name}"


def checksum(array: NDArray[Any]) -> int:
    """CRC-32 of the bytes of an array; finds every change of up to 32 bits in a row."""
    return zlib.crc32(np.ascontiguousarray(array).data)


def write_index(folder: Path, content: Mapping[str, Any], states: Sequence[State]) -> None:
    """Writes the index of the arrays that lie in a folder."""
    sums = {key: checksum(array) for key, array in map_arrays(folder).items()}
    index = {**content, "sums": sums, "files": [asdict(one) for one in states]}
    text = json.dumps({"index": index, "sha256": _digest(index)}, indent=1)
    handle, new = tempfile.mkstemp(prefix=".index-", dir=folder)
    with open(handle, "w", encoding="utf-8") as stream:
        stream.write(text)
    os.replace(new, folder / INDEX)


def read_entry(folder: Path, files: Sequence[Path]) -> tuple[dict[str, Any], dict[str, NDArray[Any]]] | None:
    """Index and mapped arrays of an entry, None where the data files are others than they were.

    Raises:
        OSError, ValueError, KeyError, TypeError, TransferError: the entry is missing, damaged or not ours.
    """
    for path in (folder.parent, folder, *(folder / name for name in (INDEX, *(f"{key}.npy" for key in ARRAYS)))):
        if why := distrust(path):
            raise TransferError(f"{path.name}: {why}")
        if path.suffix and not path.is_file():  # a pipe or a device never ends
            raise TransferError(f"{path.name} is no plain file")
    stored = read_json(folder / INDEX)
    index = dict(stored["index"])
    if stored["sha256"] != _digest(index):
        raise ValueError("the index was changed")
    before = [State(**{**one, "stamp": tuple(one["stamp"])}) for one in index["files"]]
    now = [State.of(file, content=False) for file in files]
    if len(now) != len(before):
        return None
    if not all(_same(*pair) for pair in zip(before, now, strict=True)):
        return None
    arrays = map_arrays(folder)
    for key, array in arrays.items():
        if checksum(array) != index["sums"][key]:
            raise ValueError(f"{key}.npy was changed")
    if any(one.stamp != other.stamp or not one.settled for one, other in zip(before, now, strict=True)):
        _stamp_anew(folder, index, before, now)
    return index, arrays


def _same(before: State, now: State) -> bool:
    """Whether a file has the content that it had."""
    if before.stamp == now.stamp and before.settled:
        return True
    return before.stamp[2] == now.stamp[2] and sha256_of(Path(now.path)) == before.sha256


def _stamp_anew(folder: Path, index: dict[str, Any], before: Sequence[State], now: Sequence[State]) -> None:
    """Writes down the stamps of files whose content was compared, so that the next opening need not."""
    states = [State(new.path, old.sha256, new.stamp, new.seen) for old, new in zip(before, now, strict=True)]
    with contextlib.suppress(OSError):
        write_index(folder, {key: value for key, value in index.items() if key not in ("sums", "files")}, states)


def map_arrays(folder: Path) -> dict[str, NDArray[Any]]:
    """The four arrays of an entry, as read-only memory maps."""
    # Plain views: slicing np.memmap objects costs several times as much.
    return {key: np.asarray(np.load(folder / f"{key}.npy", mmap_mode="r", allow_pickle=False)) for key in ARRAYS}


def _digest(index: object) -> str:
    return hashlib.sha256(json.dumps(index, sort_keys=True).encode()).hexdigest()
