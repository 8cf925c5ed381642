"""Freed memory is kept inside the block and returned afterwards."""

import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest

from transfer.runtime.memory import TUNED, kept_memory

MEGABYTES = 64
PROGRAM = f"""
import resource, torch
from transfer.runtime.memory import kept_memory

def faults(count=20):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(count):
        torch.zeros(2**18 * {MEGABYTES})  # more than the C library ever keeps by itself
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize() // 2**20

usual = faults()
with kept_memory() as kept:
    faults()  # small things settle between the large ones
    inside = faults()
    held = resident()
print(int(kept), usual, inside, held - resident())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="tells the GNU C library what to do")
def test_memory_is_mapped_once_instead_of_each_time_and_goes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in TUNED:
        monkeypatch.delenv(name, raising=False)
    out = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True).stdout
    kept, usual, inside, given_back = map(int, out.split())
    if not kept:
        pytest.skip("no GNU C library")
    assert inside < usual / 10
    assert given_back > 0.9 * MEGABYTES


def test_an_environment_that_tunes_the_library_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MALLOC_TRIM_THRESHOLD_", "1000000")
    with kept_memory() as kept:
        assert not kept


def test_of_several_blocks_the_first_keeps_and_the_last_gives_back(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    libc = SimpleNamespace(
        mallopt=lambda what, value: calls.append("keep" if value in (-1, 0) else "default"),
        malloc_trim=lambda pad: calls.append("trim"),
    )
    monkeypatch.setattr("transfer.runtime.memory._gnu_libc", lambda: libc)
    for name in TUNED:
        monkeypatch.delenv(name, raising=False)
    with kept_memory(), kept_memory():
        pass
    assert calls == ["keep", "keep", "default", "default", "trim"]
    with ThreadPoolExecutor(4) as pool:
        start = threading.Barrier(4)
        list(pool.map(lambda _: kept_memory()(start.wait)(), range(4)))
    assert calls[5:] == calls[:5]
