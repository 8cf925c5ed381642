"""Checks of the values, for any environment: actions outside their space, constant columns, constant rewards."""

from collections.abc import Sequence

import numpy as np

from transfer.envs.checks.findings import Found, share
from transfer.envs.checks.measured import Array
from transfer.envs.checks.survey import Data

_OTHER_UNITS = 0.1  # a larger share of action values outside their space is another scale, not noise
_SATURATED = 0.1  # share of the action values


def actions_out_of_range(data: Data) -> Found:
    """Actions lie outside the action space. A few are harmless, because environments clip them."""
    outside, total = sum(one.outside for one in data.episodes), _action_count(data)
    if outside:
        excess = max(one.excess for one in data.episodes)
        message = f"{share(outside, total)} action numbers lie outside the action space, by up to {excess:.3g}"
        if outside > _OTHER_UNITS * total:
            advice = "Scale the actions to the space of the environment: so many outside are in other units."
            yield "error", message, advice
        else:
            yield "warning", message, "Clip them: the environment does so too when the policy plays them."


def saturated_actions(data: Data) -> Found:
    """Many actions lie at a bound of the action space. Plain quantile bins fail on so many equal values."""
    count, total = sum(one.at_bound for one in data.episodes), _action_count(data)
    if count > _SATURATED * total:
        message = f"{share(count, total)} action numbers lie at a bound of the action space"
        yield "note", message, "Read tokens with the tie-aware bins (atoms), not with plain quantiles."


def constant_actions(data: Data) -> Found:
    """Action dimensions never change, so they cannot be learned."""
    columns = _constant(data, "actions")
    if len(columns):
        message = f"{share(len(columns), len(data.layout.low))} action numbers never change: {ranges(columns)}"
        yield "warning", message, "Check that nothing was lost; the policy will repeat them."


def constant_states(data: Data) -> Found:
    """State dimensions never change, such as contact forces that are all zero."""
    columns = _constant(data, "states")
    if len(columns):
        size = sum(one.size for one in data.layout.slices or ())
        message = f"{share(len(columns), size)} state numbers never change: {ranges(columns)}"
        advice = "Harmless, unless they change in the evaluation; another dataset of this environment may use them."
        yield "note", message, advice


def constant_rewards(data: Data) -> Found:
    """Every reward is the same, so the return to go only counts steps."""
    values = {float(ends["rewards"][0]) for one in data.episodes for ends in (one.low, one.high) if "rewards" in ends}
    if len(values) == 1:
        advice = "Returns cannot tell good from bad episodes here: condition on nothing, or choose data with successes."
        yield "warning", f"every reward is {values.pop():g}", advice


def ranges(columns: Sequence[int] | Array) -> str:
    """Formats ascending indices: [0, 3, 4, 5] is "0, 3-5"."""
    values = np.asarray(columns)
    runs = np.split(values, np.flatnonzero(np.diff(values) != 1) + 1)
    return ", ".join(f"{run[0]}-{run[-1]}" if len(run) > 1 else f"{run[0]}" for run in runs)


def _action_count(data: Data) -> int:
    return sum(one.lengths.get("actions", 0) for one in data.episodes) * len(data.layout.low)


def _constant(data: Data, key: str) -> Array:
    """Columns with one value in the whole dataset, none if it has fewer than two steps."""
    found = [(one.low[key], one.high[key]) for one in data.episodes if key in one.low]
    if data.steps.sum() < 2 or not found:
        return np.zeros(0, dtype=np.int64)
    low, high = np.min([low for low, _ in found], axis=0), np.max([high for _, high in found], axis=0)
    return np.flatnonzero(low == high)


CHECKS = (actions_out_of_range, saturated_actions, constant_actions, constant_states, constant_rewards)
