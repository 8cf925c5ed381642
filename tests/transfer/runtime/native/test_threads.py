"""A kernel on PyTorch's own threads, or on the library's."""

import os
import signal
import subprocess
import sys
import threading
import time
from typing import Any

import pytest
import torch

from transfer.runtime.native import threads
from transfer.runtime.native.threads import in_parts


@pytest.fixture(params=["PyTorch's", "ours"], autouse=True)
def whose(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Three threads of either kind."""
    if request.param == "ours":
        monkeypatch.setattr(threads, "openmp", lambda: None)
    elif threads.openmp() is None:
        pytest.skip("PyTorch does not use the GNU OpenMP library")
    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
    return str(request.param)


@pytest.mark.parametrize(
    ("count", "parts"), [(1, [(0, 1)]), (7, [(0, 7)]), (12, [(0, 4), (4, 8), (8, 12)]), (9, [(0, 4), (4, 9)])]
)
def test_threads_share_what_is_worth_it(count: int, parts: list[Any]) -> None:
    found: list[Any] = []
    in_parts(lambda word, first, end: found.append((word, first.value, end.value)) or 0, count, 4, "word")
    assert sorted(found) == [("word", *part) for part in parts]


def test_they_work_at_the_same_time() -> None:
    meeting = threading.Barrier(3, timeout=20)
    in_parts(lambda first, end: 0 * meeting.wait(), 12, 4)


@pytest.mark.parametrize("count", [3, 12])
def test_a_kernel_that_finds_no_memory_is_an_error(count: int) -> None:
    with pytest.raises(MemoryError):
        in_parts(lambda *arguments: 1, count, 4)


def test_a_kernel_that_fails_in_one_thread_fails() -> None:
    with pytest.raises(MemoryError):
        in_parts(lambda first, end: int(first.value == 4), 12, 4)


@pytest.mark.parametrize("part", [0, 4])
def test_an_interruption_is_not_lost(part: int) -> None:
    def interrupted(first: Any, end: Any) -> int:
        if first.value == part:
            raise KeyboardInterrupt
        return 0

    with pytest.raises(KeyboardInterrupt):
        in_parts(interrupted, 12, 4)


def test_a_team_smaller_than_asked_does_everything(whose: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if whose == "ours":
        pytest.skip("a pool has the threads it was made with")
    team = threads.openmp()
    assert team is not None
    monkeypatch.setattr(team, "GOMP_parallel", lambda work, data, number, flags: work(None))
    found: list[int] = []
    in_parts(lambda first, end: found.append(first.value) or 0, 12, 4)
    assert sorted(found) == [0, 4, 8]


PROGRAM = """
import os, torch
from transfer.runtime.native.threads import in_parts
torch.set_num_threads(3)
torch.randn(2**22).exp()
before = set(os.listdir("/proc/self/task"))
used = set()
for parts in (3, 2, 3):
    used.clear()
    in_parts(lambda first, end: used.add(str(__import__("threading").get_native_id())) or 0, parts, 1)
    assert len(used) == parts and used <= before, (used, before)
    torch.randn(2**22).exp()
    assert set(os.listdir("/proc/self/task")) == before
"""


def test_they_are_those_that_pytorch_has(whose: str) -> None:
    if whose == "ours":
        pytest.skip("of PyTorch's alone")
    subprocess.run([sys.executable, "-c", PROGRAM], check=True)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_process_has_threads_of_its_own(whose: str) -> None:
    if whose != "ours":
        pytest.skip("GNU OpenMP itself does not outlive a fork")
    in_parts(lambda first, end: 0, 12, 4)
    child = os.fork()
    if not child:
        in_parts(lambda first, end: 0, 12, 4)  # on threads that the fork has left behind, it would wait for ever
        os._exit(7)
    for _ in range(1000):
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            break
        time.sleep(0.01)
    else:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    assert done and os.waitstatus_to_exitcode(status) == 7
