"""Warnings that are logged once, and messages of packages that build environments, kept off stderr."""

from __future__ import annotations

import contextlib
import functools
import logging
import threading
from collections.abc import Iterator

logger = logging.getLogger(__name__)
_building = threading.local()


@functools.lru_cache(maxsize=256)
def warn_once(logger: logging.Logger, message: str) -> None:
    """Log a warning once a process for each logger and message."""
    logger.warning("%s", message)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Inside, messages of packages that build environments go to this module's logger, at level debug.

    gymnasium_robotics prints a notice about Adroit at its import, and MuJoCo 4 writes warnings about HalfCheetah's
    model to stderr and to MUJOCO_LOG.TXT in the working folder unless a handler is set. stderr itself is not
    redirected: environments may pass it to a process, or print to it.
    """
    _redirect_messages()
    depth = getattr(_building, "depth", 0)
    _building.depth = depth + 1
    try:
        yield
    finally:
        _building.depth = depth


def _redirect_messages() -> None:
    with contextlib.suppress(ImportError):
        from farama_notifications import notifications

        notifications.pop("gymnasium_robotics", None)
    with contextlib.suppress(ImportError):
        import mujoco

        if mujoco.get_mju_user_warning() is None:  # one handler for all threads; MuJoCo warns while it is stepped, too
            mujoco.set_mju_user_warning(_log_warning)


def _log_warning(message: str) -> None:
    """Log a warning at level debug while a model is built, and once each while a simulation runs."""
    if getattr(_building, "depth", 0):
        logger.debug("mujoco: %s", message)
    else:
        warn_once(logger, "mujoco: " + message)
