"""A fork of this process that sees one folder alone, has bounds, and cannot take the machine or the campaign down."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import resource
import select
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

GIB = 2**30
MESSAGE = re.compile(r"^Error: (.*)", re.MULTILINE | re.DOTALL)


class Refusal(Exception):
    """The command ended with exit code 2 and this message; `printed` went to stdout, where nothing belongs then."""

    def __init__(self, message: str, printed: str = "") -> None:
        super().__init__(message)
        self.printed = printed


class Failure(Exception):
    """The command ended in another way than a command may end."""


@dataclass(frozen=True)
class Place:
    """Where one input is tried: everything it may see lies below `root`."""

    root: Path

    @property
    def work(self) -> Path:
        """The working folder."""
        return self.root / "work"

    @property
    def data(self) -> Path:
        """The datasets folder."""
        return self.root / "datasets"

    def enter(self) -> None:
        """Make this process see this place alone."""
        for name in ("work", "home", "tmp", "cache"):
            (self.root / name).mkdir(parents=True, exist_ok=True)
        os.environ.update(
            HOME=str(self.root / "home"),
            TMPDIR=str(self.root / "tmp"),
            XDG_CACHE_HOME=str(self.root / "cache"),
            MINARI_DATASETS_PATH=str(self.data),
        )
        tempfile.tempdir = None
        os.chdir(self.work)

    def transfer(self, *arguments: object, found: bool = False) -> str:
        """Run the command as a shell does; its stdout.

        Args:
            arguments: behind `transfer`.
            found: exit code 1 says that something was found to be wrong, as `data check` does.

        Raises:
            Refusal: exit code 2, or 1 with `found`.
            Failure: any other but 0, or a traceback.
        """
        from transfer.recipes.cli.commands import cli

        given = [str(one) for one in arguments]
        if given[:1] == ["run"]:  # in this process, where gates are open
            given += ["--jobs", "1"]
        with captured(self.root.parent) as streams:
            code = _exit_code(lambda: cli(given, prog_name="transfer"))
        stdout, stderr = streams
        if code == 2 and "Traceback" not in stderr:
            said = MESSAGE.search(stderr)
            raise Refusal(said.group(1).strip() if said else "", stdout)
        if code == 1 and found and "Traceback" not in stderr:
            raise Refusal(stdout)
        if code or "Traceback" in stderr:
            raise Failure(f"exit code {code}, stdout {stdout[-300:]!r}\n{stderr[-1200:]}")
        return stdout


def _exit_code(call: Callable[[], object]) -> int:
    try:
        call()
    except SystemExit as error:
        return error.code if isinstance(error.code, int) else int(error.code is not None)
    except BaseException:  # as Python itself does at the end of a program
        traceback.print_exc()
        return 1
    return 0


def fork(work: Callable[[], Any], seconds: float) -> tuple[Any, int | None]:
    """What `work` returns in a fork, through JSON, and the exit status; the status is None when it did not end."""
    reader, writer = os.pipe()
    sys.stdout.flush()
    child = os.fork()
    if not child:
        status = 1
        try:
            os.close(reader)
            os.setsid()
            os.write(writer, json.dumps(work()).encode())
            status = 0
        finally:  # nothing may go on in here as if this were the campaign
            os._exit(status)
    os.close(writer)
    answer, ended = _read(reader, time.monotonic() + seconds)
    os.close(reader)
    if not ended:
        _end(child)
    _, status = os.waitpid(child, 0)
    _end(child)  # what it has started itself
    return (json.loads(answer) if answer else None), (status if ended else None)


def _read(reader: int, until: float) -> tuple[bytes, bool]:
    """Everything from a pipe, and whether its other end was closed in time."""
    answer = b""
    while (left := until - time.monotonic()) > 0:
        if select.select([reader], [], [], left)[0]:
            some = os.read(reader, 2**16)
            if not some:
                return answer, True
            answer += some
    return answer, False


def _end(group: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, signal.SIGKILL)


def limit(seconds: float) -> None:
    """Bounds on memory, on processor time and on the size of a file."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + 4 * GIB,) * 2)
    resource.setrlimit(resource.RLIMIT_CPU, (int(seconds) + 10,) * 2)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2 * GIB,) * 2)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


@contextlib.contextmanager
def captured(folder: Path) -> Iterator[list[str]]:
    """After the block the list holds what went to stdout and to stderr, from C code and from threads too."""
    found: list[str] = []
    with tempfile.TemporaryFile(dir=folder) as out, tempfile.TemporaryFile(dir=folder) as err:
        kept = os.dup(1), os.dup(2)
        try:
            os.dup2(out.fileno(), 1)
            os.dup2(err.fileno(), 2)
            yield found
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            for number, before in zip((1, 2), kept, strict=True):
                os.dup2(before, number)
                os.close(before)
            for stream in (out, err):
                stream.seek(0)
                found.append(stream.read().decode(errors="replace"))


def snapshot(root: Path) -> dict[str, str]:
    """Path below a folder -> what is there."""
    found = {}
    for folder, names, files in os.walk(root):
        for name in (*names, *files):
            path = Path(folder, name)
            found[path.relative_to(root).as_posix() + "/" * (name in names)] = _content(path)
    return found


def _content(path: Path) -> str:
    if path.is_symlink():
        return f"-> {os.readlink(path)}"
    if not path.is_file():
        return "no file"
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        return f"unreadable: {error.strerror}"


def changes(before: dict[str, str], after: dict[str, str]) -> list[str]:
    """Paths that differ."""
    return sorted(path for path in before.keys() | after.keys() if before.get(path) != after.get(path))
