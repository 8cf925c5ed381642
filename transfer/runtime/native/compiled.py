"""Compiles the kernels with the machine's own compiler, caches the library for the next process, and loads it.

Loaded code may do whatever its user may, and a truncated library crashes the process. So a cached library is loaded
only when no other user may write to its file and folder, and only when it has the hash in its name.
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

from transfer.runtime.cache_folder import cache_root, distrust, own_folder

SOURCES = Path(__file__).parent
FLAGS = ("-O3", "-std=gnu11", "-ffp-contract=fast", "-shared", "-fPIC")

log = logging.getLogger(__name__)


def load() -> ctypes.CDLL:
    """The kernels for this processor, compiled unless they are cached.

    Raises:
        OSError, ValueError, subprocess.SubprocessError: they cannot be compiled or loaded.
    """
    compiler = shlex.split(os.environ.get("CC", "")) or ["cc"]
    folder, key = cache_root(), _key(compiler)
    problem = own_folder(folder)
    if not problem and (cached := _cached(folder, key)) is not None:
        with suppress(OSError):  # made on another machine with the same home folder
            return ctypes.CDLL(str(cached))
    with tempfile.TemporaryDirectory() as scratch:
        made = _compile(compiler, Path(scratch))
        if not problem:
            try:
                return ctypes.CDLL(str(_keep(folder, key, made)))
            except OSError as error:
                problem = error.strerror or str(error)
        log.warning("every process compiles the C kernels again: they cannot be cached in %s: %s", folder, problem)
        return ctypes.CDLL(str(made))


def _key(compiler: list[str]) -> str:
    """Hash of sources, command and processor."""
    sources = b"".join(path.read_bytes() for path in sorted(SOURCES.glob("*.[ch]")))
    return hashlib.sha256(sources + "".join((*compiler, *FLAGS, _processor())).encode()).hexdigest()[:16]


def _compile(compiler: list[str], scratch: Path) -> Path:
    made = scratch / "kernels.so"
    command = [*compiler, *FLAGS, str(SOURCES / "kernels.c"), "-lm", "-o", str(made)]
    if subprocess.run([*command, "-march=native"], capture_output=True, timeout=120).returncode:
        subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    return made


def _keep(folder: Path, key: str, library: Path) -> Path:
    """Cache a library, readable by this user alone, under a name that holds its hash."""
    content = library.read_bytes()
    path = folder / f"kernels-{key}-{hashlib.sha256(content).hexdigest()[:32]}.so"
    with tempfile.TemporaryDirectory(dir=folder) as scratch:  # a killed process leaves no half of it under that name
        new = Path(scratch) / path.name
        new.touch(mode=0o600)
        new.write_bytes(content)
        return new.replace(path)


def _cached(folder: Path, key: str) -> Path | None:
    """A library of this user with the hash in its name; others of that name are removed."""
    for path in sorted(folder.glob(f"kernels-{key}-*.so")):
        with suppress(OSError):
            if path.is_symlink() or not path.is_file() or distrust(path):
                log.warning("%s is not loaded: %s", path, distrust(path) or "it is not a regular file")
                continue
            found = hashlib.sha256(path.read_bytes()).hexdigest()[:32]
            if path.stem.endswith(f"-{found}"):
                return path
            path.unlink()
    return None


def _processor() -> str:
    """Kind and features of the processor: machines that share a home folder may need different libraries."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    features = next((line for line in lines if line.startswith(("flags", "Features"))), platform.processor())
    return f"{platform.system()} {platform.machine()} {features}"
