"""Cost of a planner's step against the context, and of a training step against the width, over the first of each.

A planner's step is an average over a cycle of its window, restart included. Training steps update everything, in the
default precision, on small batches of Walker2d windows.
"""

from __future__ import annotations

import statistics

import torch

from benchmarks.measuring.measure import Row, interleave
from benchmarks.measuring.models import FULL, Size, batch_of, build, flops_of, training_step
from benchmarks.measuring.players import Player
from transfer.decoding.planner import make_planner
from transfer.runtime.devices import best_precision
from transfer.runtime.memory import kept_memory

STREAMED, TRAINED = ("Walker2d", "Hammer"), "Walker2d"


def rows(size: Size) -> list[Row]:
    """One per layout and context, one per width."""
    streamed = [layout for layout in STREAMED if layout in size.layouts] or list(size.layouts)
    return [row for layout in streamed for row in _contexts(layout, size)] + _widths(size)


def _contexts(layout: str, size: Size) -> list[Row]:
    number = size.scaling_rows
    models = {context: build(layout, size.width, context=context) for context in size.contexts}
    players = {
        context: Player(make_planner(model, number), model.env_spec, number, context)
        for context, model in models.items()
    }
    times = interleave({str(context): player.play for context, player in players.items()}, size.repeats)
    first = size.contexts[0]

    def row(context: int) -> Row:
        values = {"ms": 1e3 * statistics.median(times[str(context)]) / players[context].cycle}
        scale = players[first].cycle / players[context].cycle
        return Row(f"{layout}, context {context} over {first}", times[str(context)], times[str(first)], scale, values)

    return [row(context) for context in size.contexts[1:]]


def _widths(size: Size) -> list[Row]:
    batch = batch_of(TRAINED, size, size.scaling_batch)
    models = {width: build(TRAINED, width) for width in size.widths}
    precision = best_precision(torch.device("cpu"))
    ways = {str(width): training_step(model, batch, FULL, precision) for width, model in models.items()}
    with kept_memory():
        times, first = interleave(ways, size.repeats), size.widths[0]
    steps = {width: flops_of(model, batch).full for width, model in models.items()}

    def row(width: int) -> Row:
        values = {"ms": 1e3 * statistics.median(times[str(width)]), "ratio of FLOPs": steps[width] / steps[first]}
        return Row(f"training step, width {width} over {first}", times[str(width)], times[str(first)], values=values)

    return [row(width) for width in size.widths[1:]]
