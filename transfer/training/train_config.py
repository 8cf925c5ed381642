"""The settings of `transfer.training.fit.fit`, and the learning rate of each step."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial

from transfer.errors import TransferError, unknown
from transfer.models.provenance import CONTEXT
from transfer.numbers import MOST_BATCH, MOST_CONTEXT, MOST_STEPS, real, whole

SCHEDULES = ("cosine", "linear-tail")
TAIL = 0.3
"""Share of the steps over which the rate of "linear-tail" falls."""


@dataclass(frozen=True)
class TrainConfig:
    """Settings of a training.

    Args:
        steps: updates.
        batch_size: B, windows per update, of all processes together.
        lr: highest learning rate.
        adapter_lr: highest learning rate of all parts but the trunk; 0 stands for `lr`.
        schedule: "cosine": the rate falls along a cosine after the warm-up; "linear-tail": it stays, and falls in a
            line over the last `TAIL` of the steps.
        warmup: share of the steps over which the rate rises linearly from zero.
        warmup_steps: the same in steps, in place of `warmup`; 0 stands for that share.
        final_lr: share of the highest rate at the end; 1 keeps it constant.
        weight_decay: AdamW's, on tensors of two or more dimensions.
        state_noise: standard deviation of Gaussian noise on states, in standard deviations of the dataset.
        clip: largest norm of the gradient.
        context: T, steps per window.
        log_every: steps between reports.
        save_every: steps between checkpoints; a multiple of `log_every`.
    """

    steps: int = 5000
    batch_size: int = 64
    lr: float = 1e-3
    adapter_lr: float = 0.0
    schedule: str = "cosine"
    warmup: float = 0.1
    warmup_steps: int = 0
    final_lr: float = 0.1
    weight_decay: float = 1e-4
    state_noise: float = 0.0
    clip: float = 1.0
    context: int = CONTEXT
    log_every: int = 50
    save_every: int = 500

    def __post_init__(self) -> None:
        keep = partial(object.__setattr__, self)
        for name in ("steps", "log_every", "save_every"):
            keep(name, whole(getattr(self, name), name, 1, MOST_STEPS))
        for name, most in (("batch_size", MOST_BATCH), ("context", MOST_CONTEXT)):
            keep(name, whole(getattr(self, name), name, 1, most))
        for name in ("lr", "clip"):
            keep(name, real(getattr(self, name), name, above=0))
        keep("warmup_steps", whole(self.warmup_steps, "warmup_steps", 0, MOST_STEPS))
        if self.warmup_steps > self.steps:
            raise TransferError(
                f"warmup_steps={self.warmup_steps} is more than steps={self.steps}: lower it, or the rate never stays."
            )
        if not isinstance(self.schedule, str) or self.schedule not in SCHEDULES:
            raise unknown("schedule", self.schedule, SCHEDULES)
        for name in ("weight_decay", "state_noise", "adapter_lr"):
            keep(name, real(getattr(self, name), name, 0))
        for name in ("warmup", "final_lr"):
            keep(name, real(getattr(self, name), name, 0, 1))
        highest = max(self.lr, self.adapter_lr)
        name = "adapter_lr" if self.adapter_lr > self.lr else "lr"
        if self.weight_decay * highest > 1:
            name = "lr" if self.lr == highest else "adapter_lr"
            raise TransferError(
                f"weight_decay={self.weight_decay:g} times {name}={highest:g} is more than 1: each step would take "
                "more off the weights than they are. Set weight_decay to 0.0001, say."
            )
        if self.save_every % self.log_every:
            raise TransferError(f"save_every={self.save_every} must be a multiple of log_every={self.log_every}.")

    def rate(self, step: int) -> float:
        """Learning rate of an update, counted from 0: a linear warm-up, then as `schedule` says."""
        warm = self.warmup_steps or max(1, round(self.warmup * self.steps))
        if step < warm:
            return self.lr * (step + 1) / warm
        if self.schedule == "cosine":
            done = (step - warm) / max(1, self.steps - warm)
            share = 0.5 * (1 + math.cos(math.pi * done))
        else:
            share = min(1.0, (self.steps - step) / max(1, round(TAIL * self.steps)))
        return self.lr * (self.final_lr + (1 - self.final_lr) * share)
