"""Headers of untrusted safetensors files, compared with the size of the file before any tensor is read."""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

from transfer.errors import TransferError
from transfer.storage.files import open_file, parse_json

if TYPE_CHECKING:
    from torch import Tensor

HEADER_LIMIT = 16 * 2**20  # bytes; a tensor takes about a hundred
BYTES = {
    **{"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U8": 1, "BOOL": 1},
    **{"U16": 2, "U32": 4, "U64": 8, "F8_E4M3": 1, "F8_E5M2": 1},
}


class Declared(NamedTuple):
    """One tensor in a header: dtype as in "F32", and shape."""

    dtype: str
    shape: tuple[int, ...]

    @property
    def elements(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)

    @property
    def bytes(self) -> int:
        """Bytes on disk."""
        return self.elements * BYTES[self.dtype]


Header = dict[str, Declared]


def read_header(path: Path) -> Header:
    """The header of a safetensors file.

    Raises:
        TransferError: no such file, or one of another size than its header says.
    """
    with reading(path) as stream:
        return header_of(stream, path)


def reading(path: Path) -> BinaryIO:
    """An open safetensors file. Raises TransferError when there is none."""
    try:
        return open_file(path)
    except FileNotFoundError:
        raise TransferError(f"{path} does not exist; the folder is not a whole checkpoint.") from None
    except OSError as error:
        raise TransferError(f"{path} cannot be read: {error.strerror}.") from error


def header_of(stream: BinaryIO, path: Path) -> Header:
    """The header of an open file, which is called `path` in messages; reads up to the first tensor."""
    try:
        size = stream.seek(0, 2)
        stream.seek(0)
        (length,) = struct.unpack("<Q", stream.read(8))
        if length > min(size - 8, HEADER_LIMIT):
            raise ValueError(f"a header of {length:,} bytes in a file of {size:,}")
        entries = parse_json(stream.read(length), str(path))
        entries.pop("__metadata__", None)
        header = {name: _declared(name, entry) for name, entry in entries.items()}
        told = 8 + length + sum(one.bytes for one in header.values())
        if told != size:
            raise ValueError(f"its header tells of {told:,} bytes, it has {size:,}")
    except TransferError:
        raise
    except (struct.error, ValueError, OSError) as error:
        raise TransferError(f"{path} is truncated or damaged: {error}.") from error
    return header


def _declared(name: str, entry: Any) -> Declared:
    """One entry of a header. Raises ValueError for an unsound one."""
    match entry:
        case {"dtype": str(dtype), "shape": list(shape), "data_offsets": [first, end]} if len(entry) == 3:
            if dtype in BYTES and all(type(n) is int and n >= 0 for n in (*shape, first, end)):
                declared = Declared(dtype, tuple(shape))
                if declared.bytes != end - first:
                    raise ValueError(f"'{name:.80}' of shape {shape} has {end - first:,} bytes")
                return declared
    raise ValueError(f"its header says {entry!r:.80} of '{name:.80}'")


def declared(tensors: Mapping[str, Tensor]) -> Header:
    """The header of these tensors in a file; they may be on the device "meta"."""
    short = {"float": "F", "bfloat": "BF", "int": "I", "uint": "U"}
    header = {}
    for name, tensor in tensors.items():
        word, bits = re.fullmatch(r"torch\.([a-z]+)(\w*)", str(tensor.dtype)).groups()  # type: ignore[union-attr]
        header[name] = Declared(short.get(word, word.upper()) + bits.upper(), tuple(tensor.shape))
    return header


def check_header(found: Header, wanted: Header, path: Path) -> None:
    """Raise TransferError unless a file declares exactly the wanted tensors."""
    missing, extra = sorted(wanted.keys() - found.keys()), sorted(found.keys() - wanted.keys())
    if missing or extra:
        raise TransferError(
            f"{path} does not fit {path.stem}.json: missing tensors {_some(missing)}, unexpected tensors "
            f"{_some(extra)}."
        )
    for name, tensor in wanted.items():
        if found[name] != tensor:
            raise TransferError(
                f"{path}: tensor '{name}' is {found[name].dtype} {found[name].shape}, "
                f"{path.stem}.json wants {tensor.dtype} {tensor.shape}."
            )


def _some(names: list[str]) -> str:
    return f"{names[:6]}" + (f" and {len(names) - 6} more" if len(names) > 6 else "")
