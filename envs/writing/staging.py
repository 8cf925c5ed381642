"""Staging folders: files are written there and published by one rename.

Each folder is locked by the process that writes in it. The system releases a lock when its process ends, even by a
kill, so an unlocked folder is left over.
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
_DAY = 86_400  # seconds; older folders count as left over on file systems without locks


@contextlib.contextmanager
def staged(root: Path, prefix: str, mode: int = 0o777) -> Iterator[Path]:
    """Makes a hidden folder in `root` that is removed when the block ends.

    Args:
        root: made if missing, and removed again if it is still empty in the end.
        prefix: of the folder's name, beginning with a dot.
        mode: of `root`, if it has to be made.

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


def _locked_folder(root: Path, prefix: str) -> tuple[Path, int]:
    while True:
        folder = Path(tempfile.mkdtemp(prefix=prefix, dir=root))
        handle = os.open(folder, os.O_RDONLY)
        # Another process may have removed it as left over before it was locked.
        if lock(handle) is not False and folder.exists():
            return folder, handle
        os.close(handle)


def set_aside(root: Path, folder: Path, place: Path) -> Path | None:
    """Moves what is at a place below `root` into a staging folder, for `recover`; returns its new path, or None."""
    if not place.exists():
        return None
    before = folder / _ASIDE / place.relative_to(root)
    before.parent.mkdir(parents=True, exist_ok=True)  # two datasets of one namespace may be replaced together
    place.rename(before)
    return before


def recover(root: Path, prefix: str) -> None:
    """Removes the folders that killed processes left in `root`. What they set aside and did not replace is restored."""
    for folder in sorted(root.glob(f"{prefix}*")):
        try:
            handle = os.open(folder, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_DIRECTORY", 0))
        except OSError:  # no folder, or removed by another process
            continue
        try:
            free = lock(handle)
            if free or (free is None and time.time() - os.fstat(handle).st_mtime > _DAY):
                _restore(root, folder / _ASIDE)
                shutil.rmtree(folder, ignore_errors=True)
        finally:
            os.close(handle)


def _restore(root: Path, aside: Path) -> None:
    """Moves datasets that were set aside back to their places, where nothing else has taken them."""
    for data in sorted(aside.glob("**/data")):
        place = root / data.parent.relative_to(aside)
        if not place.exists():
            place.parent.mkdir(parents=True, exist_ok=True)
            data.parent.rename(place)
