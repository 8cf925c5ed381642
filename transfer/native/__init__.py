"""The C kernels in this folder: built on first use by the machine's own compiler, called through ctypes.

They serve CPUs. Without a compiler, PyTorch's own operations take their place: the same numbers to 1e-5, slower.
"""

from __future__ import annotations

import ctypes
import hashlib
import logging
import os
import platform
import shlex
import subprocess
import tempfile
from functools import cache
from pathlib import Path

from torch import Tensor

from transfer.errors import unknown

SOURCES = Path(__file__).parent
FLAGS = ("-O3", "-std=gnu11", "-ffp-contract=fast", "-shared", "-fPIC")
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
        return ctypes.CDLL(str(_built()))
    except (OSError, RuntimeError, subprocess.SubprocessError) as error:
        said = getattr(error, "stderr", None) or str(error)
        log.warning(
            "the C kernels could not be built, so PyTorch computes attention and decoding, slower: %s. They need a C "
            "compiler: set CC to one, or %s=off to do without.",
            said.strip().splitlines()[-1],
            SWITCH,
        )
        return None


def kind() -> str:
    """What computes attention and decoding on a CPU: "C" or "PyTorch"."""
    return "PyTorch" if library() is None else "C"


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


def _built() -> Path:
    """The shared library of these sources for this processor, compiled unless an earlier process has done it."""
    compiler, key = shlex.split(os.environ.get("CC", "cc")), hashlib.sha256()
    for part in (
        *(path.read_bytes() for path in sorted(SOURCES.glob("*.[ch]"))),
        *map(str.encode, (*compiler, *FLAGS)),
    ):
        key.update(part)
    key.update(_processor().encode())
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "embedding-swap"
    target = folder / f"kernels-{key.hexdigest()[:16]}.so"
    if target.exists():
        return target
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        made = Path(scratch) / target.name
        command = [*compiler, *FLAGS, str(SOURCES / "kernels.c"), "-lm", "-o", str(made)]
        if subprocess.run([*command, "-march=native"], capture_output=True, timeout=120).returncode:
            subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
        os.replace(made, target)  # whoever builds at the same time finds all of it or nothing
    return target


def _processor() -> str:
    """What tells processors apart that share a home folder: a library for one may not run on another."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    features = next((line for line in lines if line.startswith(("flags", "Features"))), platform.processor())
    return f"{platform.system()} {platform.machine()} {features}"
