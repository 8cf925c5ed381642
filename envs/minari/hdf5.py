"""Opening HDF5 files of unknown origin: declared sizes are checked against stored ones before anything is read.

An HDF5 file can refer to other files (external and soft links, external storage, virtual datasets), declare arrays that
it does not store, and unpack to a thousand times its size. Minari and D4RL write no such files, so these are refused.
"""

from __future__ import annotations

import contextlib
import errno
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from transfer.envs.dataset_ids import bundled_name, command_for
from transfer.envs.minari.remote import REMOTE
from transfer.errors import TransferError

_EPISODE = re.compile(r"episode_(0|[1-9][0-9]*)")
_MOST_LINKS = 8  # soft links followed on the way to one array, nested ones counted
_PACKED_BEST = 1_100  # the largest compression ratio that HDF5's own filters reach
_PACKED_MUCH = 100
_HARMLESS = 1 << 26  # bytes of one array that are accepted at any compression ratio
_UNPACKED = 1 << 30  # bytes of one chunk, or of one array with a compression ratio above `_PACKED_MUCH`
_WRITING = ("unable to lock file", "already open for write", "h5clear", "already open for")
_FILTER_ADVICE = (
    "Its compression comes from a plug-in: pip install hdf5plugin, and import it first (--import hdf5plugin)."
)
_FILTER = ("required filter", "plugin", "filter returned failure")


@contextlib.contextmanager
def opened(dataset_id: str, file: Path) -> Iterator[Any]:
    """Opens a dataset's HDF5 file. Errors of h5py while it is open become a TransferError with the cause."""
    import h5py

    with read_errors(file, dataset_id), h5py.File(file, "r") as groups:
        yield groups


@contextlib.contextmanager
def read_errors(file: Path, dataset_id: str = "") -> Iterator[None]:
    """Turns errors of h5py into a TransferError with the cause, for a local dataset or for a file of D4RL."""
    try:
        yield
    except TransferError:
        raise
    except (OSError, RuntimeError, ValueError, KeyError, AttributeError, TypeError, MemoryError) as error:
        owner = f"dataset '{dataset_id}': " if dataset_id else ""
        advice = again(dataset_id) if dataset_id else "Download it again."
        raise TransferError(f"{owner}{_cause(file, error, advice)}") from error


def _cause(file: Path, error: Exception, advice: str) -> str:
    """Says why a file cannot be read, and what to do. `advice` is for a damaged file."""
    text = " ".join(str(error).split())
    number = getattr(error, "errno", None)
    if number in (errno.EAGAIN, errno.EBUSY) or any(sign in text for sign in _WRITING):
        return (
            f"{file} is open in another program that writes to it, or was left open by one that ended: {text}. Let its "
            "recorder finish, or close it; if there is none any more, `h5clear -s FILE` takes the mark away."
        )
    if number in (errno.EACCES, errno.EPERM):
        return f"{file} may not be read by this user: {text}. Change its permissions."
    if any(sign in text for sign in _FILTER):
        return f"{file} cannot be unpacked here: {text}. {_FILTER_ADVICE}"
    if isinstance(error, MemoryError):
        return f"{file} holds an array that does not fit into memory"
    return f"{file} is damaged, cut short or no HDF5 file: {text}. {advice}"


def again(dataset_id: str) -> str:
    """Says how to get a dataset again, as a sentence."""
    if bundled_name([dataset_id]):
        return f"Make it again: {command_for(dataset_id)}"
    if dataset_id in REMOTE or dataset_id.startswith("imported/"):
        return f"Get it again: {command_for(dataset_id)}"
    return "Bring it back from a copy, or record it again."


def episode_names(groups: Any) -> tuple[list[str], list[str]]:
    """Names of the episodes of an open Minari file in their order, and names that only begin like one.

    Numbers may be missing, where an episode was removed.
    """
    named = [key for key in groups if key.startswith("episode")]
    good = sorted((key for key in named if _EPISODE.fullmatch(key)), key=lambda key: int(key[8:]))
    return good, sorted(set(named) - set(good))


class CheckedArrays:
    """The arrays of one open HDF5 file. Each is checked before it is returned.

    Args:
        groups: the open file.
        file: its path.
    """

    def __init__(self, groups: Any, file: Path) -> None:
        self.groups, self.file = groups, file
        self._size = self._left = file.stat().st_size  # `_left`: bytes that belong to no array checked so far
        self._seen: set[int] = set()  # addresses in the file of the checked arrays
        self._declared: dict[str, int] = {}  # bytes of each array by its path; one array may have several
        self._unpacked = self._links = 0

    def get(self, path: str) -> Any | None:
        """Returns the group or array at a path, None if there is none.

        Raises:
            TransferError: it is in another file, is declared larger than what the file stores, or cannot be unpacked.
        """
        self._links = _MOST_LINKS
        return self._walk(path)

    def _walk(self, path: str) -> Any | None:
        import h5py

        found, walked = self.groups, ""
        for name in path.strip("/").split("/"):
            walked = f"{walked}/{name}".lstrip("/")
            # Looks at the link first, because following it may open another file.
            link = found.get(name, getlink=True) if isinstance(found, h5py.Group) else None
            if link is None:
                return None
            if type(link) is h5py.SoftLink and self._links:  # to another place in the same file
                self._links -= 1
                target = link.path if link.path.startswith("/") else f"{walked.rpartition('/')[0]}/{link.path}"
                found = self._walk(target)
            elif type(link) is h5py.HardLink:
                found = found[name]
            else:
                raise self._refused(walked, "is a link to another file, or one of too many links")
        if isinstance(found, h5py.Dataset):
            self._check(found, path)
        return found

    def keys(self, path: str) -> list[str]:
        """Returns the names in the group at a path, none if there is no group."""
        return list(getattr(self.get(path), "keys", list)())

    def _check(self, array: Any, path: str) -> None:
        """Raises TransferError unless the file stores what the array declares."""
        import h5py

        plan = array.id.get_create_plist()
        if array.is_virtual or plan.get_external_count():
            raise self._refused(path, "keeps its numbers in another file")
        if array.shape is None:
            raise self._refused(path, "is empty")
        declared, stored = math.prod(array.shape) * array.dtype.itemsize, array.id.get_storage_size()
        if plan.get_layout() == h5py.h5d.CHUNKED:
            self._check_chunks(array, path, declared, stored)
        elif stored < declared:
            raise self._refused(path, f"declares {declared:,} bytes and holds {stored:,}")
        place = h5py.h5o.get_info(array.id).addr
        self._left -= 0 if place in self._seen else stored
        self._seen.add(place)
        if self._left < 0:
            raise self._refused(path, "declares more bytes than the file has beside its other arrays")
        self._unpacked += declared - self._declared.get(path, 0)
        self._declared[path] = declared
        if self._unpacked > max(_UNPACKED, _PACKED_MUCH * self._size):
            raise self._refused(
                path, f"and the arrays before it would unpack {self._size:,} bytes to {self._unpacked:,}"
            )

    def _check_chunks(self, array: Any, path: str, declared: int, stored: int) -> None:
        import h5py

        plan = array.id.get_create_plist()
        for index in range(plan.get_nfilters()):
            number, _, _, name = plan.get_filter(index)
            if not h5py.h5z.filter_avail(number):
                label = name.decode(errors="replace") or f"number {number}"
                raise self._refused(path, f"is packed with the filter '{label}', which is not here", _FILTER_ADVICE)
        wanted = math.prod(-(-size // chunk) for size, chunk in zip(array.shape, array.chunks, strict=True))
        if array.id.get_num_chunks() < wanted:
            raise self._refused(path, f"declares {declared:,} bytes, of which a part was never written")
        chunk = math.prod(array.chunks) * array.dtype.itemsize
        much = declared > _UNPACKED and declared > _PACKED_MUCH * stored
        most = declared > _HARMLESS and declared > _PACKED_BEST * stored
        if much or most or min(chunk, declared) > _UNPACKED:
            raise self._refused(path, f"would unpack {stored:,} bytes to {declared:,}")

    def _refused(self, path: str, what: str, advice: str = "") -> TransferError:
        advice = advice or "Such a file is not read: get the dataset from a place that you trust."
        return TransferError(f"{self.file}: '{path}' {what}. {advice}")
