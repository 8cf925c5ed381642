"""The settings of `transfer.training.fit.fit`, and the learning rate of each step."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial

from transfer.errors import TransferError
from transfer.models.provenance import CONTEXT
from transfer.numbers import MOST_BATCH, MOST_CONTEXT, MOST_STEPS, real, whole


@dataclass(frozen=True)
class TrainConfig:
    """Settings of a training.

    Args:
        steps: updates.
        batch_size: B, windows per update, of all processes together.
        lr: highest learning rate.
        warmup: share of the steps over which the rate rises linearly from zero.
        final_lr: share of `lr` at the end of the cosine decay; 1 keeps it constant.
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
    warmup: float = 0.1
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
        for name in ("weight_decay", "state_noise"):
            keep(name, real(getattr(self, name), name, 0))
        for name in ("warmup", "final_lr"):
            keep(name, real(getattr(self, name), name, 0, 1))
        if self.weight_decay * self.lr > 1:
            raise TransferError(
                f"weight_decay={self.weight_decay:g} times lr={self.lr:g} is more than 1: each step would take more "
                "off the weights than they are. Set weight_decay to 0.0001, say."
            )
        if self.save_every % self.log_every:
            raise TransferError(f"save_every={self.save_every} must be a multiple of log_every={self.log_every}.")

    def rate(self, step: int) -> float:
        """Learning rate of an update, counted from 0: linear warm-up, then a cosine down to `final_lr`."""
        warm = max(1, round(self.warmup * self.steps))
        if step < warm:
            return self.lr * (step + 1) / warm
        done = (step - warm) / max(1, self.steps - warm)
        return self.lr * (self.final_lr + (1 - self.final_lr) * 0.5 * (1 + math.cos(math.pi * done)))
