"""Teacher forcing: what one forward over a window, as in training, makes of actions that were chosen one by one."""

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from transfer.data.batch import Batch
from transfer.decoding.planner import make_planner
from transfer.models.acting import Step
from transfer.models.sequence_model import TransferModel


def decode(model: TransferModel, batch: Batch, context: int, how: str) -> Tensor:
    """Actions (B, N, A) chosen one step after another, for the states, returns and times of a batch."""
    planner, envs = plan(model, len(batch.mask), context, how), torch.arange(len(batch.mask))
    return torch.stack([planner.act(shown(batch, t, envs)) for t in range(batch.mask.shape[1])], 1)


def plan(model: TransferModel, envs: int, context: int, how: str = "autoregressive") -> Any:
    """A planner for E environments, over a context of its own."""
    adapter, kept = model.adapter, model.adapter.provenance
    adapter.provenance = replace(kept, context=context)
    try:
        return make_planner(model, envs, how)
    finally:
        adapter.provenance = kept


def shown(batch: Batch, t: int, rows: Tensor) -> Step:
    """What the environments of some rows of a batch show at step t."""
    columns = {name: column[rows, t] for name, column in batch.columns.items()}
    return Step(batch.states[rows, t], batch.rewards[rows, t].double(), batch.times[rows, t], columns)


def step_of(states: Tensor, returns: Tensor, times: Tensor) -> Step:
    """A step with returns to go (E,)."""
    return Step(states, torch.zeros(len(states), dtype=torch.float64), times, {"returns": returns})


def window_start(t: int, context: int) -> int:
    """First step of the window in which step t is decoded: it grows to `context` steps, then keeps the newest half."""
    start = 0
    for step in range(t + 1):
        if step - start == context:
            start = step - context // 2
    return start


def forced(model: TransferModel, batch: Batch, actions: Tensor, t: int, context: int) -> Tensor:
    """Action (B, A) at step t from one forward over its window, in which the actions (B, N, A) are given."""
    part = slice(window_start(t, context), t + 1)
    window = part_of(replace(batch, actions=actions), (slice(None), part))
    hidden = hidden_of(model, window)["action"]
    return model.adapter.action.predict(hidden, model.shared)[:, -1]


def part_of(batch: Batch, part: Any) -> Batch:
    """Some windows of a batch, or some of their steps: what an index [B, T] takes out of each tensor."""
    tensors = {name: getattr(batch, name)[part] for name in ("states", "actions", "rewards", "times", "mask")}
    return Batch(**tensors, columns={name: column[part] for name, column in batch.columns.items()})


def hidden_of(model: TransferModel, batch: Batch) -> dict[str, Tensor]:
    """Hidden vectors (B, T, n, D) before the predicted groups of a batch."""
    return model.hidden(model.embed(batch, model.values(batch)), model.method.predicts)


def close(one: Tensor, other: Tensor) -> None:
    torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-5)


def check_forced(model: TransferModel, batch: Batch, chosen: Tensor, context: int) -> None:
    for t in range(chosen.shape[1]):
        close(chosen[:, t], forced(model, batch, chosen, t, context))
