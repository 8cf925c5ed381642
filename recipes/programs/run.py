"""The recipe: pretrain a trunk, freeze it, adapt it to another environment in every mode, evaluate, report.

    runs/NAME/config.toml                      as asked, and which data that came to mean; before the first step
    runs/NAME/trunk/SEED/                      trunk, source adapter, results of the source environment
    runs/NAME/MODE/SEED/                       adapter (and a trunk where it is not the shared one), results
    runs/NAME/report.md, report.csv, report.png

Seeds are independent runs; all modes of a seed share its pretrained trunk. Finished cells are skipped on `--resume`,
an unfinished one goes on from its last checkpoint.

Started by torchrun, every process trains; rank 0 alone makes data, evaluates and writes, and the others wait for it.
"""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Any

from transfer.errors import TransferError
from transfer.models.adapter import Adapter
from transfer.models.mlp import MLPPolicy
from transfer.models.sequence_model import TransferModel
from transfer.models.trunk import Trunk
from transfer.recipes.programs.adapt import AdaptResult, adapt
from transfer.recipes.programs.modes import Mode
from transfer.recipes.programs.pretrain import pretrain
from transfer.recipes.reports.report import write_report
from transfer.recipes.runs.cell import RunCell, finished
from transfer.recipes.runs.cells import mode_folder
from transfer.recipes.runs.checks import load_source
from transfer.recipes.runs.datasets import Say
from transfer.recipes.runs.folder import held
from transfer.recipes.runs.prepare import Job, prepare
from transfer.recipes.runs.results import Origin, TrunkFate
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
            trunk, adapter = obtain_trunk(job, seed) if needs_trunk else (None, None)
            for mode in job.modes:
                run_mode(job, mode, seed, trunk, adapter)
        return write_report(folder) if rank() == 0 else folder / "report.md"


def trunk_home(job: Job, seed: int) -> Path:
    """The folder with the pretrained trunk of a seed."""
    origin = job.config.pretrain.from_
    return find_trunk(Path(origin), seed) if origin else job.folder / "trunk" / str(seed)


def obtain_trunk(job: Job, seed: int) -> tuple[Trunk, Adapter]:
    """The pretrained trunk of a seed and its source adapter: from `pretrain.from`, from this run, or made now."""
    home = trunk_home(job, seed)
    if not job.config.pretrain.from_ and not finished(home):
        pretrain_cell(job, home, seed)
    trunk, adapter = load_source(home)
    return trunk.to(job.device), adapter.to(job.device)


def _settings(job: Job, cell: RunCell, seed: int) -> dict[str, Any]:
    """Arguments that `pretrain` and `adapt` share."""
    return {
        "config": cell.train,
        "trunk_config": job.config.trunk,
        "adapter_config": job.config.adapter.config(),
        "seed": seed,
        "device": str(job.device),
        "precision": find_precision(job.config.run.precision, job.device),
        "compile": job.config.run.compile,
        "checkpoint": cell.folder / "checkpoint",
        "callbacks": [cell],
    }


def pretrain_cell(job: Job, home: Path, seed: int) -> None:
    """Pretrain and write trunk/SEED."""
    assert job.source is not None  # `prepare` loads it whenever a trunk is pretrained
    settings = training(job.config.pretrain)
    with RunCell(home, f"pretrain seed {seed}", job.config, settings, job.source, job.say) as cell:
        result = pretrain(job.source, **_settings(job, cell, seed))
        model = result.model
        if rank() == 0 and isinstance(model, TransferModel):
            result.trunk.save(home / "trunk")
            cell.trained(model, lambda: result.adapter.save(home / "adapter"))
            log_tokenizer(cell, model)
            start, after = str(result.trunk.provenance.start), fingerprint(result.trunk)
            fate = TrunkFate(frozen=False, pretrained=after, before=start, after=after, unchanged=None)
            cell.finish(model, result.fit, Origin(mode="pretrain", seed=seed, inherit="none", trunk=fate))
    wait()


def run_mode(job: Job, mode: Mode, seed: int, trunk: Trunk | None, source: Adapter | None) -> None:
    """Adapt in one mode and write MODE/SEED, unless it is finished already."""
    home, config = job.folder / mode_folder(mode.name) / str(seed), job.config
    if finished(home):
        job.say(f"{mode.name} seed {seed}: finished before, kept")
        return
    steps = config.adapt.steps + (config.pretrain.steps if mode.total_steps else 0)
    settings, inherit = training(config.adapt, steps=steps), config.adapt.inherit
    with RunCell(home, f"{mode.name} seed {seed}", config, settings, job.target, job.say) as cell:
        given = _settings(job, cell, seed)
        result = adapt(trunk, job.target, mode.name, source=source, inherit_from_source=inherit, **given)
        if rank() == 0:
            if isinstance(result.model, TransferModel) and mode.trunk != "pretrained":
                result.model.trunk.save(home / "trunk")
            cell.trained(result.model, lambda: save(result.model, home))
            log_tokenizer(cell, result.model)
            if mode.trunk == "pretrained":
                check_saved(trunk_home(job, seed), str(result.after))
            fate, inherited = trunk_fate(mode, trunk, result), result.inherited
            origin = Origin(mode=mode.name, seed=seed, inherit=inherit, inherited=inherited, trunk=fate)
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


def log_tokenizer(cell: RunCell, model: TransferModel | MLPPolicy) -> None:
    """Log the largest distance of a dataset action from the value of its token, where the model has a tokenizer."""
    fitted = getattr(model.adapter.parts()["action"], "tokenizer", None) if isinstance(model, TransferModel) else None
    if isinstance(model, TransferModel) and fitted is not None:
        scale = model.adapter.scales.action_range()
        tokenizer = fitted.unscaled(scale.middle.cpu().numpy(), scale.half.cpu().numpy())
        worst = max(tokenizer.report(cell.episodes.actions)["max_error"])
        cell.board.scalars(0, {"train/tokenizer_error": worst})


def trunk_fate(mode: Mode, trunk: Trunk | None, result: AdaptResult) -> TrunkFate:
    """Fingerprints of the trunk of an adaptation; whether it is unchanged, where the mode freezes it."""
    return TrunkFate(
        frozen=mode.frozen,
        pretrained=fingerprint(trunk) if trunk is not None and mode.needs_pretraining else None,
        before=result.before,
        after=result.after,
        unchanged=result.before == result.after if mode.frozen else None,
    )
