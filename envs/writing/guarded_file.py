"""A file object for h5py that turns a full disk into an error in place of a crash."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any


class GuardedFile(io.FileIO):
    """A new file, open for reading and writing, that keeps the first error of a write.

    HDF5 ends the process if it cannot write the last data of a file when it closes it. This file drops all writes after
    the first error, and raises that error in `check`.

    Args:
        path: must not exist.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path, "x+")
        self.error: OSError | None = None  # of the first failed write

    def check(self) -> None:
        """Raises the OSError of the first failed write, if there is one."""
        if self.error is not None:
            raise self.error

    def close(self) -> None:
        """Closes the file when everything is on the disk."""
        if not self.closed:
            self._try(lambda: os.fsync(self.fileno()))
        super().close()

    def readinto(self, buffer: Any) -> int:
        """Fills a buffer. Dropped bytes read as zeros."""
        view = memoryview(buffer).cast("B")
        count = super().readinto(view) or 0
        view[count:] = bytes(len(view) - count)
        return len(view)

    def write(self, buffer: Any) -> int:
        """Writes a whole buffer, or drops it after an error. HDF5 seeks before each write."""
        view = memoryview(buffer).cast("B")
        self._try(lambda: self._write(view))
        return len(view)

    def truncate(self, size: int | None = None) -> int:
        """Changes the size of the file."""
        self._try(lambda: super(GuardedFile, self).truncate(size))
        return self.tell() if size is None else size

    def _write(self, view: memoryview) -> None:
        while len(view):
            view = view[super().write(view) :]

    def _try(self, action: Callable[[], Any]) -> None:
        if self.error is None:
            try:
                action()
            except OSError as error:
                self.error = error
