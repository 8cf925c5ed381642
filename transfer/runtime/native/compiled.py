"""The library of the kernels: compiled by the machine's own compiler, kept for the next process, loaded.

A library may do whatever its user may, and one that was cut short kills the process that uses it. So one that was kept
is loaded only from a file and folder that nobody else may write to, and only if it has the hash that is in its name.
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
from contextlib import suppress
from pathlib import Path

from transfer.runtime.caches import cache_root, distrust, keep, own_folder

SOURCES = Path(__file__).parent
FLAGS = ("-O3", "-std=gnu11", "-ffp-contract=fast", "-shared", "-fPIC")

log = logging.getLogger(__name__)


def load() -> ctypes.CDLL:
    """The kernels of these sources for this processor, compiled unless an earlier process of this user has done it.

    Raises:
        OSError, ValueError, subprocess.SubprocessError: they cannot be compiled or loaded.
    """
    compiler = shlex.split(os.environ.get("CC", "")) or ["cc"]
    folder, key = cache_root(), _key(compiler)
    problem = own_folder(folder)
    if not problem and (kept := _kept(folder, key)) is not None:
        with suppress(OSError):  # made on another machine with the same home folder
            return ctypes.CDLL(str(kept))
    with tempfile.TemporaryDirectory() as scratch:
        made = _compile(compiler, Path(scratch))
        if not problem:
            try:
                return ctypes.CDLL(str(_keep(folder, key, made.read_bytes())))
            except OSError as error:
                problem = error.strerror or str(error)
        log.warning("every process compiles the C kernels anew, because %s cannot keep them: %s", folder, problem)
        return ctypes.CDLL(str(made))


def _key(compiler: list[str]) -> str:
    """What tells libraries apart: sources, command, and processor."""
    key = hashlib.sha256()
    sources = (path.read_bytes() for path in sorted(SOURCES.glob("*.[ch]")))
    for part in (*sources, *map(str.encode, (*compiler, *FLAGS, _processor()))):
        key.update(part)
    return key.hexdigest()[:16]


def _compile(compiler: list[str], scratch: Path) -> Path:
    made = scratch / "kernels.so"
    command = [*compiler, *FLAGS, str(SOURCES / "kernels.c"), "-lm", "-o", str(made)]
    if subprocess.run([*command, "-march=native"], capture_output=True, timeout=120).returncode:
        subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    return made


def _keep(folder: Path, key: str, library: bytes) -> Path:
    """Write a library under a name that holds its hash."""
    path = folder / f"kernels-{key}-{hashlib.sha256(library).hexdigest()[:32]}.so"
    keep(path, library)
    return path


def _kept(folder: Path, key: str) -> Path | None:
    """A whole library that this user has kept; one that is not whole is removed."""
    for path in sorted(folder.glob(f"kernels-{key}-*.so")):
        with suppress(OSError):
            if path.is_symlink() or not path.is_file() or distrust(path):
                log.warning("%s is passed over: %s", path, distrust(path) or "it is no file of its own")
                continue
            found = hashlib.sha256(path.read_bytes()).hexdigest()[:32]
            if path.stem.endswith(f"-{found}"):
                return path
            path.unlink()
    return None


def _processor() -> str:
    """What tells processors apart that share a home folder: a library for one may not run on another."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    features = next((line for line in lines if line.startswith(("flags", "Features"))), platform.processor())
    return f"{platform.system()} {platform.machine()} {features}"
