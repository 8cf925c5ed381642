"""Warnings that are logged once, and what packages say while they build environments, kept off stderr."""

from __future__ import annotations

import contextlib
import functools
import logging
import threading
from collections.abc import Iterator

logger = logging.getLogger(__name__)
_lock = threading.Lock()
_building = threading.local()


@functools.lru_cache(maxsize=256)
def warn_once(logger: logging.Logger, message: str) -> None:
    """Log a warning under the name of whoever warns, once a process for each message."""
    logger.warning("%s", message)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Inside, what packages say while environments are built goes to this module's logger as debug messages.

    gymnasium_robotics prints a notice about Adroit at its import, and MuJoCo 4 writes warnings about HalfCheetah's
    model to stderr and to MUJOCO_LOG.TXT in the working folder unless a handler takes them. stderr stays as it is:
    environments may hand it to a process, and what they print is theirs to print.
    """
    _forget_notices()
    _take_mujoco_warnings()
    depth = getattr(_building, "depth", 0)
    _building.depth = depth + 1
    try:
        yield
    finally:
        _building.depth = depth


@functools.cache
def _forget_notices() -> None:
    with contextlib.suppress(ImportError):
        from farama_notifications import notifications

        notifications.pop("gymnasium_robotics", None)


def _take_mujoco_warnings() -> None:
    """MuJoCo has one handler for all threads; ours stays, since its warnings come while it is stepped, too."""
    try:
        import mujoco
    except ImportError:
        return
    with _lock:
        if mujoco.get_mju_user_warning() is None:
            mujoco.set_mju_user_warning(_log_warning)


def _log_warning(message: str) -> None:
    """Warnings about a model as it is built are for nobody; those of a running simulation are said once each."""
    if getattr(_building, "depth", 0):
        logger.debug("mujoco: %s", message)
    else:
        warn_once(logger, "mujoco: " + message)
