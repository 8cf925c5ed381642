"""Memory: freed memory that is kept during training, and errors where there is too little."""

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
_lock, _inside = threading.Lock(), 0  # number of open `kept_memory` blocks
TUNED = ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_MAX_", "MALLOC_MMAP_THRESHOLD_", "GLIBC_TUNABLES")


@contextmanager
def kept_memory() -> Iterator[bool]:
    """Inside, the C library keeps freed memory for the next request; afterwards it returns free memory to the system.

    By default each tensor of some megabytes is fresh memory from the system, whose pages are mapped and zeroed one by
    one at their first use, at every training step again: on a virtual machine up to a quarter of the time. Nothing
    changes without a GNU C library, or where the environment tunes it. The setting holds for the whole process: of
    nested blocks, or blocks in several threads, the last one to end resets it.

    Yields:
        whether freed memory is kept.
    """
    global _inside
    libc = None if any(name in os.environ for name in TUNED) else _gnu_libc()
    if libc is None:
        yield False
        return
    with _lock:
        _inside += 1
        if _inside == 1:
            libc.mallopt(TRIM_THRESHOLD, -1)
            libc.mallopt(MMAP_MAX, 0)
    try:
        yield True
    finally:
        with _lock:
            _inside -= 1
            if _inside == 0:
                libc.mallopt(TRIM_THRESHOLD, TRIM_DEFAULT)
                libc.mallopt(MMAP_MAX, MMAP_DEFAULT)
                libc.malloc_trim(0)


def check_room(needed: int, what: str, device: torch.device, advice: str) -> None:
    """Raise TransferError when the memory of a CUDA device, or of the machine, is smaller than `needed` bytes in all.

    Otherwise the system kills the process without a message. `advice` says which setting to lower.
    """
    have = torch.cuda.get_device_properties(device).total_memory if device.type == "cuda" else _machine_bytes()
    if have is not None and needed > have:
        raise TransferError(
            f"{what} needs at least {needed / 1e9:,.1f} GB of memory, there are {have / 1e9:,.1f} GB. {advice}"
        )


@contextmanager
def said_when_exhausted(advice: str) -> Iterator[None]:
    """Turn errors about exhausted memory into a TransferError with this advice."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        text = str(error)
        if not isinstance(error, (MemoryError, torch.OutOfMemoryError)) and "can't allocate memory" not in text:
            raise
        reason = text.splitlines()[0] if text else type(error).__name__
        raise TransferError(f"there is not enough memory ({reason[:200]}). {advice}") from error


def forget_peak() -> None:
    """Begin to measure `peak_bytes` anew, where the system can: Linux."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def peak_bytes() -> int | None:
    """The most memory that this process has held since `forget_peak`, or since it began; None where it is unknown."""
    with suppress(OSError, ValueError, StopIteration):
        lines = Path("/proc/self/status").read_text().splitlines()
        return 1024 * int(next(line for line in lines if line.startswith("VmHWM:")).split()[1])
    with suppress(ImportError):
        import resource

        unit = 1 if sys.platform == "darwin" else 1024
        return unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return None


def _machine_bytes() -> int | None:
    """Memory of the machine, or the smaller limit of a container; None where it is unknown."""
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
