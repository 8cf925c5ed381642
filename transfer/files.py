"""Writing files and folders so that a crash never leaves half of one; reading JSON and tensors with clear errors."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from transfer.errors import TransferError

if TYPE_CHECKING:
    from torch import Tensor


def as_path(value: str | os.PathLike[str], name: str = "path") -> Path:
    """A path as somebody typed it, with `~` expanded; links are left as they are.

    Raises:
        TransferError: not a path, an empty one, one that no file system takes, or a `~` that stands for nobody.
    """
    text = os.fspath(value) if isinstance(value, str | os.PathLike) else value
    if not isinstance(text, str):
        raise TransferError(f"{name}={value!r:.80} is a {type(value).__name__}, not a path: give text or a Path.")
    if not text or "\0" in text:
        raise TransferError(f"{name}={text!r:.80} is no path: it is empty or holds a NUL character.")
    try:
        os.fsencode(text)
        return Path(text).expanduser()
    except UnicodeEncodeError as error:
        raise TransferError(f"{name}={text!r:.80} is no path: the file system cannot encode it.") from error
    except RuntimeError as error:  # no such user, or neither HOME nor an entry for this user in the system's list
        raise TransferError(
            f"{name}={text!r:.80}: nobody's home folder is known under that name. Write the folder out, or ./~ for a "
            "file whose name begins with ~."
        ) from error


@contextmanager
def replacing_folder(folder: Path) -> Iterator[Path]:
    """A temporary folder beside `folder`, which takes its place when the block ends well and is removed when not."""
    folder = folder.absolute()
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary, old = (folder.with_name(f".{folder.name}.{kind}") for kind in ("new", "old"))
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir()
    try:
        yield temporary
        for file in temporary.iterdir():
            flush(file)
        if folder.exists():  # else `old` may be all there is, after a kill between the two renames
            shutil.rmtree(old, ignore_errors=True)
            folder.rename(old)
        temporary.rename(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        recover_folder(folder)
    shutil.rmtree(old, ignore_errors=True)


def recover_folder(folder: Path) -> None:
    """Finish a replacement that was killed between its two renames: the old content is then the newest whole one."""
    old = folder.absolute().with_name(f".{folder.name}.old")
    if old.exists() and not folder.exists():
        old.rename(folder)


def flush(file: Path) -> None:
    """Wait until a file is on the disk: a rename can get there before the content, and power can fail in between."""
    with file.open("rb+") as stream:
        os.fsync(stream.fileno())


def write_text(path: Path, text: str) -> None:
    """Write a text file under a temporary name, then rename it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.new")
    try:
        temporary.write_text(text, encoding="utf-8")
        flush(temporary)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_json(path: Path, content: Any) -> None:
    """Write readable JSON under a temporary name, then rename it."""
    write_text(path, json.dumps(content, indent=1) + "\n")


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        TransferError: no such file, or not a JSON object.
    """
    if not path.is_file():
        raise TransferError(f"{path} does not exist. `transfer ls` shows the runs at hand.")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise TransferError(f"{path} is not valid JSON ({error}); it was truncated or edited.") from error
    if not isinstance(content, dict):
        raise TransferError(f"{path} holds a {type(content).__name__}, not a JSON object.")
    return content


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Read a safetensors file.

    Raises:
        TransferError: no such file, or a truncated or damaged one.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    if not path.is_file():
        raise TransferError(f"{path} does not exist; the folder is not a whole checkpoint.")
    try:
        return load_file(path)
    except (SafetensorError, ValueError, KeyError) as error:
        raise TransferError(f"{path} is truncated or damaged: {error}.") from error
