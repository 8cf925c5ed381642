"""A file object for h5py that turns a full disk into an error in place of a crash.

HDF5 ends the process if it cannot write the last data of a file when it closes it. This file stores the first error,
drops all later writes, and raises the error in `check`.
"""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any


class GuardedFile(io.RawIOBase):
    """A new file, open for reading and writing.

    Args:
        path: must not exist.
    """

    def __init__(self, path: Path) -> None:
        self._handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)
        self._place = self._size = 0
        self.error: OSError | None = None  # of the first failed write

    def check(self) -> None:
        """Raises the OSError of the first failed write, if there is one."""
        if self.error is not None:
            raise self.error

    def close(self) -> None:
        """Closes the file when everything is on the disk."""
        if not self.closed:
            self._try(lambda: os.fsync(self._handle))
            os.close(self._handle)
        super().close()

    def readable(self) -> bool:
        """True: HDF5 reads what it has written."""
        return True

    def writable(self) -> bool:
        """True."""
        return True

    def seekable(self) -> bool:
        """True: HDF5 writes headers last."""
        return True

    def tell(self) -> int:
        """Position of the next byte."""
        return self._place

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Moves to a position."""
        self._place = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._place, os.SEEK_END: self._size}[whence]
        return self._place

    def readinto(self, buffer: Any) -> int:
        """Reads into a buffer. Dropped bytes read as zeros."""
        view = memoryview(buffer).cast("B")
        found = os.pread(self._handle, len(view), self._place)
        view[:] = found + bytes(len(view) - len(found))
        self._place += len(view)
        return len(view)

    def write(self, buffer: Any) -> int:
        """Writes a whole buffer, or drops it after an error."""
        view = memoryview(buffer).cast("B")
        self._try(lambda: self._write(view, self._place))
        self._place += len(view)
        self._size = max(self._size, self._place)
        return len(view)

    def truncate(self, size: int | None = None) -> int:
        """Changes the size of the file."""
        self._size = self._place if size is None else size
        self._try(lambda: os.ftruncate(self._handle, self._size))
        return self._size

    def _write(self, view: memoryview, place: int) -> None:
        while len(view):
            count = os.pwrite(self._handle, view, place)
            view, place = view[count:], place + count

    def _try(self, action: Any) -> None:
        if self.error is None:
            try:
                action()
            except OSError as error:
                self.error = error
