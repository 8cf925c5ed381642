"""Pretraining: a trunk and the adapter of the source environment, together, from random weights."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from transfer.adapter import Adapter, AdapterConfig
from transfer.adapters.build import build_adapter
from transfer.episodes import Episodes
from transfer.freezing import Selection
from transfer.identity import fingerprint
from transfer.model import TransferModel
from transfer.process import isolated
from transfer.recipes.hooks import with_model
from transfer.recipes.modes import new_trunk
from transfer.sampler import WindowSampler
from transfer.training import FitResult, OnLog, TrainConfig, fit
from transfer.trunk import Trunk, TrunkConfig


@dataclass(frozen=True)
class PretrainResult:
    """A pretrained trunk with its source adapter, and how training went."""

    model: TransferModel
    fit: FitResult

    @property
    def trunk(self) -> Trunk:
        """The trunk; `trunk.record` holds its seed and the fingerprint of its first weights."""
        return self.model.trunk

    @property
    def adapter(self) -> Adapter:
        """The adapter of the source environment."""
        return self.model.adapter


@isolated()
def pretrain(
    episodes: Episodes,
    *,
    config: TrainConfig | None = None,
    trunk_config: TrunkConfig | None = None,
    adapter_config: AdapterConfig | None = None,
    seed: int = 0,
    device: str = "cpu",
    precision: torch.dtype | None = None,
    compile: bool = False,
    checkpoint: Path | None = None,
    on_start: Callable[[Selection, int], None] | None = None,
    on_log: OnLog | None = None,
    on_step: Callable[[int, TransferModel], None] | None = None,
) -> PretrainResult:
    """Train a trunk and an adapter on one environment's episodes.

    Args:
        episodes: the source environment's data.
        config: how to train.
        trunk_config: size of the trunk.
        adapter_config: kinds of the adapter's parts.
        seed: of weights, windows and noise.
        device: where to train.
        precision: of the trunk's products; None chooses the fastest that the device has.
        compile: see `transfer.training.fit`.
        checkpoint: folder for the state of an unfinished run.
        on_start: see `transfer.training.fit`.
        on_log: see `transfer.training.fit`.
        on_step: called after every step with its number and the model; see `with_model` for resumed runs.
    """
    config, trunk = config or TrainConfig(), new_trunk(trunk_config or TrunkConfig(), seed)
    adapter = build_adapter(episodes, trunk.config, adapter_config, seed, context=config.context)
    model = TransferModel(trunk, adapter).to(device)
    result = fit(
        model,
        WindowSampler(episodes, config.context, config.batch_size, seed, device),
        config,
        ["trunk", "state", "action"],
        precision=precision,
        compile=compile,
        checkpoint=checkpoint,
        on_log=on_log,
        **with_model(model, on_start, on_step),
    )
    model.eval()
    training = {"mode": "pretrain", "seed": seed, "steps": config.steps, "context": config.context}
    trunk.record |= {"datasets": list(episodes.dataset_ids), "content_hash": episodes.content_hash, **training}
    model.adapter.record |= {"trunk": fingerprint(trunk), "training": training, "inherited": []}
    return PretrainResult(model, result)
