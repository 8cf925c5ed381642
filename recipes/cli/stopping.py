"""Signals that ask a process to end interrupt it as Ctrl-C does: it cleans up, and the command says how to go on."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

NAMES = ("SIGTERM", "SIGHUP")  # a batch system's time is up; a terminal was closed


class Stopped(KeyboardInterrupt):
    """Raised for a signal, whose number it keeps. A second signal ends the process at once."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.signal = number


def _stop(number: int, frame: FrameType | None) -> None:
    signal.signal(number, signal.SIG_DFL)
    raise Stopped(number)


@contextmanager
def stoppable() -> Iterator[None]:
    """Inside, these signals raise `Stopped`; one that is ignored (nohup) or handled already stays so.

    Processes of torchrun are left alone: one that waits for the others would see the signal too late, so that torchrun
    waits as well.
    """
    mine: list[int] = []
    if threading.current_thread() is threading.main_thread() and os.environ.get("WORLD_SIZE", "1") == "1":
        numbers = [getattr(signal, name) for name in NAMES if hasattr(signal, name)]
        mine = [number for number in numbers if signal.getsignal(number) is signal.SIG_DFL]
    try:
        for number in mine:
            signal.signal(number, _stop)
        yield
    finally:
        for number in mine:
            signal.signal(number, signal.SIG_DFL)


def exit_code(error: KeyboardInterrupt) -> int:
    """The exit code that shells give to an end by a signal: 130 for Ctrl-C, 143 for SIGTERM, 129 for SIGHUP."""
    return 128 + (error.signal if isinstance(error, Stopped) else signal.SIGINT)
