"""The recipe: pretrain a trunk, freeze it, adapt it to another environment in every mode, evaluate, report.

    runs/NAME/config.toml                      as asked, and which data that came to mean; before the first step
    runs/NAME/trunk/SEED/                      trunk, source adapter, results of the source environment
    runs/NAME/trunk/SEED/adapters/SOURCE/      adapter and results of a source, where there are several
    runs/NAME/MODE/SEED/                       adapter (and a trunk where it is not the shared one), results
    runs/NAME/report.md, report.csv, report.png

Seeds are independent runs; all modes of a seed share its pretrained trunk. Finished cells are skipped on `--resume`,
an unfinished one goes on from its last checkpoint.

Started by torchrun, every process trains; rank 0 alone makes data, evaluates and writes, and the others wait for it.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from transfer.adapters.actions.vocabulary import Vocabulary
from transfer.data.episodes import Episodes
from transfer.errors import TransferError
from transfer.models.acting import PolicyModel
from transfer.models.adapter import Adapter
from transfer.models.mlp import MLPPolicy
from transfer.models.sequence_model import TransferModel
from transfer.models.trunk import Trunk
from transfer.recipes.programs.adapt import AdaptResult, adapt
from transfer.recipes.programs.modes import Mode
from transfer.recipes.programs.pretrain import PretrainResult, pretrain
from transfer.recipes.reports.report import write_report
from transfer.recipes.runs.cell import RunCell, clean, finished
from transfer.recipes.runs.cells import ADAPTERS, PRETRAIN, mode_folder
from transfer.recipes.runs.checks import Pretrained, load_source, source_of
from transfer.recipes.runs.datasets import Data, Say
from transfer.recipes.runs.folder import held
from transfer.recipes.runs.prepare import Job, prepare
from transfer.recipes.runs.results import Origin, SourceAdapter, TrunkFate
from transfer.recipes.settings.config import RunConfig, training
from transfer.recipes.settings.pretrained import find_trunk
from transfer.runtime.devices import find_precision
from transfer.runtime.distributed import rank, rank_0_first, wait
from transfer.storage.fingerprints import fingerprint


def run(config: RunConfig, folder: Path, resume: bool, say: Say) -> Path:
    """Pretrain, adapt, evaluate and report, as a config says.

    Args:
        config: of the run.
        folder: where it is written.
        resume: go on with a run of the same config that was stopped; modes and seeds may be new.
        say: takes lines for people.

    Returns:
        the path of the report.

    Raises:
        TransferError: bad settings, a folder that holds another run or is in use by another process, data that cannot
            be had. Nothing is written then.
    """
    with ExitStack() as stack:
        existing = folder.is_dir()
        if rank() == 0 and existing:
            stack.enter_context(held(folder))
        with rank_0_first():  # the others find the data made and packed, and the folder claimed
            job = prepare(config, folder, resume or rank() > 0, say)
        if rank() == 0 and not existing:
            stack.enter_context(held(folder))
        for seed in job.config.run.seeds:
            needs_trunk = any(mode.needs_pretraining for mode in job.modes)
            trunk, adapters = obtain_trunk(job, seed) if needs_trunk else (None, {})
            for mode in job.modes:
                run_mode(job, mode, seed, trunk, adapters)
        return write_report(folder) if rank() == 0 else folder / "report.md"


def trunk_home(job: Job, seed: int) -> Path:
    """The folder with the pretrained trunk of a seed."""
    origin = job.config.pretrain.from_
    return find_trunk(Path(origin), seed) if origin else job.folder / "trunk" / str(seed)


def obtain_trunk(job: Job, seed: int) -> Pretrained:
    """The pretrained trunk of a seed and its source adapters: from `pretrain.from`, from this run, or made now."""
    home = trunk_home(job, seed)
    if not job.config.pretrain.from_ and not finished(home):
        pretrain_cell(job, home, seed)
    trunk, adapters = load_source(home)
    return trunk.to(job.device), {name: adapter.to(job.device) for name, adapter in adapters.items()}


def _settings(job: Job, cell: RunCell, seed: int) -> dict[str, Any]:
    """Arguments that `pretrain` and `adapt` share."""
    return {
        "config": cell.train,
        "trunk_config": job.config.trunk,
        "adapter_config": job.config.adapter,
        "method": job.config.method,
        "seed": seed,
        "device": str(job.device),
        "precision": find_precision(job.config.run.precision, job.device),
        "compile": job.config.run.compile,
        "checkpoint": cell.folder / "checkpoint",
        "callbacks": [cell],
    }


def held_out(data: Mapping[str, Data]) -> dict[str, Episodes]:
    """The episodes that are held out, by the name of their policy."""
    return {name: one.held_out for name, one in data.items() if one.held_out is not None}


def pretrain_cell(job: Job, home: Path, seed: int) -> None:
    """Pretrain and write trunk/SEED, with a folder for each source where there are several."""
    sources = job.sources if len(job.sources) > 1 else {"": next(iter(job.sources.values()))}
    first, kept = next(iter(sources.values())).episodes, held_out(sources)
    settings = training(job.config.pretrain)
    with RunCell(home, f"pretrain seed {seed}", job.config, settings, first, job.say, kept) as cell:
        if "" in sources:
            result = pretrain(first, **_settings(job, cell, seed))
        else:
            weights = dict(zip(sources, (one.weight for one in job.config.source), strict=True))
            each = {name: one.episodes for name, one in sources.items()}
            result = pretrain(each, weights=weights, **_settings(job, cell, seed))
        if rank() == 0:
            write_sources(cell, result, sources, seed)
    wait()


def write_sources(cell: RunCell, result: PretrainResult, sources: Mapping[str, Data], seed: int) -> None:
    """Save a pretrained trunk and its adapters, then play each of them."""
    home, models, adapters = cell.folder, result.model.members(), result.adapters
    result.trunk.save(home / "trunk")
    homes = {name: home / ADAPTERS / name if name else home / "adapter" for name in adapters}
    for name, adapter in adapters.items():  # all before any result: trunk/SEED is done when each of them has its own
        adapter.save(homes[name])
    start, after = str(result.trunk.provenance.start), fingerprint(result.trunk)
    fate = TrunkFate(frozen=False, pretrained=after, before=start, after=after, unchanged=None)
    for name, adapter in adapters.items():
        one = cell.of_source(name, sources[name].episodes) if name else cell
        one.trained(models[name], partial(adapter.save, homes[name]))
        log_tokenizer(one, models[name])
        mode = f"{PRETRAIN}:{name}" if name else PRETRAIN
        one.finish(models[name], result.fit, Origin(mode=mode, seed=seed, inherit="none", trunk=fate))
    clean(home)


def run_mode(job: Job, mode: Mode, seed: int, trunk: Trunk | None, adapters: Mapping[str, Adapter]) -> None:
    """Adapt in one mode and write MODE/SEED, unless it is finished already."""
    home, config = job.folder / mode_folder(mode.name) / str(seed), job.config
    if finished(home):
        job.say(f"{mode.name} seed {seed}: finished before, kept")
        return
    steps = config.adapt.steps + (config.pretrain.steps if mode.total_steps else 0)
    settings = training(config.adapt, steps=steps)
    inherit = config.adapt.inherit if mode.needs_pretraining else "none"
    kept, title = held_out({"": job.target}), f"{mode.name} seed {seed}"
    source = source_of(config, mode, adapters) if adapters else None
    with RunCell(home, title, config, settings, job.target.episodes, job.say, kept) as cell:
        given = _settings(job, cell, seed)
        result = adapt(trunk, job.target.episodes, mode.name, source=source, inherit_from_source=inherit, **given)
        if rank() == 0:
            if isinstance(result.model, TransferModel) and mode.trunk != "pretrained":
                result.model.trunk.save(home / "trunk")
            cell.trained(result.model, lambda: save(result.model, home))
            log_tokenizer(cell, result.model)
            if mode.trunk == "pretrained":
                check_saved(trunk_home(job, seed), str(result.after))
            origin = Origin(
                mode=mode.name,
                seed=seed,
                inherit=inherit,
                inherited=result.inherited,
                source=told(source, adapters) if source is not None and result.inherited else None,
                trunk=trunk_fate(mode, trunk, result),
            )
            cell.finish(result.model, result.fit, origin)
    wait()


def save(model: TransferModel | MLPPolicy, home: Path) -> None:
    """Write the adapter, or the MLP as a whole."""
    if isinstance(model, MLPPolicy):
        model.save(home / "mlp")
    else:
        model.adapter.save(home / "adapter")


def check_saved(home: Path, after: str) -> None:
    """Hash the trunk on disk again: it must be the one that is in memory after training."""
    saved = fingerprint(Trunk.load(home / "trunk"))
    if saved != after:
        raise TransferError(f"the trunk in {home} is {saved}, the one in memory after training is {after}.")


def log_tokenizer(cell: RunCell, model: PolicyModel) -> None:
    """Log the largest distance of a dataset action from the value of its token, where the model has a tokenizer."""
    fitted = getattr(model.adapter.parts()["action"], "tokenizer", None) if isinstance(model, TransferModel) else None
    if isinstance(model, TransferModel) and fitted is not None:
        scale = model.adapter.scales.action_range().each(Tensor.cpu)
        actions = cell.episodes.actions
        worst = np.abs(Vocabulary(fitted, scale).decoded(actions) - actions).max()
        cell.board.scalars(0, {"train/tokenizer_error": float(worst)})


def told(source: Adapter, adapters: Mapping[str, Adapter]) -> SourceAdapter:
    """The name and the fingerprint of one of the adapters that a trunk came with."""
    name = next(name for name, one in adapters.items() if one is source)
    return SourceAdapter(name=name, fingerprint=fingerprint(source))


def trunk_fate(mode: Mode, trunk: Trunk | None, result: AdaptResult) -> TrunkFate:
    """Fingerprints of the trunk of an adaptation; whether it is unchanged, where the mode freezes it."""
    return TrunkFate(
        frozen=mode.frozen,
        pretrained=fingerprint(trunk) if trunk is not None and mode.needs_pretraining else None,
        before=result.before,
        after=result.after,
        unchanged=result.before == result.after if mode.frozen else None,
    )
