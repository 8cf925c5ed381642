"""The C kernels in this folder: built on first use by the machine's own compiler, called through ctypes.

They serve CPUs. Without a compiler, PyTorch's own operations take their place: the same numbers to 1e-5, slower.
"""

from __future__ import annotations

import ctypes
import logging
import os
import subprocess
from functools import cache

from torch import Tensor

from transfer.errors import unknown
from transfer.runtime.native import compiled

SWITCH = "EMBEDDING_SWAP_KERNELS"  # environment variable: "on" (default) or "off"

log = logging.getLogger(__name__)


@cache
def library() -> ctypes.CDLL | None:
    """The kernels, or None where they are switched off or cannot be built, which is logged.

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
        said = getattr(error, "stderr", None) or str(error)
        log.warning(
            "the C kernels could not be built or loaded, so PyTorch computes attention and decoding, slower: %s. They "
            "need a C compiler: set CC to one, or %s=off to do without.",
            said.strip().splitlines()[-1],
            SWITCH,
        )
        return None


def fits(head_size: int) -> bool:
    """Whether there are kernels for heads of this size: they take whole vectors of the processor."""
    found = library()
    return found is not None and head_size % ctypes.c_int.in_dll(found, "lanes").value == 0


def room(tokens: int) -> int:
    """How many tokens a decoder's keys and values need room for, to hold some."""
    unit = ctypes.c_int.in_dll(kernels(), "step").value
    return -(-tokens // unit) * unit


def kernels() -> ctypes.CDLL:
    """The library, where `fits` has said that there is one."""
    found = library()
    assert found is not None
    return found


def address(x: Tensor) -> ctypes.c_void_p:
    """Of a tensor's first number."""
    return ctypes.c_void_p(x.data_ptr())
