"""C kernels for CPUs, built on first use by the machine's own compiler and called through ctypes.

Without a compiler PyTorch's own operations compute the same to 1e-5, slower.
"""

from __future__ import annotations

import ctypes
import logging
import os
import subprocess
from functools import cache
from typing import Any

from torch import Tensor

from transfer.errors import TransferError, unknown
from transfer.runtime.native import compiled

SWITCH = "EMBEDDING_SWAP_KERNELS"  # environment variable: "on" (default) or "off"

log = logging.getLogger(__name__)


@cache
def library() -> ctypes.CDLL | None:
    """The kernels, or None where they are switched off or, which is logged, cannot be built.

    Raises:
        TransferError: EMBEDDING_SWAP_KERNELS is neither "on" nor "off".
    """
    wish = os.environ.get(SWITCH, "on")
    if wish not in ("on", "off"):
        raise unknown(SWITCH, wish, ("on", "off"))
    if wish == "off":
        return None
    try:
        return compiled.load()
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        said = getattr(error, "stderr", None)  # bytes where the compiler took too long
        words = said.strip() if isinstance(said, str) else ""
        log.warning(
            "the C kernels could not be built or loaded, so PyTorch computes attention and decoding, slower: %s. They "
            "need a C compiler: set CC to one, or %s=off to do without.",
            (words or str(error)).splitlines()[-1],
            SWITCH,
        )
        return None


def fits(head_size: int) -> bool:
    """Whether there are kernels for heads of this size, a multiple of the processor's vectors."""
    return library() is not None and head_size % lanes() == 0


def lanes() -> int:
    """Numbers in a vector of the processor, by which keys and values are laid out."""
    return ctypes.c_int.in_dll(kernels(), "lanes").value


def room(tokens: int) -> int:
    """The number of tokens, rounded up, that a decoder allocates keys and values for."""
    unit = ctypes.c_int.in_dll(kernels(), "step").value
    return -(-tokens // unit) * unit


def kernels() -> ctypes.CDLL:
    """The library, after `fits` has returned True. Raises TransferError in a process without one."""
    found = library()
    if found is None:
        raise elsewhere()
    return found


def elsewhere() -> TransferError:
    """The error about a decoder that was copied from a process with other kernels."""
    return TransferError(
        "this policy was copied from a process whose C kernels are not those of this one, which cannot read its past. "
        "reset() opens an episode."
    )


def address(x: Tensor) -> ctypes.c_void_p:
    """Of a tensor's first element."""
    return ctypes.c_void_p(x.data_ptr())


def members(kind: type[Any], *names: str) -> list[tuple[str, type[Any]]]:
    """Fields of one type for a `ctypes.Structure`."""
    return [(name, kind) for name in names]
