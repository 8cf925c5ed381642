"""Train one cell and save what it trained, with a record for whoever plays it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from transfer.errors import TransferError
from transfer.models.adapter import Adapter
from transfer.models.mlp import MLPPolicy
from transfer.models.trunk import Trunk
from transfer.recipes.cells.identity import IDENTITY, facts_of, identity_of
from transfer.recipes.cells.job import Job, held_out
from transfer.recipes.cells.recorder import Recorder
from transfer.recipes.cells.run_cell import RunCell
from transfer.recipes.programs.adapt import AdaptResult, adapt
from transfer.recipes.programs.modes import Mode, find_mode
from transfer.recipes.programs.pretrain import PretrainResult, pretrain
from transfer.recipes.runs.cells import ADAPTERS, PRETRAIN
from transfer.recipes.runs.checks import load_source, source_of
from transfer.recipes.runs.content import training_time
from transfer.recipes.runs.results import TRAINING, Origin, SourceAdapter, Trained, TrainingRecord, TrunkFate
from transfer.recipes.settings.config import training
from transfer.runtime.devices import find_precision
from transfer.runtime.distributed import rank
from transfer.storage.files import write_json
from transfer.storage.fingerprints import fingerprint
from transfer.training.fit import FitResult


def train(cell: RunCell, job: Job) -> None:
    """Train a cell, or go on from its last state; nothing where it is trained already.

    Raises:
        TransferError: as `pretrain` and `adapt`; a trunk that is missing, or changed on disk meanwhile.
    """
    if cell.trained:
        return
    if cell.pretrains:
        _pretrain(cell, job)
    else:
        _adapt(cell, job)


def _settings(cell: RunCell, job: Job, recorder: Recorder) -> dict[str, Any]:
    """Arguments that `pretrain` and `adapt` share."""
    return {
        "config": recorder.train,
        "trunk_config": job.config.trunk,
        "adapter_config": job.config.adapter,
        "method": job.config.method,
        "seed": cell.seed,
        "device": str(job.device),
        "precision": find_precision(job.config.run.precision, job.device),
        "compile": job.config.run.compile,
        "checkpoint": cell.home / "checkpoint",
        "callbacks": [recorder],
    }


def _pretrain(cell: RunCell, job: Job) -> None:
    """Pretrain and write trunk/SEED, with a folder for each source where there are several."""
    sources = job.sources if len(job.sources) > 1 else {"": next(iter(job.sources.values()))}
    first, settings = next(iter(sources.values())).episodes, training(job.config.pretrain)
    with Recorder(cell, job.config, settings, first, job.say, held_out(sources)) as recorder:
        given = _settings(cell, job, recorder)
        if "" in sources:
            result = pretrain(first, **given)
        else:
            weights = dict(zip(sources, (one.weight for one in job.config.source), strict=True))
            result = pretrain({name: one.episodes for name, one in sources.items()}, weights=weights, **given)
        if rank() == 0:
            _save_sources(cell, result)
            start, after = str(result.trunk.provenance.start), fingerprint(result.trunk)
            fate = TrunkFate(frozen=False, pretrained=after, before=start, after=after, unchanged=None)
            origin = Origin(mode=PRETRAIN, seed=cell.seed, inherit="none", trunk=fate)
            _write_record(cell, job, recorder, result.fit, origin)


def _save_sources(cell: RunCell, result: PretrainResult) -> None:
    """Save a pretrained trunk and its adapters."""
    result.trunk.save(cell.home / "trunk")
    for name, adapter in result.adapters.items():
        adapter.save(cell.home / ADAPTERS / name if name else cell.home / "adapter")


def _adapt(cell: RunCell, job: Job) -> None:
    """Adapt in one mode and write MODE/SEED."""
    mode, config = find_mode(cell.mode), job.config
    trunk, adapters = _trunk(cell, job) if mode.needs_pretraining else (None, {})
    steps = config.adapt.steps + (config.pretrain.steps if mode.total_steps else 0)
    settings, data = training(config.adapt, steps=steps), job.target
    inherit = config.adapt.inherit if mode.needs_pretraining else "none"
    source = source_of(config, mode, adapters) if adapters else None
    with Recorder(cell, config, settings, data.episodes, job.say, held_out({"": data})) as recorder:
        given = _settings(cell, job, recorder)
        result = adapt(trunk, data.episodes, mode.name, source=source, inherit_from_source=inherit, **given)
        if rank() == 0:
            _save(cell, mode, result)
            if mode.trunk == "pretrained":
                _check_saved(job.trunk_home(cell.seed), str(result.after))
            origin = Origin(
                mode=mode.name,
                seed=cell.seed,
                inherit=inherit,
                inherited=result.inherited,
                source=_told(source, adapters) if source is not None and result.inherited else None,
                trunk=_fate(mode, trunk, result),
            )
            _write_record(cell, job, recorder, result.fit, origin)


def _trunk(cell: RunCell, job: Job) -> tuple[Trunk, dict[str, Adapter]]:
    """The pretrained trunk of a seed and its source adapters, on the job's device."""
    trunk, adapters = load_source(job.trunk_home(cell.seed))
    return trunk.to(job.device), {name: adapter.to(job.device) for name, adapter in adapters.items()}


def _save(cell: RunCell, mode: Mode, result: AdaptResult) -> None:
    """Write the adapter, and a trunk that is not the shared one, or the MLP as a whole."""
    if isinstance(result.model, MLPPolicy):
        result.model.save(cell.home / "mlp")
        return
    if mode.trunk != "pretrained":
        result.model.trunk.save(cell.home / "trunk")
    result.model.adapter.save(cell.home / "adapter")


def _check_saved(home: Path, after: str) -> None:
    """Hash the trunk on disk again: it must be the one that is in memory after training."""
    saved = fingerprint(Trunk.load(home / "trunk"))
    if saved != after:
        raise TransferError(f"the trunk in {home} is {saved}, the one in memory after training is {after}.")


def _write_record(cell: RunCell, job: Job, recorder: Recorder, fit: FitResult, origin: Origin) -> None:
    """Write the identity of the cell, then training.json: from now on it is trained."""
    facts = facts_of(cell, job.config, job.used, job.device)
    write_json(cell.home / IDENTITY, {"identity": identity_of(facts or {}), "of": facts})
    record = TrainingRecord(
        origin=origin,
        training=asdict(recorder.train),
        trained=Trained.from_json(fit.selection.to_json(), TRAINING),
        final_loss=fit.final_loss,
        probes=tuple(recorder.probes),
        timing=training_time(job.config, fit, recorder.resumed_at, job.device),
    )
    write_json(cell.home / TRAINING, record.to_json())


def _told(source: Adapter, adapters: Mapping[str, Adapter]) -> SourceAdapter:
    """The name and the fingerprint of one of the adapters that a trunk came with."""
    name = next(name for name, one in adapters.items() if one is source)
    return SourceAdapter(name=name, fingerprint=fingerprint(source))


def _fate(mode: Mode, trunk: Trunk | None, result: AdaptResult) -> TrunkFate:
    """Fingerprints of the trunk of an adaptation; whether it is unchanged, where the mode freezes it."""
    return TrunkFate(
        frozen=mode.frozen,
        pretrained=fingerprint(trunk) if trunk is not None and mode.needs_pretraining else None,
        before=result.before,
        after=result.after,
        unchanged=result.before == result.after if mode.frozen else None,
    )
