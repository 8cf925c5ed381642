"""Pretrain a trunk and the adapter of the source environment, together, from random weights."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass

import torch

from transfer.adapters.build import build_adapter
from transfer.data.episodes import Episodes
from transfer.errors import check_type
from transfer.models.adapter import Adapter, AdapterConfig
from transfer.models.freezing import Selection
from transfer.models.sequence_model import TransferModel
from transfer.models.trunk import Trunk, TrunkConfig
from transfer.recipes.programs.arguments import LESS, MAKE_EPISODES, Training
from transfer.recipes.programs.modes import new_trunk, trained_last
from transfer.runtime.memory import said_when_exhausted
from transfer.runtime.process import isolated
from transfer.training.fit import FitResult, OnLog
from transfer.training.train_config import TrainConfig


@dataclass(frozen=True, repr=False)
class PretrainResult:
    """A pretrained trunk with its source adapter, and how training went."""

    model: TransferModel
    fit: FitResult

    @property
    def trunk(self) -> Trunk:
        """The trunk; `trunk.provenance` holds its seed and the fingerprint of its first weights."""
        return self.model.trunk

    @property
    def adapter(self) -> Adapter:
        """The adapter of the source environment."""
        return self.model.adapter

    def __repr__(self) -> str:
        """One line."""
        return f"PretrainResult({self.model.env_spec.name}: {self.fit})"


@said_when_exhausted(LESS)
@isolated()
def pretrain(
    episodes: Episodes,
    *,
    steps: int | None = None,
    config: TrainConfig | None = None,
    trunk_config: TrunkConfig | None = None,
    adapter_config: AdapterConfig | None = None,
    seed: int = 0,
    device: str | torch.device = "cpu",
    precision: str | torch.dtype | None = None,
    compile: bool = False,
    checkpoint: str | os.PathLike[str] | None = None,
    progress: bool = False,
    on_start: Callable[[Selection, int], None] | None = None,
    on_log: OnLog | None = None,
    on_step: Callable[[int, TransferModel], None] | None = None,
) -> PretrainResult:
    """Train a trunk and an adapter on one environment's episodes.

    Args:
        episodes: the source environment's data.
        steps: updates, in place of `config.steps`.
        config: of the training.
        trunk_config: size of the trunk.
        adapter_config: kinds of the adapter's parts.
        seed: of weights, windows and noise.
        device: where to train: "cpu", "cuda", "cuda:1", "mps", or "auto" for a GPU where there is one.
        precision: of the trunk's products: "float32", "bfloat16", the dtype, or "auto" (None) for the faster one.
        compile: see `transfer.training.fit.fit`.
        checkpoint: folder for the state of an unfinished run.
        progress: show a bar on stderr.
        on_start: see `transfer.training.fit.fit`.
        on_log: see `transfer.training.fit.fit`.
        on_step: called after every step with its number and the model; see `Training.run` for resumed runs.

    Raises:
        TransferError: an argument of a wrong type or value, data and settings that do not fit together, a loss or
            weights that are not finite.
    """
    hooks = on_start, on_log, on_step
    training = Training(config, steps, seed, device, precision, compile, checkpoint, progress, *hooks)
    check_type(episodes, Episodes, "episodes", MAKE_EPISODES)
    sizes = TrunkConfig() if trunk_config is None else check_type(trunk_config, TrunkConfig, "trunk_config")
    kinds = AdapterConfig() if adapter_config is None else check_type(adapter_config, AdapterConfig, "adapter_config")
    trunk = new_trunk(sizes, training.seed)
    adapter = build_adapter(episodes, sizes, kinds, training.seed, context=training.config.context)
    model = TransferModel(trunk, adapter).to(training.device)
    result = training.run(model, episodes, ["trunk", "state", "action"], "pretrain")
    facts = training.facts("pretrain")
    trunk.provenance = trained_last(trunk.provenance, episodes, adapter.config, {**facts, "context": model.context})
    adapter.made_on(trunk, training=facts, inherited=())
    return PretrainResult(model, result)
