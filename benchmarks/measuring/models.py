"""Models with random weights and made-up data in the layouts of real environments; benchmark sizes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import torch

from benchmarks.measuring.measure import Flops
from transfer import Episodes, TransferModel, Trunk, WindowSampler
from transfer.adapters.build import build_adapter
from transfer.data.batch import Batch
from transfer.models.freezing import train_only
from transfer.models.steps.adapter_config import AdapterConfig
from transfer.models.trunk import TrunkConfig
from transfer.runtime.seeding import step_noise
from transfer.training.train_config import TrainConfig
from transfer.training.updates import make_optimizer, update

SPREAD, WHOLE = "ActionTokenizedSpreadEmbedding", "ActionEmbedding"
FULL, FROZEN = ("trunk", "state", "action"), ("state", "action")
STEPS = 200  # of a made-up episode
DEPTH, HEAD = 3, 32  # blocks, and numbers per attention head
# name: Gymnasium id, S, A; spread models have K = 2 + A tokens a step, whole ones 3.
LAYOUTS = {
    "Hopper": ("Hopper-v5", 11, 3),
    "Walker2d": ("Walker2d-v5", 17, 6),
    "Pen": ("AdroitHandPen-v1", 45, 24),
    "Hammer": ("AdroitHandHammer-v1", 46, 26),
}


@dataclass(frozen=True)
class Size:
    """Benchmark sizes.

    Args:
        layouts: names in `LAYOUTS`.
        batch, context, width: B, T and D.
        repeats: rounds at most; see `measure.rounds`.
        matrix: rows of the square matrices that give the matrix rate.
        memory: numbers in the tensor that gives the memory bandwidth.
        envs: environments in lockstep, each number a case.
        scaling_envs: environments in lockstep where the context is varied.
        contexts: T, each a case; the first is what the others are compared with.
        scaling_batch: B where the width is varied.
        widths: D, each a case; the first is what the others are compared with.
        draw_episodes: episodes that windows are drawn from.
        draw_seconds: how long windows are drawn in each round.
    """

    layouts: tuple[str, ...] = tuple(LAYOUTS)
    batch: int = 64
    context: int = 20
    width: int = 128
    repeats: int = 9
    matrix: int = 2048
    memory: int = 2**26
    envs: tuple[int, ...] = (1, 16, 100)
    scaling_envs: int = 16
    contexts: tuple[int, ...] = (20, 5, 50, 100)
    scaling_batch: int = 4
    widths: tuple[int, ...] = (128, 256, 512, 1024)
    draw_episodes: int = 1000
    draw_seconds: float = 0.5


QUICK = Size(
    layouts=("Hopper",),
    batch=2,
    context=4,
    width=32,
    repeats=2,
    matrix=64,
    memory=2**16,
    envs=(1, 2),
    scaling_envs=2,
    contexts=(4, 3),
    scaling_batch=2,
    widths=(32, 64),
    draw_episodes=5,
    draw_seconds=0.01,
)


@cache
def episodes(layout: str, count: int = 20) -> Episodes:
    """Made-up episodes of 200 steps."""
    return made_up(layout, LAYOUTS[layout][0], count)


def made_up(layout: str, env: Any, count: int = 20) -> Episodes:
    """Made-up episodes of 200 steps, in an environment of your own with the sizes of a layout."""
    _, state_size, action_size = LAYOUTS[layout]
    rng, steps = np.random.default_rng(0), count * STEPS
    states, actions = rng.standard_normal((steps, state_size)), rng.uniform(-1, 1, (steps, action_size))
    return Episodes.from_arrays(states, actions, rng.random(steps), [STEPS] * count, env)


def build(
    layout: str,
    width: int,
    action: str = SPREAD,
    state: str = "mlp",
    data: Episodes | None = None,
    depth: int = DEPTH,
    context: int = 20,
) -> TransferModel:
    """A model with random weights, in eval mode; for `data` instead of the layout's own where given."""
    data = data or episodes(layout)
    torch.manual_seed(0)
    trunk = Trunk(TrunkConfig(width=width, depth=depth, heads=max(1, width // HEAD)))
    adapter = build_adapter(data, trunk.config, AdapterConfig(state=state, action=action), context=context)
    return TransferModel(trunk, adapter).eval()


def batch_of(layout: str, size: Size, windows: int | None = None) -> Batch:
    """The windows that every step of a measurement trains on."""
    return WindowSampler(episodes(layout), size.context, windows or size.batch).batch(0)


def training_step(
    model: TransferModel, batch: Batch, parts: tuple[str, ...], precision: torch.dtype
) -> Callable[[], object]:
    """The library's own update: loss, backward, clipping, AdamW."""
    train_only(model, list(parts))
    config = TrainConfig()
    optimizer = make_optimizer(model, config)
    return lambda: update(model, model.loss, batch, optimizer, config, 0, step_noise(0), precision)


def flops_of(model: TransferModel, batch: Batch) -> Flops:
    """Of one forward of the model over the batch."""
    config = model.trunk.config
    windows, steps = batch.mask.shape
    return Flops.of(windows, steps * model.layout.tokens, config.width, config.depth)
