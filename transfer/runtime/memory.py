"""Memory: what there is, what is asked for, and what stays with the process while it trains."""

from __future__ import annotations

import ctypes
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import torch

from transfer.errors import TransferError

# From malloc.h of the GNU C library, with the defaults of mallopt(3).
TRIM_THRESHOLD, TRIM_DEFAULT = -1, 128 * 1024
MMAP_MAX, MMAP_DEFAULT = -4, 65536
_lock, _inside = threading.Lock(), 0  # how many `kept_memory` blocks the process is in
TUNED = ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_MAX_", "MALLOC_MMAP_THRESHOLD_", "GLIBC_TUNABLES")


@contextmanager
def kept_memory() -> Iterator[bool]:
    """Inside, the C library keeps freed memory for the next request; afterwards it gives back what is free.

    By default each tensor of some megabytes is fresh memory from the system, whose pages are mapped and zeroed one by
    one when they are first touched, at every training step anew: on a virtual machine up to a quarter of the time.
    Nothing changes where there is no GNU C library, or where the environment tunes it. The setting is one for the whole
    process: where several threads train, or one inside another, the last to leave takes it back.

    Yields:
        whether freed memory is kept.
    """
    libc = None if any(name in os.environ for name in TUNED) else _gnu_libc()
    if libc is None:
        yield False
        return
    _enter(libc)
    try:
        yield True
    finally:
        _leave(libc)


def _enter(libc: ctypes.CDLL) -> None:
    global _inside
    with _lock:
        _inside += 1
        if _inside == 1:
            libc.mallopt(TRIM_THRESHOLD, -1)
            libc.mallopt(MMAP_MAX, 0)


def _leave(libc: ctypes.CDLL) -> None:
    global _inside
    with _lock:
        _inside -= 1
        if _inside == 0:
            libc.mallopt(TRIM_THRESHOLD, TRIM_DEFAULT)
            libc.mallopt(MMAP_MAX, MMAP_DEFAULT)
            libc.malloc_trim(0)


def check_room(needed: int, what: str, device: torch.device, advice: str) -> None:
    """Refuse what no memory here can hold, before the system ends the process without a word.

    Args:
        needed: bytes, at the very least.
        what: needs them.
        device: where.
        advice: the setting to lower, as a sentence.

    Raises:
        TransferError: the device, or the machine, has less in all.
    """
    have = torch.cuda.get_device_properties(device).total_memory if device.type == "cuda" else _machine()
    if have is not None and needed > have:
        raise TransferError(
            f"{what} needs at least {needed / 1e9:,.1f} GB of memory, there are {have / 1e9:,.1f} GB. {advice}"
        )


@contextmanager
def said_when_exhausted(advice: str) -> Iterator[None]:
    """Inside, memory that cannot be had is a TransferError with this advice."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        text = str(error)
        if not isinstance(error, (MemoryError, torch.OutOfMemoryError)) and "can't allocate memory" not in text:
            raise
        reason = text.splitlines()[0] if text else type(error).__name__
        raise TransferError(f"there is not enough memory ({reason[:200]}). {advice}") from error


def _machine() -> int | None:
    """Bytes that this process may have: the machine's, or fewer where a container has a limit."""
    try:
        whole = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return None
    with suppress(OSError, ValueError):
        return min(whole, int(Path("/sys/fs/cgroup/memory.max").read_text()))
    return whole


def _gnu_libc() -> ctypes.CDLL | None:
    if sys.platform != "linux":
        return None
    libc = ctypes.CDLL(None)
    return libc if hasattr(libc, "gnu_get_libc_version") else None
