"""Runs a kernel on as many threads as PyTorch uses: on PyTorch's own threads, where they can be found.

PyTorch's OpenMP threads spin for some milliseconds after their work, on cores that other threads would need.
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
    """Call kernel(*arguments, first, end) on ranges of `count` independent parts.

    Args:
        kernel: returns 0, or another number when it could not allocate memory.
        count: number of parts.
        least: parts for each thread: waking a thread costs as much as 0.1 ms of work.
        arguments: of the kernel, before the range.

    Raises:
        MemoryError: the kernel could not allocate memory.
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
        raise MemoryError("a kernel could not allocate its scratch memory.")


@cache
def openmp() -> ctypes.CDLL | None:
    """The GNU OpenMP library that PyTorch has loaded; None where it uses another one."""
    if not hasattr(os, "RTLD_NOLOAD"):
        return None
    for file in (Path(torch.__file__).parent / "lib").glob("libgomp*"):
        try:
            team = ctypes.CDLL(str(file), mode=os.RTLD_NOLOAD)  # finds a loaded library, and loads none
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

    # Always all threads: a smaller team would end the others, and PyTorch would start them again.
    team.GOMP_parallel(WORK(work), None, torch.get_num_threads(), 0)
    if errors:
        raise errors[0]
    return [share(i) if done is None else done for i, done in enumerate(results)]  # a team may be smaller


def _pooled(share: Callable[[int], int], threads: int) -> list[int]:
    """share(0), share(1), ... on the library's own threads."""
    others = [_pool(threads - 1).submit(share, i) for i in range(1, threads)]
    try:
        return [share(0), *(other.result() for other in others)]
    finally:
        wait(others)  # they use memory that the caller frees


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, "kernel")  # ctypes releases the GIL while a kernel runs


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_pool.cache_clear)  # a forked process has one thread
