"""Arguments that `adapt` and `pretrain` share: checked before anything is built, then used to train."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import Any, Self

import torch

from transfer.data.episodes import Episodes
from transfer.data.windows import MixedWindows, WindowSampler
from transfer.errors import check_type
from transfer.models.acting import Trainable
from transfer.models.freezing import Selection
from transfer.models.mlp import MLPPolicy
from transfer.models.sequence_model import TransferModel
from transfer.numbers import MOST_SEED, MOST_STEPS, flag, whole
from transfer.recipes.watching.progress import Progress
from transfer.runtime.devices import find_device, find_precision
from transfer.runtime.distributed import size
from transfer.runtime.memory import check_room
from transfer.storage.files import as_path
from transfer.training.callbacks import Callback, check_callbacks
from transfer.training.fit import FitResult, fit
from transfer.training.train_config import TrainConfig

Model = TransferModel | MLPPolicy
MAKE_EPISODES = "Load them with load_episodes(...), or make them with Episodes.from_arrays(...)."
LESS = "Lower batch_size, context or the size of the trunk."
MAKE_TRUNK = "Load one with Trunk.load(folder), or take the trunk of what pretrain(...) returned."


class Training:
    """The training of one model. The arguments are those of `adapt` and `pretrain`, as a caller gave them.

    Raises:
        TransferError: an argument of a wrong type or value, by its name.
    """

    def __init__(
        self,
        config: TrainConfig | None,
        steps: int | None,
        seed: int,
        device: str | torch.device,
        precision: str | torch.dtype | None,
        compile: bool,
        checkpoint: str | os.PathLike[str] | None,
        progress: bool,
        callbacks: Sequence[Callback],
    ) -> None:
        self.config = TrainConfig() if config is None else check_type(config, TrainConfig, "config")
        if steps is not None:
            self.config = replace(self.config, steps=whole(steps, "steps", 1, MOST_STEPS))
        self.device = find_device(device)
        self.callbacks = check_callbacks(callbacks)
        self.seed = whole(seed, "seed", 0, MOST_SEED)
        self.precision = find_precision(precision, self.device)
        self.compile = flag(compile, "compile")
        self.checkpoint = None if checkpoint is None else as_path(checkpoint, "checkpoint")
        self.progress = flag(progress, "progress")

    def facts(self, mode: str) -> dict[str, Any]:
        """Mode, seed and steps, for the provenance of a trunk or an adapter."""
        return {"mode": mode, "seed": self.seed, "steps": self.config.steps}

    def run(self, model: Trainable, episodes: Mapping[str, Episodes], parts: list[str], title: str) -> FitResult:
        """Train some parts of a model on the episodes of each policy; the model is in eval mode afterwards."""
        config = self.config
        self._check_memory(model)
        each = {
            name: WindowSampler(episodes[name], config.context, config.batch_size, self.seed, self.device, one.windows)
            for name, one in model.members().items()
        }
        sampler = each[""] if "" in each else MixedWindows(each)
        with ExitStack() as stack:
            shown = [stack.enter_context(Bar(config.steps, title))] if self.progress else []
            result = fit(
                model,
                sampler,
                config,
                parts,
                precision=self.precision,
                compile=self.compile,
                checkpoint=self.checkpoint,
                callbacks=[*shown, *self.callbacks],
            )
        model.eval()
        return result

    def _check_memory(self, model: Trainable) -> None:
        """Raise TransferError for batches that do not fit in memory: their values, and what gradients need of them."""
        steps, needed = self.config.batch_size * self.config.context // size(), 0
        for one in model.members().values():
            needed += 4 * steps * (one.env_spec.state_size + one.env_spec.action_size)
            if isinstance(one, TransferModel):
                sizes = one.trunk.config
                needed += 16 * steps * one.layout.tokens * sizes.width * sizes.depth  # half of it in bfloat16
        what = f"a batch of {self.config.batch_size:,} windows of {self.config.context:,} steps"
        check_room(needed, what, self.device, LESS)


class Bar(Callback):
    """A bar on stderr with the loss."""

    def __init__(self, steps: int, title: str) -> None:
        self.steps, self.title, self._open = steps, title, ExitStack()

    def __enter__(self) -> Self:
        """Nothing is shown before the start."""
        return self

    def __exit__(self, *error: Any) -> None:
        """Close the bar, after an error too."""
        self._open.__exit__(*error)

    def start(self, model: Trainable, selection: Selection, done: int) -> None:
        """Open the bar where the training goes on."""
        self.bar = self._open.enter_context(Progress(self.steps, self.title, "steps", start=done))

    def log(self, done: int, values: dict[str, float]) -> None:
        """Show step and loss."""
        self.bar.update(done, loss=f"{values['train/loss']:.4f}")
