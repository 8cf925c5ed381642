"""Errors of the machine as one line: a full disk, no permission, no memory."""

from __future__ import annotations

import errno
import logging
from collections.abc import Callable, Iterator
from pathlib import Path

logger = logging.getLogger(__name__)
REASONS = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk is full: your quota is used up",
    errno.EFBIG: "a file is larger than this process may write (ulimit -f)",
    errno.EACCES: "no permission",
    errno.EPERM: "no permission",
    errno.EROFS: "the disk is read-only",
    errno.EIO: "the disk fails",
    errno.EMFILE: "this process has too many files open (ulimit -n): play fewer environments at once",
    errno.ENFILE: "this machine has too many files open",
    errno.ENOMEM: "there is not enough memory",
    errno.EAGAIN: "this machine starts no more threads or processes (ulimit -u)",
}
# safetensors and HDF5 have the number in their text alone, PyTorch has only words.
WRITTEN = {form.format(code): reason for code, reason in REASONS.items() for form in ("os error {}", "errno = {},")}
MEMORY = ("not enough memory", "out of memory")


def trouble(error: BaseException) -> str:
    """The reason in words, with the system's own; "" where neither an error nor its causes are the machine's."""
    for one in causes(error):
        if isinstance(one, OSError) and one.errno is not None:
            where = f"{one.filename}: " if one.filename else ""
            said = one.strerror or str(one)
            return f"{REASONS[one.errno]} ({where}{said})" if one.errno in REASONS else f"{where}{said}"
        text = str(one)
        if isinstance(one, RecursionError):
            return "something is nested too deeply to be one of this library's files"
        if isinstance(one, MemoryError) or (isinstance(one, RuntimeError) and any(word in text for word in MEMORY)):
            return f"{REASONS[errno.ENOMEM]} ({text.splitlines()[0] if text else 'MemoryError'})"
        for words, reason in WRITTEN.items():
            if words in text:
                return f"{reason} ({text})"
    return ""


def machine(error: BaseException) -> bool:
    """Whether an error comes from a machine that has run out of something: the same command may work later."""
    lacks = set(REASONS) - {errno.EACCES, errno.EPERM}
    return any(isinstance(one, OSError) and one.errno in lacks for one in causes(error))


def causes(error: BaseException) -> Iterator[BaseException]:
    """An error, then what it was raised from, and so on."""
    one: BaseException | None = error
    while one is not None:
        yield one
        one = one.__cause__


def plot_or_warn(file: Path, plot: Callable[[], None]) -> None:
    """Draw a plot; a failure is a warning, because the numbers in the plot are written already."""
    try:
        plot()
    except Exception as error:  # matplotlib raises anything, by its own settings and by its user's
        if trouble(error):
            raise
        logger.warning("%s is not drawn: %s: %s", file, type(error).__name__, error)
