"""Choosing one action: the cached spread planner over the DT baseline, and over reading its keys and values once.

Spread: Hammer's 26 action dimensions one by one through `make_planner`. Baseline: one forward of the model with one
token per action over its whole window of 3 T tokens. Both float32, averaged over a cycle of the planner's window,
restart included.

The bytes of a step are the keys and values that its forwards have to read, one per action dimension, and those that the
restart writes and reads once; weights are not counted. The machine's bandwidth is that of a sum over a large tensor.
"""

from __future__ import annotations

import statistics

from benchmarks.measuring.measure import Row, interleave, memory_read
from benchmarks.measuring.models import SPREAD, WHOLE, Size, build
from benchmarks.measuring.players import Player, Recompute
from transfer import TransferModel
from transfer.decoding.planner import make_planner


def rows(size: Size) -> list[Row]:
    """Two per number of environments."""
    layout = "Hammer" if "Hammer" in size.layouts else size.layouts[0]
    spread, whole = (build(layout, size.width, kind, context=size.context) for kind in (SPREAD, WHOLE))
    return [row for number in size.rows for row in _rows(spread, whole, number, size)]


def _rows(spread: TransferModel, whole: TransferModel, number: int, size: Size) -> list[Row]:
    spec, context = spread.env_spec, size.context
    stream = Player(make_planner(spread, number), spec, number, context)
    baseline = Player(Recompute(whole, context), spec, number, context)
    read, amount = memory_read(size.memory)
    ways = {"stream": stream.play, "baseline": baseline.play, "read": read}
    times = interleave(ways, size.repeats)
    needed = cache_bytes(spread, context) * number
    ms = {name: 1e3 * statistics.median(times[name]) / stream.cycle for name in ("stream", "baseline")}
    values = {"stream, ms per step": ms["stream"]}
    return [
        Row(
            f"E = {number}, over the baseline",
            times["stream"],
            times["baseline"],
            values=values | {"baseline, ms per step": ms["baseline"]},
        ),
        Row(
            f"E = {number}, over reading keys and values",
            times["stream"],
            times["read"],
            amount / needed,
            values
            | {
                "read, MB per step": needed / stream.cycle / 1e6,
                "GB/s": amount / 1e9 / statistics.median(times["read"]),
            },
        ),
    ]


def cache_bytes(model: TransferModel, context: int) -> int:
    """Bytes of keys and values that one environment's forwards read in a cycle, float32.

    With p whole steps behind it, the forward for action dimension i reads p K + 2 + i tokens: return, state and the i
    dimensions chosen before. p runs from T/2 to T - 1. The restart reads T/2 K tokens once.
    """
    config, per_step = model.trunk.config, model.tokens_per_step
    kept = context // 2
    forwards = range(model.env_spec.action_size)
    tokens = kept * per_step + sum(p * per_step + 2 + i for p in range(kept, context) for i in forwards)
    return tokens * 2 * config.depth * config.width * 4
