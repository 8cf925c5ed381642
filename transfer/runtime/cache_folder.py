"""The cache folder, and whether another user could have written to a file or folder."""

from __future__ import annotations

import logging
import os
import stat
import tempfile
from functools import cache
from pathlib import Path

NAME = "embedding-swap"

log = logging.getLogger(__name__)


def cache_root() -> Path:
    """$XDG_CACHE_HOME/embedding-swap, by default ~/.cache/embedding-swap; in TMPDIR for a user without a home folder.

    It need not exist, and others may be able to write to it: see `distrust`.
    """
    chosen = os.environ.get("XDG_CACHE_HOME", "")
    if os.path.isabs(chosen):  # the specification says to ignore relative paths
        return Path(chosen) / NAME
    try:
        home = Path.home()
    except RuntimeError:  # no HOME, and no entry for this user in the system's list, as in many containers
        return _homeless()
    return home / ".cache" / NAME if home.is_absolute() else _homeless()


@cache
def _homeless() -> Path:
    folder = Path(tempfile.gettempdir()) / f"{NAME}-{os.getuid() if hasattr(os, 'getuid') else 'cache'}"
    log.warning("this user has no home folder: caches are kept in %s. Set HOME or XDG_CACHE_HOME to choose.", folder)
    return folder


def distrust(path: Path) -> str:
    """Why another user, except the administrator, could have written a file or folder; "" where none could.

    Of a link both ends are examined.
    """
    if not hasattr(os, "geteuid"):  # not a POSIX system
        return ""
    for found, what in ((path.lstat(), "the link" if path.is_symlink() else "it"), (path.stat(), "it")):
        if found.st_uid not in (0, os.geteuid()):
            return f"{what} belongs to user {found.st_uid}"
    if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        return f"others may write to it (mode {stat.S_IMODE(found.st_mode):o}; `chmod go-w {path}` changes that)"
    return ""


def own_folder(path: Path) -> str:
    """Make a folder that only this user can write to; returns why it is not such a folder, "" where it is."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.mkdir(mode=0o700, exist_ok=True)
        return distrust(path)
    except OSError as error:
        return f"it cannot be made: {error.strerror or error}"
