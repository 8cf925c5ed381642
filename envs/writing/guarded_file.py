"""A file that HDF5 writes to through Python, so that a full disk is an error and no crash.

HDF5 cannot close a file whose last numbers it could not write: the process dies. Here the first error is kept, what
follows is dropped, and whoever writes asks for it when the file is closed.
"""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any


class CarefulFile(io.RawIOBase):
    """A new file, open for reading and writing.

    Args:
        path: must not exist.
    """

    def __init__(self, path: Path) -> None:
        self._handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)
        self._place = self._size = 0
        self.error: OSError | None = None  # the first thing that could not be written

    def check(self) -> None:
        """Raises OSError if anything was not written."""
        if self.error is not None:
            raise self.error

    def close(self) -> None:
        """Waits until everything is on the disk."""
        if not self.closed:
            self._try(lambda: os.fsync(self._handle))
            os.close(self._handle)
        super().close()

    def readable(self) -> bool:
        """HDF5 reads back what it wrote."""
        return True

    def writable(self) -> bool:
        """It is new."""
        return True

    def seekable(self) -> bool:
        """HDF5 writes headers last."""
        return True

    def tell(self) -> int:
        """Where the next byte goes."""
        return self._place

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Goes to a place in the file."""
        self._place = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._place, os.SEEK_END: self._size}[whence]
        return self._place

    def readinto(self, buffer: Any) -> int:
        """Reads what was written; what was dropped reads as zeros."""
        view = memoryview(buffer).cast("B")
        found = os.pread(self._handle, len(view), self._place)
        view[:] = found + bytes(len(view) - len(found))
        self._place += len(view)
        return len(view)

    def write(self, buffer: Any) -> int:
        """Writes all of a buffer, or drops it where something before could not be written."""
        view = memoryview(buffer).cast("B")
        self._try(lambda: self._write(view, self._place))
        self._place += len(view)
        self._size = max(self._size, self._place)
        return len(view)

    def truncate(self, size: int | None = None) -> int:
        """Cuts the file, or makes it longer."""
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
