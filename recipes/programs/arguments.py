"""What `adapt` and `pretrain` are asked for, checked and made plain before anything is built."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from transfer.data.episodes import Episodes
from transfer.data.windows import WindowSampler
from transfer.errors import TransferError, check_type
from transfer.models.mlp import MLPPolicy
from transfer.models.sequence_model import TransferModel
from transfer.numbers import MOST_SEED, MOST_STEPS, flag, whole
from transfer.recipes.programs.callbacks import shown, with_model
from transfer.runtime.devices import find_device, find_precision
from transfer.runtime.distributed import size
from transfer.runtime.memory import check_room
from transfer.storage.files import as_path
from transfer.training.fit import FitResult, fit
from transfer.training.train_config import TrainConfig

Model = TransferModel | MLPPolicy
MAKE_EPISODES = "Load them with load_episodes(...), or make them with Episodes.from_arrays(...)."
LESS = "Lower batch_size, context or the size of the trunk."
MAKE_TRUNK = "Load one with Trunk.load(folder), or take the trunk of what pretrain(...) returned."


@dataclass(frozen=True)
class Training:
    """How one model is trained; `of` makes it from what a caller gave.

    Attributes:
        config: how.
        seed: of weights, windows and noise.
        device: where.
        precision: of the trunk's products.
        compile: through `torch.compile`.
        checkpoint: folder for the state of an unfinished run.
        progress: show a bar on stderr.
        hooks: `on_start`, `on_log` and `on_step`, each None or to be called.
    """

    config: TrainConfig
    seed: int
    device: torch.device
    precision: torch.dtype
    compile: bool
    checkpoint: Path | None
    progress: bool
    hooks: dict[str, Callable[..., Any] | None]

    @classmethod
    def of(
        cls,
        config: TrainConfig | None,
        steps: int | None,
        seed: int,
        device: str | torch.device,
        precision: str | torch.dtype | None,
        compile: bool,
        checkpoint: str | os.PathLike[str] | None,
        progress: bool,
        **hooks: Callable[..., Any] | None,
    ) -> Training:
        """Raises TransferError, with the name of the argument, for a wrong type or value."""
        config = TrainConfig() if config is None else check_type(config, TrainConfig, "config")
        if steps is not None:
            config = replace(config, steps=whole(steps, "steps", 1, MOST_STEPS))
        where = find_device(device)
        for name, hook in hooks.items():
            if hook is not None and not callable(hook):
                raise TransferError(f"{name} is of type {type(hook).__name__}; something to call is needed.")
        return cls(
            config,
            whole(seed, "seed", 0, MOST_SEED),
            where,
            find_precision(precision, where),
            flag(compile, "compile"),
            None if checkpoint is None else as_path(checkpoint, "checkpoint"),
            flag(progress, "progress"),
            hooks,
        )

    def facts(self, mode: str) -> dict[str, Any]:
        """What records keep of it."""
        config = self.config
        return {"mode": mode, "seed": self.seed, "steps": config.steps}

    def run(self, model: Model, episodes: Episodes, parts: list[str], title: str) -> FitResult:
        """Train some parts of a model on some episodes; the model is in eval mode afterwards."""
        config = self.config
        self._check_memory(model)
        sampler = WindowSampler(episodes, config.context, config.batch_size, self.seed, self.device)
        hooks = with_model(model, **self.hooks)
        watched = shown(title, config.steps, **hooks) if self.progress else nullcontext(hooks)
        with watched as called:
            result = fit(
                model,
                sampler,
                config,
                parts,
                precision=self.precision,
                compile=self.compile,
                checkpoint=self.checkpoint,
                **called,
            )
        model.eval()
        return result

    def _check_memory(self, model: Model) -> None:
        """Raise TransferError for batches that no memory here holds: their numbers, and what gradients need of them."""
        steps, spec = self.config.batch_size * self.config.context // size(), model.env_spec
        needed = 4 * steps * (spec.state_size + spec.action_size)
        if isinstance(model, TransferModel):
            sizes = model.trunk.config
            needed += 16 * steps * model.tokens_per_step * sizes.width * sizes.depth  # half of what is kept in bfloat16
        what = f"a batch of {self.config.batch_size:,} windows of {self.config.context:,} steps"
        check_room(needed, what, self.device, LESS)
