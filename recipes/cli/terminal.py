"""Streams of the command: one that is closed, broken or unable to show a character does not end its work.

Control characters in files and their names are shown and not sent: they could rewrite what is on a terminal.
"""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TextIO

from transfer.recipes.reports.escaping import plain

GONE = (errno.EPIPE, errno.EIO, errno.EBADF)  # a reader that has ended, a terminal that was closed


class Lasting:
    """A text stream that can be written to after its reader has gone.

    Args:
        stream: what is written to.
        kept: invisible characters that are sent all the same.
        forgiven: errno of the errors after which nothing is sent any more; None for all. Others are raised.
    """

    def __init__(self, stream: TextIO, kept: str, forgiven: tuple[int, ...] | None) -> None:
        self.stream, self.kept, self.forgiven = stream, kept, forgiven

    def write(self, text: str) -> int:
        """Write text; returns its length."""
        if not isinstance(text, str):  # click finds out in this way what kind of stream it has
            raise TypeError(f"a text stream takes text, not {type(text).__name__}")
        encoding = self.stream.encoding or "utf-8"
        with self._forgiving():
            self.stream.write(plain(text, self.kept).encode(encoding, "backslashreplace").decode(encoding))
        return len(text)

    def flush(self) -> None:
        """Send what was written."""
        with self._forgiving():
            self.stream.flush()

    def end(self) -> None:
        """Send the rest, or drop it: Python would fail once more to send it when the process ends."""
        try:
            self.stream.flush()
        except OSError:
            self._drop()

    @contextmanager
    def _forgiving(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if self.forgiven is not None and error.errno not in self.forgiven:
                raise
            self._drop()

    def _drop(self) -> None:
        """Send nothing from now on."""
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self.stream.fileno())
        os.close(nowhere)

    def __getattr__(self, name: str) -> Any:
        """Everything else of the stream."""
        return getattr(self.stream, name)


@contextmanager
def lasting_streams() -> Iterator[None]:
    """Inside, stdout and stderr are `Lasting`; on stdout a full disk stays an error, because results would be lost."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:  # closed by the caller (2>&-): the next file would get its number and its output
            handle = os.open(os.devnull, os.O_RDWR)  # the lowest free number, which is the one that was closed
            os.set_inheritable(handle, True)  # as streams are: glfw looks for its library in a process of its own
            setattr(sys, name, os.fdopen(handle, mode, encoding="utf-8"))
    before = sys.stdout, sys.stderr
    streams = Lasting(sys.stdout, "\n\t", GONE), Lasting(sys.stderr, "\n\t\r", None)
    sys.stdout, sys.stderr = streams
    try:
        yield
    finally:
        for stream in streams:
            stream.end()
        sys.stdout, sys.stderr = before
