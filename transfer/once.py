"""Warnings that are said once a process, however often their reason comes up."""

from __future__ import annotations

import functools
import logging


@functools.lru_cache(maxsize=256)
def warn_once(logger: logging.Logger, message: str) -> None:
    """Log a warning under the name of whoever warns, once for each message."""
    logger.warning("%s", message)
