"""Locks between processes, which the system releases when a process ends or is killed."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from transfer.errors import TransferError

PATIENCE = 60.0  # seconds to wait for another process

try:
    import fcntl
except ImportError:  # not a POSIX system
    fcntl = None  # type: ignore[assignment]


def lock(handle: int) -> bool | None:
    """Lock an open file or folder for this process, without waiting.

    Returns:
        True when it is locked now, False when another process has locked it, None where locks are not supported.
    """
    if fcntl is None:
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks
        return None
    return True


@contextmanager
def one_at_a_time(folder: Path) -> Iterator[bool]:
    """Lock a folder: other processes and threads wait here, up to a minute.

    Yields whether it is locked: False where the system or the file system has no locks.

    Raises:
        TransferError: another process kept it locked for longer.
    """
    handle, deadline, locked = os.open(folder, os.O_RDONLY), time.monotonic() + PATIENCE, None
    try:
        while (locked := lock(handle)) is False:
            if time.monotonic() > deadline:
                raise TransferError(f"another process has been saving into {folder} for {PATIENCE:.0f} seconds.")
            time.sleep(0.005)
        yield bool(locked)
    finally:
        if locked:
            fcntl.flock(handle, fcntl.LOCK_UN)  # closing is not enough where a child process has the handle too
        os.close(handle)
