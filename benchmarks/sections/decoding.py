"""Choosing actions: the planner over the DT baseline, over reading its keys and values once, and over a context of 20.

The planner chooses one dimension after another with a spread embedding (28 tokens a step for Hammer) and keys and
values cached, over a cycle of the context, restart included. The baseline is one forward of the DT layout (3 tokens a
step) with the whole window, per step. Bytes are the keys and values that the planner's forwards have to read, one per
action dimension, and those that the restart writes and reads once; weights are not counted. The machine's bandwidth is
that of a sum over a large tensor.
"""

from __future__ import annotations

import statistics

from benchmarks.measuring.measure import Row, interleave, memory_read
from benchmarks.measuring.models import SPREAD, WHOLE, Size, build
from benchmarks.measuring.players import Player, Recompute, made_up_states
from transfer import TransferModel
from transfer.decoding.planner import make_planner

CONTEXTS_OF = ("Walker2d", "Hammer")


def rows(size: Size) -> list[Row]:
    """Two per number of environments, one per layout and context."""
    layout = "Hammer" if "Hammer" in size.layouts else size.layouts[0]
    spread, whole = (build(layout, size.width, kind, context=size.context) for kind in (SPREAD, WHOLE))
    layouts = [one for one in CONTEXTS_OF if one in size.layouts] or size.layouts
    found = [row for number in size.envs for row in _rows(spread, whole, number, size)]
    return found + [row for one in layouts for row in _contexts(one, size)]


def _rows(spread: TransferModel, whole: TransferModel, number: int, size: Size) -> list[Row]:
    context, states = size.context, made_up_states(spread, number)
    planner = Player(make_planner(spread, number), states, context)
    baseline = Player(Recompute(whole, context), states, context)
    read, amount = memory_read(size.memory)
    ways = {"planner": planner.play, "baseline": baseline.play, "read": read}
    times = interleave(ways, size.repeats)
    needed = cache_bytes(spread, context) * number
    ms = {f"{name}, ms per step": 1e3 * statistics.median(times[name]) / planner.cycle for name in ways}
    over_baseline = {name: ms[name] for name in ("planner, ms per step", "baseline, ms per step")}
    over_reading = {
        "planner, ms per step": ms["planner, ms per step"],
        "read, MB per step": needed / planner.cycle / 1e6,
        "GB/s": amount / 1e9 / statistics.median(times["read"]),
    }
    return [
        Row(f"E = {number}, over the baseline", times["planner"], times["baseline"], values=over_baseline),
        Row(
            f"E = {number}, over reading keys and values",
            times["planner"],
            times["read"],
            amount / needed,
            over_reading,
        ),
    ]


def _contexts(layout: str, size: Size) -> list[Row]:
    """The planner's step at each context over that at the first."""
    number, players = size.scaling_envs, {}
    for context in size.contexts:
        model = build(layout, size.width, context=context)
        players[context] = Player(make_planner(model, number), made_up_states(model, number), context)
    times = interleave({str(context): player.play for context, player in players.items()}, size.repeats)
    first = size.contexts[0]

    def row(context: int) -> Row:
        values = {"planner, ms per step": 1e3 * statistics.median(times[str(context)]) / players[context].cycle}
        scale = players[first].cycle / players[context].cycle
        return Row(f"{layout}, context {context} over {first}", times[str(context)], times[str(first)], scale, values)

    return [row(context) for context in size.contexts[1:]]


def cache_bytes(model: TransferModel, context: int) -> int:
    """Bytes of keys and values that one environment's forwards read in a cycle, float32.

    With p whole steps behind it, the forward for action dimension i reads p K + 2 + i tokens: return, state and the i
    dimensions chosen before. p runs from T/2 to T - 1. The restart reads T/2 K tokens once.
    """
    config, per_step = model.trunk.config, model.layout.tokens
    kept = context // 2
    forwards = range(model.env_spec.action_size)
    tokens = kept * per_step + sum(p * per_step + 2 + i for p in range(kept, context) for i in forwards)
    return tokens * 2 * config.depth * config.width * 4
