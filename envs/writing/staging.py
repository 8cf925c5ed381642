"""Folders in which something is put together before it appears under its name by one rename.

Each is locked by the process that works in it. The system lets go of a lock when its process ends, however it ends, so
what a killed process left is known from what a living one is doing.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from transfer.storage.locks import lock

_ASIDE = "before"
_DAY = 86_400  # seconds after which a folder is left over where there are no locks


@contextlib.contextmanager
def staged(root: Path, prefix: str, mode: int = 0o777) -> Iterator[Path]:
    """A new hidden folder in `root`, gone when the block ends.

    Args:
        root: is made when missing, and goes again if nothing came to lie in it.
        prefix: of the folder's name, with a dot in front.
        mode: of `root`, where it has to be made.

    Raises:
        OSError: the folder cannot be made.
    """
    new = [folder for folder in (root, *root.parents) if not folder.exists()]
    try:
        root.mkdir(mode, parents=True, exist_ok=True)
        folder, handle = _locked_folder(root, prefix)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)
            os.close(handle)
    finally:
        for folder in new:
            with contextlib.suppress(OSError):  # not empty, or never made
                folder.rmdir()


def left_over(root: Path, prefix: str) -> Iterator[Path]:
    """Each staged folder in `root` whose process is gone, locked while it is looked at; the caller removes it."""
    for folder in sorted(root.glob(f"{prefix}*")):
        with contextlib.suppress(OSError):
            handle = os.open(folder, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_DIRECTORY", 0))
            try:
                free = lock(handle)
                if free or (free is None and time.time() - folder.stat().st_mtime > _DAY):
                    yield folder
            finally:
                os.close(handle)


def sweep(root: Path, prefix: str) -> None:
    """Removes what killed processes left in `root`."""
    for folder in left_over(root, prefix):
        shutil.rmtree(folder, ignore_errors=True)


def _locked_folder(root: Path, prefix: str) -> tuple[Path, int]:
    while True:
        folder = Path(tempfile.mkdtemp(prefix=prefix, dir=root))
        handle = os.open(folder, os.O_RDONLY)
        # Another process may have taken it for left over before it was locked.
        if lock(handle) is not False and folder.exists():
            return folder, handle
        os.close(handle)


def set_aside(root: Path, folder: Path, place: Path) -> Path | None:
    """Moves what is at a place below `root` into a staged folder, from where `recover` knows its way back.

    Returns:
        Where it is now; None if there was nothing.
    """
    if not place.exists():
        return None
    before = folder / _ASIDE / place.relative_to(root)
    before.parent.mkdir(parents=True, exist_ok=True)  # two of one namespace may be replaced together
    place.rename(before)
    return before


def recover(root: Path, prefix: str) -> None:
    """Brings back what killed processes had set aside and not replaced yet, and removes the rest that they left."""
    for folder in left_over(root, prefix):
        aside = folder / _ASIDE
        for data in sorted(aside.glob("**/data")):
            old = data.parent
            place = root / old.relative_to(aside)
            if not place.exists():
                place.parent.mkdir(parents=True, exist_ok=True)
                old.rename(place)
        shutil.rmtree(folder, ignore_errors=True)
