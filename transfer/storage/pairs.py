"""A JSON file and a file of tensors, saved together: a reader finds the old pair or the new one, never a mixture.

    NAME.json           {"format", "library", .., "tensors": sha256 of the other file, "checksum": of all that}
    NAME.safetensors

The new tensors are written first, under a name made of their hash. Renaming the new NAME.json then replaces the old
pair, and the tensors are renamed last. A reader between the two, also after a kill, finds them by their hash. Readers
change nothing.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeGuard

from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

import transfer
from transfer.errors import TransferError, check_keys
from transfer.numbers import seen
from transfer.runtime.process import isolated
from transfer.storage.files import as_json, new_folder, read_json, sync, write_bytes, write_errors, write_json
from transfer.storage.locks import one_at_a_time
from transfer.storage.tensors import Header, header_of, reading

FORMAT = 3
ADDED = ("format", "library", "tensors", "checksum")  # keys of the JSON besides those of `content`
ATTEMPTS = 1000  # of a reader beside steady writers
Check = Callable[[dict[str, Any], Header], None]


def save_pair(folder: Path, name: str, content: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
    """Write NAME.json and NAME.safetensors into a folder, whose other files stay as they are.

    Raises:
        TransferError: they cannot be written; an earlier pair stays whole.
    """
    for key, tensor in tensors.items():
        if not isinstance(tensor, Tensor):
            raise TransferError(f"{folder} is not written: {key} is a {type(tensor).__name__}, not a tensor.")
    data = save({key: tensor.detach().cpu().contiguous() for key, tensor in tensors.items()})
    digest = hashlib.sha256(data).hexdigest()
    told = {"format": FORMAT, "library": transfer.__version__, **content, "tensors": digest}
    whole = as_json(told, str(folder / f"{name}.json"))
    with write_errors(folder), new_folder(folder), one_at_a_time(folder) as alone:
        try:
            write_bytes(_spare(folder, name, digest), data)
            write_json(folder / f"{name}.json", {**whole, "checksum": checksum(whole)})
        finally:
            _settle(folder, name, alone)


def load_pair(
    folder: Path, name: str, keys: Mapping[int, Sequence[str]], check: Check, optional: Sequence[str] = ()
) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Read what `save_pair` wrote, of one of the formats in `keys`, with exactly the keys of `content` that it has.

    Those in `optional` may be there too.

    `check` takes JSON and header of the tensors' file, and raises TransferError where they contradict each other or are
    not the expected ones. It is called before any tensor is read.

    Raises:
        TransferError: a file is missing, damaged, edited, or of another format.
    """
    for _ in range(ATTEMPTS):
        before = _state(folder, name)
        try:
            return _load(folder, name, keys, check, optional)
        except TransferError:
            if _state(folder, name) == before:  # else another process has written meanwhile
                raise
    raise TransferError(f"{folder} cannot be read: other processes keep saving into it.")


def tensors_path(folder: Path, name: str) -> Path:
    """The file with the tensors of NAME.json."""
    digest = read_json(folder / f"{name}.json").get("tensors")
    spare = _spare(folder, name, digest) if _is_digest(digest) else None
    return spare if spare is not None and spare.is_file() else folder / f"{name}.safetensors"


def checksum(content: Mapping[str, Any]) -> str:
    """sha256 of a JSON object without its checksum."""
    rest = {key: value for key, value in content.items() if key != "checksum"}
    return hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()


def _load(
    folder: Path, name: str, keys: Mapping[int, Sequence[str]], check: Check, optional: Sequence[str]
) -> tuple[dict[str, Any], dict[str, Tensor]]:
    content = _head(folder / f"{name}.json", keys, optional)
    spare = _spare(folder, name, content["tensors"])
    with suppress(TransferError):  # of what was killed between two renames, this file may be an old one or gone
        if spare.is_file():
            return content, _tensors(folder / f"{name}.safetensors", content, check)
    return content, _tensors(spare if spare.is_file() else folder / f"{name}.safetensors", content, check)


def _head(path: Path, keys: Mapping[int, Sequence[str]], optional: Sequence[str]) -> dict[str, Any]:
    content = read_json(path)
    found = content.get("format", FORMAT)
    if type(found) is not int or found not in keys:
        raise TransferError(
            f"{path} has format {found!r:.80}; this version reads {' and '.join(map(str, keys))}: train and save again "
            "with this version, or use the version that wrote it."
        )
    wanted = [*keys[found], *(key for key in optional if key in content)]
    check_keys(str(path), content, ["format", "library", *wanted, "tensors", "checksum"])
    if not isinstance(content["library"], str) or not _is_digest(content["tensors"]):
        key, kind = ("tensors", "a sha256") if isinstance(content["library"], str) else ("library", "a version")
        raise TransferError(f"{path} was edited: {key} is {seen(content[key])}, not {kind}.")
    if content["checksum"] != checksum(content):
        raise TransferError(f"{path} was edited after it was saved: its checksum does not match.")
    return content


def _tensors(file: Path, content: dict[str, Any], check: Check) -> dict[str, Tensor]:
    with reading(file) as stream:
        check(content, header_of(stream, file))
        size = stream.seek(0, 2)
        stream.seek(0)
        try:
            data = stream.read()
        except MemoryError as error:  # a sparse file may be larger than the disk
            raise TransferError(f"{file} of {size:,} bytes does not fit into memory.") from error
    found = hashlib.sha256(data).hexdigest()
    if found != content["tensors"]:
        raise TransferError(
            f"{file} was changed after it was saved: its sha256 is {found}, its JSON says {content['tensors']}."
        )
    try:
        with isolated():  # safetensors makes empty tensors on the caller's default device
            return load(data)
    except (SafetensorError, ValueError, KeyError) as error:
        raise TransferError(f"{file} is truncated or damaged: {error}.") from error


def _settle(folder: Path, name: str, alone: bool) -> None:
    """Rename the tensors of the JSON; remove others if `alone`, as without locks another process may need them."""
    path = folder / f"{name}.json"
    with suppress(TransferError):  # of an unreadable old JSON, the tensors are unknown
        digest = read_json(path).get("tensors") if path.is_file() else None
        if _is_digest(digest) and _spare(folder, name, digest).exists():
            _spare(folder, name, digest).replace(folder / f"{name}.safetensors")
        for other in folder.glob(f".{name}.{'[0-9a-f]' * 16}.safetensors") if alone else ():
            other.unlink()
        sync(folder)


def _spare(folder: Path, name: str, digest: str) -> Path:
    return folder / f".{name}.{digest[:16]}.safetensors"


def _is_digest(value: object) -> TypeGuard[str]:
    return isinstance(value, str) and re.fullmatch("[0-9a-f]{64}", value) is not None


def _state(folder: Path, name: str) -> list[tuple[int, ...]]:
    """Inode, size and time of both files, where they exist, which another save changes."""
    states: list[tuple[int, ...]] = []
    for path in (folder / f"{name}.json", folder / f"{name}.safetensors"):
        with suppress(OSError):
            stat = path.stat()
            states.append((stat.st_ino, stat.st_size, stat.st_mtime_ns))
    return states
