"""Parts of a kernel's work on as many threads as PyTorch uses: its own ones, where they can be found.

Threads of PyTorch's OpenMP library wait in a loop for some milliseconds after their work, on cores that threads of
another kind would need.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from functools import cache
from pathlib import Path

import torch

WORK = ctypes.CFUNCTYPE(None, ctypes.c_void_p)


def in_parts(kernel: Callable[..., int], count: int, least: int, *arguments: object) -> None:
    """kernel(*arguments, first, end) for `count` independent parts.

    Args:
        kernel: returns 0, or something else when it found no memory.
        count: parts.
        least: parts that are worth a thread: waking one takes as long as a tenth of a millisecond of work.
        arguments: what the kernel takes before the range.

    Raises:
        MemoryError: the kernel found none.
    """
    threads = max(1, min(torch.get_num_threads(), count // least))
    edges = [ctypes.c_long(count * i // threads) for i in range(threads + 1)]

    def share(number: int) -> int:
        return kernel(*arguments, edges[number], edges[number + 1])

    if threads == 1:
        failed = share(0)
    else:
        team = openmp()
        failed = any(_pooled(share, threads) if team is None else _teamed(share, threads, team))
    if failed:
        raise MemoryError("a kernel found no memory for its scratch space.")


@cache
def openmp() -> ctypes.CDLL | None:
    """The GNU OpenMP library that PyTorch has loaded; None where it uses another one."""
    if not hasattr(os, "RTLD_NOLOAD"):
        return None
    for file in (Path(torch.__file__).parent / "lib").glob("libgomp*"):
        try:
            team = ctypes.CDLL(str(file), mode=os.RTLD_NOLOAD)  # finds what is there, and loads nothing
        except OSError:
            continue
        team.GOMP_parallel.argtypes = WORK, ctypes.c_void_p, ctypes.c_uint, ctypes.c_uint
        team.GOMP_parallel.restype = None
        return team
    return None


def _teamed(share: Callable[[int], int], threads: int, team: ctypes.CDLL) -> list[int]:
    """share(0), share(1), ... as `#pragma omp parallel` would call them."""
    results: list[int | None] = [None] * threads
    errors: list[BaseException] = []

    def work(_: object) -> None:
        try:
            number = team.omp_get_thread_num()
            if number < threads:
                results[number] = share(number)
        except BaseException as error:  # Ctrl-C too: ctypes would print and forget it
            errors.append(error)

    # Always all of them: from a smaller team the others would be dismissed, and started again by PyTorch.
    team.GOMP_parallel(WORK(work), None, torch.get_num_threads(), 0)
    if errors:
        raise errors[0]
    return [share(i) if done is None else done for i, done in enumerate(results)]  # a team may be smaller than asked


def _pooled(share: Callable[[int], int], threads: int) -> list[int]:
    """The same on threads of our own."""
    others = [_pool(threads - 1).submit(share, i) for i in range(1, threads)]
    try:
        return [share(0), *(other.result() for other in others)]
    finally:
        wait(others)  # they know addresses alone, of memory that the caller gives back


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, "kernel")  # ctypes gives Python's lock back while a kernel runs


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_pool.cache_clear)  # a forked process has no threads but one
