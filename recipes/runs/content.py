"""The content of results.json and timing.json, from a training and the evaluation after it."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

import torch

from transfer.data.episodes import Episodes
from transfer.evaluation.outcome import Evaluation
from transfer.models.acting import PolicyModel
from transfer.models.sequence_model import TransferModel
from transfer.models.steps.adapter_config import TUNING, AdapterConfig
from transfer.recipes.runs.results import EvaluationEntry, Results, Timing, TrainingRecord
from transfer.recipes.runs.versions import versions
from transfer.recipes.settings.config import RunConfig
from transfer.recipes.settings.sections import adapter_table
from transfer.recipes.settings.target_names import target_of
from transfer.registry import PartSpec
from transfer.runtime.devices import find_precision, kernel_backend
from transfer.runtime.distributed import size
from transfer.runtime.memory import peak_bytes
from transfer.training.fit import FitResult


def results_of(
    config: RunConfig,
    record: TrainingRecord,
    episodes: Episodes,
    model: PolicyModel,
    played: Sequence[Evaluation],
    error: float | None,
) -> Results:
    """The content of results.json: equal bytes for equal runs. `error` is the held-out one, where it was measured."""
    train = record.config
    kinds, method = ran(config, model)
    last = {"checkpoint": "last", "step": train.steps}
    entries = [
        {**last, "target": target_of(ask, one.asked), **one.to_json(), "ask": others(ask), "asked": others(one.asked)}
        for ask, one in zip(config.eval.ask, played, strict=True)
    ]
    return Results(
        **vars(record.origin),
        environment=episodes.env_spec.name,
        dataset_ids=episodes.dataset_ids,
        content_hash=episodes.content_hash,
        reference=episodes.env_spec.reference,
        adapter=adapter_table(kinds),
        method=method.to_json(),
        training=asdict(train),
        steps=train.steps,
        batch_size=train.batch_size,
        lr=train.lr,
        adapter_lr=train.adapter_lr or None,
        trained=record.trained,
        final_loss=record.final_loss,
        held_out_error=error,
        evaluations=tuple(EvaluationEntry.from_json(one, "results.json") for one in entries),
        calibration=model.statistics.calibration,
        probes=record.probes,
        versions=versions(),
    )


def ran(config: RunConfig, model: PolicyModel) -> tuple[AdapterConfig, PartSpec]:
    """The kinds of the parts and the method of a model; those of the config for a model without an adapter."""
    if not isinstance(model, TransferModel):
        return config.adapter, config.method
    adapter = model.adapter
    return adapter.config if TUNING in adapter.parts() else replace(adapter.config, tuning=None), adapter.method


def others(asked: Mapping[str, Any]) -> dict[str, Any] | None:
    """What is asked for besides a return; None for nothing."""
    return {name: value for name, value in asked.items() if name != "return"} or None


def training_time(config: RunConfig, fit: FitResult, resumed_at: int, device: torch.device) -> Timing:
    """The content of timing.json after a training; the seconds of the episodes come later."""
    gpu = torch.cuda.max_memory_allocated(device) if device.type == "cuda" else 0
    return Timing(
        train_seconds=fit.seconds,
        resumed_at_step=resumed_at,  # the seconds before it are not known
        tokens_per_second=fit.tokens_per_second,
        peak_memory_bytes=peak_bytes(),
        peak_gpu_bytes=gpu,
        device=torch.cuda.get_device_name(device) if gpu else platform.processor() or device.type,
        threads=torch.get_num_threads(),
        processes=size(),
        precision=str(find_precision(config.run.precision, device)).removeprefix("torch."),
        kernels=kernel_backend(),
    )
