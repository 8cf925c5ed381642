"""Paths as typed, files written whole or not at all, and checked JSON."""

from __future__ import annotations

import errno
import json
import math
import os
import re
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

from transfer.errors import TransferError
from transfer.storage.locks import lock

JSON_LIMIT = 64 * 2**20  # bytes of a JSON file; the largest possible tokenizer has 40 MiB
DEEPEST = 100  # levels of objects and lists in a JSON file; those of the library have fewer than ten
_TEMPORARY = re.compile(r"\..+\.[0-9a-f]{16}\.new")


def as_path(value: str | os.PathLike[str], name: str = "path") -> Path:
    """A path as typed, with `~` expanded; links are not resolved.

    Raises:
        TransferError: not a path, an empty one, one that no file system takes, or a `~` of an unknown user.
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
            f"{name}={text!r:.80}: no home folder of that user is known. Write the folder out, or ./~ for a file whose "
            "name begins with ~."
        ) from error


@contextmanager
def write_errors(path: Path) -> Iterator[None]:
    """Turn an error of the operating system into a TransferError: `path` cannot be written, and why."""
    try:
        yield
    except OSError as error:
        reason = {
            errno.ENOSPC: "the disk is full",
            errno.EDQUOT: "the disk is full for you, by its quota",
            errno.EFBIG: "it is larger than this process may write (ulimit -f)",
            errno.EROFS: "the disk is read-only",
            errno.ENOTDIR: "a file stands where a folder should be",
        }.get(error.errno or 0, error.strerror or str(error))
        where = f" ({error.filename})" if error.filename and Path(error.filename) != path else ""
        raise TransferError(f"{path} cannot be written: {reason}{where}.") from error


def unwritable(folder: Path) -> str:
    """Why a folder cannot be written into, or made; "" where it can."""
    try:
        near = next(path for path in (folder, *folder.absolute().parents) if path.exists())
        if not near.is_dir():
            return f"{near} is a file"
        return "" if os.access(near, os.W_OK | os.X_OK) else f"no permission to write into {near}"
    except OSError as error:  # a name too long for the file system, say
        return str(error.strerror)


@contextmanager
def new_folder(folder: Path) -> Iterator[None]:
    """Make a folder and its parents; when the block fails, the new ones among them are removed."""
    made = [one for one in (folder, *folder.parents) if not one.exists()]
    try:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except FileExistsError as error:
            if os.path.islink(error.filename):
                raise OSError(errno.ELOOP, "a link that leads nowhere stands there", error.filename) from error
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), error.filename) from error
        yield
    except BaseException:
        for one in made:
            with suppress(OSError):  # never made, or no longer empty
                one.rmdir()
        raise


@contextmanager
def writing(path: Path) -> Iterator[BinaryIO]:
    """A stream into a new file, which replaces `path` when the block succeeds and is removed when it fails.

    Until then the file has a random name beside `path`. A link at `path` is replaced, not followed. Temporary files of
    killed processes in the folder are removed.

    Raises:
        TransferError: the file cannot be written, or `path` exists and is not a file.
    """
    with write_errors(path), new_folder(path.parent):
        if os.path.lexists(path) and not stat.S_ISREG(path.lstat().st_mode) and not path.is_symlink():
            raise TransferError(f"{path} cannot be written: it exists and is not a file.")
        sweep(path.parent)
        temporary, stream = _temporary(path)
        try:
            with stream:  # holds the lock until the file is renamed
                yield stream
                stream.flush()
                os.fsync(stream.fileno())  # on a power failure the rename could be on disk without the content
                temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        sync(path.parent)


def _temporary(path: Path) -> tuple[Path, BinaryIO]:
    """A new file beside `path`, locked, so that `sweep` of other processes spares it."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
    while True:
        temporary = path.with_name(f".{path.name[:50].lstrip('.')}.{secrets.token_hex(8)}.new")
        stream = os.fdopen(os.open(temporary, flags, 0o666), "wb")
        lock(stream.fileno())
        if temporary.exists():  # else it was swept before it was locked
            return temporary, stream
        stream.close()


def sweep(folder: Path) -> None:
    """Remove temporary files of killed processes from a folder: those without a lock."""
    with suppress(OSError):
        for name in [name for name in os.listdir(folder) if _TEMPORARY.fullmatch(name)]:
            with suppress(OSError), open_file(folder / name, getattr(os, "O_NOFOLLOW", 0)) as stream:
                if lock(stream.fileno()):
                    (folder / name).unlink()


def sync(folder: Path) -> None:
    """Wait until the names in a folder are on disk, where the system can."""
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file as `writing` does."""
    with writing(path) as stream:
        stream.write(content)


def write_text(path: Path, text: str) -> None:
    """Write a text file as `writing` does."""
    try:
        content = text.encode()
    except UnicodeEncodeError as error:
        raise TransferError(f"{path} cannot be written: its text holds half a character ({error}).") from error
    write_bytes(path, content)


def write_json(path: Path, content: Any) -> None:
    """Write readable JSON as `writing` does. Raises TransferError also for a value that JSON cannot hold, as NaN."""
    write_text(path, json.dumps(as_json(content, str(path)), indent=1) + "\n")


def as_json(content: Any, what: str) -> Any:
    """Content as reading the written file returns it: lists for tuples and arrays, text for keys.

    Raises TransferError for a value that JSON cannot hold, as NaN; `what` names the file.
    """
    try:
        plain = json.loads(json.dumps(content, allow_nan=False, default=_plain))
        check_plain(plain)
    except (TypeError, ValueError, RecursionError) as error:
        raise TransferError(f"{what} cannot be written as JSON: {error}.") from error
    return plain


def _plain(value: Any) -> Any:
    """Numbers and arrays of NumPy or PyTorch as numbers and lists of Python."""
    if not callable(getattr(value, "tolist", None)):
        raise TypeError(f"a {type(value).__name__} is neither a number nor text nor made of them: {value!r:.80}")
    return value.tolist()


def open_file(path: Path, flags: int = 0) -> BinaryIO:
    """Open a file for reading without blocking, which a pipe would do.

    Raises:
        OSError: it cannot be opened, or is not a file; `strerror` says why.
    """
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0) | flags)
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise OSError(errno.EINVAL, "it is a folder, a pipe or a device, not a file", str(path))
    return os.fdopen(handle, "rb")


def read_text(path: Path, limit: int = JSON_LIMIT, encoding: str = "utf-8") -> str:
    """Read a text file of at most `limit` bytes.

    Raises:
        TransferError: no such file, not a file, a larger one, or another encoding.
    """
    try:
        with open_file(path) as stream:
            content = stream.read(limit + 1)
    except FileNotFoundError:
        raise TransferError(f"{path} does not exist. `transfer ls` shows the runs at hand.") from None
    except OSError as error:
        raise TransferError(f"{path} cannot be read: {error.strerror}.") from error
    if len(content) > limit:
        raise TransferError(f"{path} is larger than {limit:,} bytes, so this library did not write it.")
    try:
        return content.decode(encoding)
    except UnicodeDecodeError as error:
        raise TransferError(f"{path} is not UTF-8 text ({error}); it was damaged or has another encoding.") from error


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object from an untrusted file.

    Raises:
        TransferError: no such file, not a JSON object, a key twice, or values that `check_plain` refuses.
    """
    return parse_json(read_text(path), str(path))


def parse_json(text: str | bytes, what: str) -> dict[str, Any]:
    """A JSON object from text that is called `what`; see `read_json`."""
    try:
        content = json.loads(text, object_pairs_hook=_once)
        check_plain(content)
    except (ValueError, RecursionError) as error:
        raise TransferError(f"{what} is not valid JSON ({error}); it was truncated or edited.") from error
    if not isinstance(content, dict):
        raise TransferError(f"{what} holds a {type(content).__name__}, not a JSON object.")
    return content


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) < len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"the key {next(key for key in keys if keys.count(key) > 1)!r:.80} is there twice")
    return content


def check_plain(content: Any, path: tuple[Any, ...] = ()) -> None:
    """Raise ValueError, with the place, for a value that cannot be written and read again.

    Such are numbers that are not finite or beyond 64 bits, text with half a character or NUL, and more than 100 levels.

    Args:
        content: parsed JSON or TOML.
        path: keys and positions that lead to it.
    """
    if problem := _problem(content) if len(path) < DEEPEST else f"it is more than {DEEPEST} levels deep":
        place = ".".join(f"{name!s:.40}" for name in path[:9])
        raise ValueError(f"{place}: {problem}" if place else problem)
    if isinstance(content, dict):
        for key, value in content.items():
            check_plain(key, path)
            check_plain(value, (*path, key))
    elif isinstance(content, list):
        for i, value in enumerate(content):
            check_plain(value, (*path, i))


def _problem(value: Any) -> str:
    if isinstance(value, float) and not math.isfinite(value):
        return f"{value} is no number"
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        return f"a whole number of {value.bit_length()} bits"
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError:  # it could not be printed or written
            return f"the text {value!r:.80} holds half a character"
        return f"the text {value!r:.80} holds a NUL character" if "\0" in value else ""
    return ""
