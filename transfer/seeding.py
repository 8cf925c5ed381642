"""Random numbers as functions of a seed and a name, without touching anybody else's."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def seeded(seed: int, name: str) -> Iterator[None]:
    """Inside, torch's CPU generator starts from (seed, name); afterwards it is where it was.

    That generator reads the low 32 bits of its seed only, so both have to reach them.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed((zlib.crc32(name.encode()) + seed * 0x9E3779B9) % 2**32)
        yield
