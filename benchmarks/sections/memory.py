"""Peak memory of a step that trains embeddings alone, over that of a step that trains everything.

It is counted twice, at full size: the peak of the bytes in tensors that one step allocates, as
`torch.cuda.max_memory_allocated` counts them; and the growth of the peak resident set of a fresh process per case, from
the moment when model and data are built and one window has gone forth and back (so that all kernels are loaded) to the
end of two steps. The second includes what the allocator and the kernels need for themselves, holes in the heap most.

python -m benchmarks.sections.memory LAYOUT PART,... THREADS prints the bytes of one case, always at full size.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch.profiler import ProfilerActivity, profile

from benchmarks.measuring.measure import Row
from benchmarks.measuring.models import FROZEN, FULL, Size, batch_of, build, training_step
from transfer.runtime.devices import best_precision
from transfer.runtime.memory import forget_peak, kept_memory, peak_bytes

CPU = torch.device("cpu")


def rows(size: Size) -> list[Row]:
    """Two per layout, in the default precision."""
    return [row for layout in size.layouts for row in (_tensors(layout), _resident(layout))]


@kept_memory()
def _tensors(layout: str) -> Row:
    batch, precision, found = batch_of(layout, Size()), best_precision(CPU), {}
    for name, parts in (("frozen", FROZEN), ("full", FULL)):
        step = training_step(build(layout, Size().width), batch, parts, precision)
        step()
        found[name] = float(peak_of_tensors(step))
    values = {f"{name}, MB": value / 1e6 for name, value in found.items()}
    return Row(f"{layout}, memory of tensors", [found["frozen"]], [found["full"]], values=values)


def peak_of_tensors(work: Callable[[], object]) -> int:
    """Most bytes that tensors allocated by some work hold at a time."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiled:
        work()
    events = profiled.profiler.kineto_results.events()  # type: ignore[union-attr]
    changes = sorted((event.start_ns(), event.nbytes()) for event in events if event.name() == "[memory]")
    return int(np.cumsum([size for _, size in changes]).max())


def _resident(layout: str) -> Row:
    started = {name: _start(layout, parts) for name, parts in (("frozen", FROZEN), ("full", FULL))}
    found = {name: _bytes(process) for name, process in started.items()}
    values = {f"{name}, MB": value / 1e6 for name, value in found.items()}
    return Row(f"{layout}, resident memory", [found["frozen"]], [found["full"]], values=values)


def _start(layout: str, parts: tuple[str, ...]) -> subprocess.Popen[str]:
    """A fresh process that measures one case; two at a time do not change each other's memory."""
    command = [
        sys.executable,
        "-m",
        "benchmarks.sections.memory",
        layout,
        ",".join(parts),
        str(torch.get_num_threads()),
    ]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, cwd=Path(__file__).parents[2], stdout=pipe, stderr=pipe, text=True)


def _bytes(process: subprocess.Popen[str]) -> float:
    output, errors = process.communicate()
    if process.returncode:
        raise RuntimeError(f"{process.args} failed: {errors}")
    return float(output)


@kept_memory()
def main(layout: str, parts: str, threads: str) -> None:
    """Print the bytes that two steps add to the peak of this process."""
    torch.set_num_threads(int(threads))
    size, precision = Size(), best_precision(CPU)
    model = build(layout, size.width)
    windows = batch_of(layout, size)
    step = training_step(model, windows, tuple(parts.split(",")), precision)
    loss = model.loss(batch_of(layout, size, windows=1), precision)["action"]
    (loss.sum / loss.count).backward()
    model.zero_grad(set_to_none=True)
    forget_peak()
    before = peak_bytes() or 0
    step()
    step()
    print((peak_bytes() or 0) - before)


if __name__ == "__main__":
    main(*sys.argv[1:])
