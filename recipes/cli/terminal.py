"""What the command prints on: streams that are closed, broken or unable to show a character do not end its work.

Control characters, which come from files and their names, are shown and not sent: they could rewrite what is on a
terminal.
"""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TextIO

from transfer.recipes.reports.escaping import plain

# A reader that has had enough, a terminal that was closed.
GONE = (errno.EPIPE, errno.EIO, errno.EBADF)


class Lasting:
    """A text stream that can be written to even when nobody reads it any more.

    Args:
        stream: what is written to.
        kept: characters that cannot be seen and are sent all the same.
        forgiven: numbers of the errors that do not matter; None for all.
    """

    def __init__(self, stream: TextIO, kept: str, forgiven: tuple[int, ...] | None) -> None:
        self.stream, self.kept, self.forgiven = stream, kept, forgiven

    def write(self, text: str) -> int:
        """Write text; returns its length."""
        if not isinstance(text, str):  # click finds out in this way what kind of stream it has
            raise TypeError(f"a text stream takes text, not {type(text).__name__}")
        encoding = self.stream.encoding or "utf-8"
        try:
            self.stream.write(plain(text, self.kept).encode(encoding, "backslashreplace").decode(encoding))
        except OSError as error:
            self._lose(error)
        return len(text)

    def flush(self) -> None:
        """Send what was written."""
        try:
            self.stream.flush()
        except OSError as error:
            self._lose(error)

    def end(self) -> None:
        """Send what is left, or drop it: it would fail once more when the process ends."""
        try:
            self.stream.flush()
        except OSError:
            self._drop()

    def _lose(self, error: OSError) -> None:
        if self.forgiven is not None and error.errno not in self.forgiven:
            raise error
        self._drop()

    def _drop(self) -> None:
        """From now on nothing is sent."""
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self.stream.fileno())
        os.close(nowhere)

    def __getattr__(self, name: str) -> Any:
        """Whatever else the stream has."""
        return getattr(self.stream, name)


@contextmanager
def lasting_streams() -> Iterator[None]:
    """Inside, stdout and stderr are `Lasting`.

    On stdout only a reader that is gone is forgiven: on a full disk results would be lost without a word.
    """
    reopen_closed()
    before = sys.stdout, sys.stderr
    streams = Lasting(sys.stdout, "\n\t", GONE), Lasting(sys.stderr, "\n\t\r", None)
    sys.stdout, sys.stderr = streams
    try:
        yield
    finally:
        for stream in streams:
            stream.end()
        sys.stdout, sys.stderr = before


def reopen_closed() -> None:
    """Open nothing in place of what the caller closed (2>&-).

    The next file would get its number otherwise, and with it what libraries print.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            handle = os.open(os.devnull, os.O_RDWR)  # the lowest free number, which is the one that was closed
            os.set_inheritable(handle, True)  # as streams are: glfw looks for its library in a process of its own
            setattr(sys, name, os.fdopen(handle, mode, encoding="utf-8"))
