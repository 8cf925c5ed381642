"""Arguments that `adapt` and `pretrain` share: checked before anything is built, then used to train."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import torch

from transfer.data.episodes import Episodes
from transfer.data.windows import WindowSampler
from transfer.errors import check_type
from transfer.models.freezing import Selection
from transfer.models.mlp import MLPPolicy
from transfer.models.sequence_model import TransferModel
from transfer.numbers import MOST_SEED, MOST_STEPS, flag, whole
from transfer.recipes.watching.progress import Progress
from transfer.runtime.devices import find_device, find_precision
from transfer.runtime.distributed import size
from transfer.runtime.memory import check_room
from transfer.storage.files import as_path
from transfer.training.fit import FitResult, OnLog, check_hooks, fit
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
        on_start: Callable[[Selection, int], None] | None,
        on_log: OnLog | None,
        on_step: Callable[[int, Any], None] | None,
    ) -> None:
        self.config = TrainConfig() if config is None else check_type(config, TrainConfig, "config")
        if steps is not None:
            self.config = replace(self.config, steps=whole(steps, "steps", 1, MOST_STEPS))
        self.device = find_device(device)
        check_hooks(on_start=on_start, on_log=on_log, on_step=on_step)
        self.on_start, self.on_log, self.on_step = on_start, on_log, on_step
        self.seed = whole(seed, "seed", 0, MOST_SEED)
        self.precision = find_precision(precision, self.device)
        self.compile = flag(compile, "compile")
        self.checkpoint = None if checkpoint is None else as_path(checkpoint, "checkpoint")
        self.progress = flag(progress, "progress")

    def facts(self, mode: str) -> dict[str, Any]:
        """Mode, seed and steps, for the provenance of a trunk or an adapter."""
        return {"mode": mode, "seed": self.seed, "steps": self.config.steps}

    def run(self, model: Model, episodes: Episodes, parts: list[str], title: str) -> FitResult:
        """Train some parts of a model on some episodes; the model is in eval mode afterwards.

        The state of a run is saved before `on_step` is called for that step. A kill in between would lose the call, so
        a resumed run repeats it, right after `on_start`: a callback that must not act twice remembers the step.
        """
        config, on_step = self.config, self.on_step
        self._check_memory(model)
        sampler = WindowSampler(episodes, config.context, config.batch_size, self.seed, self.device)
        with ExitStack() as stack:
            bars: list[Progress] = []

            def begin(selection: Selection, done: int) -> None:
                if self.progress:
                    bars.append(stack.enter_context(Progress(config.steps, title, "steps", start=done)))
                if self.on_start is not None:
                    self.on_start(selection, done)
                if on_step is not None and done:
                    on_step(done, model)

            def log(step: int, values: dict[str, float]) -> None:
                for bar in bars:
                    bar.update(step, loss=f"{values['train/loss']:.4f}")
                if self.on_log is not None:
                    self.on_log(step, values)

            result = fit(
                model,
                sampler,
                config,
                parts,
                precision=self.precision,
                compile=self.compile,
                checkpoint=self.checkpoint,
                on_start=begin,
                on_log=log,
                on_step=None if on_step is None else lambda step: on_step(step, model),
            )
        model.eval()
        return result

    def _check_memory(self, model: Model) -> None:
        """Raise TransferError for batches that do not fit in memory: their values, and what gradients need of them."""
        steps, spec = self.config.batch_size * self.config.context // size(), model.env_spec
        needed = 4 * steps * (spec.state_size + spec.action_size)
        if isinstance(model, TransferModel):
            sizes = model.trunk.config
            needed += 16 * steps * model.tokens_per_step * sizes.width * sizes.depth  # half of what is kept in bfloat16
        what = f"a batch of {self.config.batch_size:,} windows of {self.config.context:,} steps"
        check_room(needed, what, self.device, LESS)
