"""Model FLOPs of a whole training step, over what large matrix products reach in the same run."""

from __future__ import annotations

import statistics

import torch

from benchmarks.measuring.measure import Row, interleave, matrix_product
from benchmarks.measuring.models import FULL, Size, batch_of, build, flops_of, training_step
from transfer.runtime.memory import kept_memory

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


@kept_memory()
def rows(size: Size) -> list[Row]:
    """Four per layout: both precisions over their own rate, bfloat16 over the float32 rate, and the gain in time."""
    return [row for layout in size.layouts for row in _layout(layout, size)]


def _layout(layout: str, size: Size) -> list[Row]:
    batch, ways = batch_of(layout, size), {}
    for name, dtype in DTYPES.items():
        model = build(layout, size.width)
        ways[name] = training_step(model, batch, FULL, dtype)
        ways[f"product {name}"], product = matrix_product(dtype, size.matrix)
    step = flops_of(model, batch).full
    times = interleave(ways, size.repeats)

    def row(name: str, top: str, bottom: str, scale: float) -> Row:
        values = {"step, GFLOP": step / 1e9, "step, ms": 1e3 * statistics.median(times[bottom])}
        rate = {} if scale == 1 else {"matrix rate, GFLOP/s": product / 1e9 / statistics.median(times[top])}
        return Row(f"{layout}, {name}", times[top], times[bottom], scale, values | rate)

    over = step / product
    return [
        row("float32", "product float32", "float32", over),
        row("bfloat16", "product bfloat16", "bfloat16", over),
        row("bfloat16 over the float32 rate", "product float32", "bfloat16", over),
        row("float32 time over bfloat16 time", "float32", "bfloat16", 1),
    ]
