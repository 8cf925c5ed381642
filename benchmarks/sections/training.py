"""A training step: over what large matrix products reach, embeddings alone over everything, and over a width of 128.

Everything that one layout is compared by runs in turns: a step of everything and one of the embeddings alone, each in
both precisions, and a product of two large matrices in each.
"""

from __future__ import annotations

import statistics

import torch

from benchmarks.measuring.measure import Row, interleave, matrix_product
from benchmarks.measuring.models import FROZEN, FULL, Size, batch_of, build, flops_of, training_step
from transfer.runtime.devices import best_precision
from transfer.runtime.memory import kept_memory

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
PARTS = {"full": FULL, "frozen": FROZEN}
WIDTHS_OF = "Walker2d"


@kept_memory()
def rows(size: Size) -> list[Row]:
    """Six per layout, one per width."""
    return [row for layout in size.layouts for row in _layout(layout, size)] + _widths(size)


def _layout(layout: str, size: Size) -> list[Row]:
    batch, ways = batch_of(layout, size), {}
    for name, dtype in DTYPES.items():
        for kind, parts in PARTS.items():
            ways[f"{kind} {name}"] = training_step(build(layout, size.width), batch, parts, dtype)
        ways[f"product {name}"], product = matrix_product(dtype, size.matrix)
    count = flops_of(build(layout, size.width), batch)
    times = interleave(ways, size.repeats)

    def ms(way: str) -> float:
        return 1e3 * statistics.median(times[way])

    def row(name: str, top: str, bottom: str, scale: float) -> Row:
        values = {"full step, GFLOP": count.full / 1e9, "full step, ms": ms(bottom)}
        rate = {"matrix rate, GFLOP/s": product / 1e6 / ms(top)} if top.startswith("product") else {}
        return Row(f"{layout}, {name}", times[top], times[bottom], scale, values | rate)

    def frozen(name: str) -> Row:
        top, bottom = f"frozen {name}", f"full {name}"
        values = {"full step, ms": ms(bottom), "frozen step, ms": ms(top), "limit by FLOPs": count.frozen / count.full}
        return Row(f"{layout}, frozen over full, {name}", times[top], times[bottom], values=values)

    over = count.full / product
    return [
        row("float32 of its matrix rate", "product float32", "full float32", over),
        row("bfloat16 of its matrix rate", "product bfloat16", "full bfloat16", over),
        row("bfloat16 of the float32 matrix rate", "product float32", "full bfloat16", over),
        row("float32 time over bfloat16 time", "full float32", "full bfloat16", 1),
        *map(frozen, DTYPES),
    ]


def _widths(size: Size) -> list[Row]:
    """A step of everything at each width over that at the first, on small batches, in the default precision."""
    batch = batch_of(WIDTHS_OF, size, size.scaling_batch)
    models = {width: build(WIDTHS_OF, width) for width in size.widths}
    precision = best_precision(torch.device("cpu"))
    ways = {str(width): training_step(model, batch, FULL, precision) for width, model in models.items()}
    times, first = interleave(ways, size.repeats), size.widths[0]
    steps = {width: flops_of(model, batch).full for width, model in models.items()}

    def row(width: int) -> Row:
        values = {
            "full step, ms": 1e3 * statistics.median(times[str(width)]),
            "ratio of FLOPs": steps[width] / steps[first],
        }
        return Row(f"width {width} over {first}", times[str(width)], times[str(first)], values=values)

    return [row(width) for width in size.widths[1:]]
