"""Fills in results.json and timing.json of one MODE/SEED."""

from __future__ import annotations

import platform
import resource
from collections.abc import Sequence
from dataclasses import asdict

import torch

from transfer.data.calibration_table import Calibration
from transfer.data.episodes import Episodes
from transfer.evaluation.outcome import Evaluation
from transfer.recipes.runs.results import Origin, Played, Probe, Results, Timing, Trained
from transfer.recipes.runs.versions import versions
from transfer.recipes.settings.config import RunConfig
from transfer.runtime.devices import find_precision, kernel_backend
from transfer.runtime.distributed import size
from transfer.training.fit import FitResult
from transfer.training.train_config import TrainConfig


def outcome(
    origin: Origin,
    config: RunConfig,
    train: TrainConfig,
    episodes: Episodes,
    fit: FitResult,
    played: Sequence[Evaluation],
    probes: Sequence[Probe],
    calibration: Calibration | None,
) -> Results:
    """Everything in results.json: equal bytes for equal runs."""
    last = {"checkpoint": "last", "step": train.steps}
    named = zip(config.eval.targets, played, strict=True)
    return Results(
        **vars(origin),
        environment=episodes.env_spec.name,
        dataset_ids=episodes.dataset_ids,
        content_hash=episodes.content_hash,
        reference=episodes.env_spec.reference,
        adapter=asdict(config.adapter),
        training=asdict(train),
        steps=train.steps,
        batch_size=train.batch_size,
        lr=train.lr,
        trained=Trained.from_json(fit.selection.to_json(), "results.json"),
        final_loss=fit.final_loss,
        evaluations=tuple(
            Played.from_json({**last, "target": target, **one.to_json()}, "results.json") for target, one in named
        ),
        calibration=calibration,
        probes=tuple(probes),
        versions=versions(),
    )


def timing(config: RunConfig, fit: FitResult, resumed_at: int, eval_seconds: float, device: torch.device) -> Timing:
    """Everything in timing.json."""
    gpu = torch.cuda.max_memory_allocated(device) if device.type == "cuda" else 0
    return Timing(
        train_seconds=fit.seconds,
        resumed_at_step=resumed_at,  # the seconds before it are not known
        eval_seconds=eval_seconds,
        tokens_per_second=fit.tokens_per_second,
        peak_memory_bytes=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        peak_gpu_bytes=gpu,
        device=torch.cuda.get_device_name(device) if gpu else platform.processor() or device.type,
        threads=torch.get_num_threads(),
        processes=size(),
        precision=str(find_precision(config.run.precision, device)).removeprefix("torch."),
        kernels=kernel_backend(),
    )
