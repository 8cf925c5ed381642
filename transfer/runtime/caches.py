"""The folder for what can be made again, and whether anybody else could have put something there."""

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
    """$XDG_CACHE_HOME/embedding-swap, by default ~/.cache/embedding-swap; for a user without a home one in TMPDIR.

    It need not exist, and others may write to it: see `distrust`.
    """
    chosen = os.environ.get("XDG_CACHE_HOME", "")
    if os.path.isabs(chosen):  # the specification says that others are to be passed over
        return Path(chosen) / NAME
    try:
        home = Path.home()
    except RuntimeError:  # no HOME, and this user is not in the system's list, as in many containers
        return _homeless()
    return home / ".cache" / NAME if home.is_absolute() else _homeless()


@cache
def _homeless() -> Path:
    folder = Path(tempfile.gettempdir()) / f"{NAME}-{os.getuid() if hasattr(os, 'getuid') else 'cache'}"
    log.warning("this user has no home folder: caches are kept in %s. Set HOME or XDG_CACHE_HOME to choose.", folder)
    return folder


def distrust(path: Path) -> str:
    """Why somebody else could have put or changed what is at a path; "" where nobody but the administrator could.

    Args:
        path: a file or folder; of a link both ends count.
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
    """Make a folder that only this user can write to, where there is none; the answer is why it is not such a one.

    "" says that it is.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.mkdir(mode=0o700, exist_ok=True)
        return distrust(path)
    except OSError as error:
        return f"it cannot be made: {error.strerror or error}"


def keep(path: Path, content: bytes) -> None:
    """Write a file into an own folder; a process that is killed meanwhile leaves no half of it under this name.

    Raises:
        OSError: it cannot be written.
    """
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.stem[:20]}-", delete=False) as stream:
        temporary = Path(stream.name)  # nobody else may read it, as `tempfile` makes it
        try:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())  # a rename can reach the disk before the content, and power can fail
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
