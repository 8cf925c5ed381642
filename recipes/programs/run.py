"""The recipe: pretrain a trunk, freeze it, adapt it to another environment in every mode, evaluate, report.

    runs/NAME/config.toml                      as asked, and which data that came to mean; before the first step
    runs/NAME/trunk/SEED/                      trunk, source adapter, results of the source environment
    runs/NAME/MODE/SEED/                       adapter (and a trunk where it is not the shared one), results
    runs/NAME/report.md, report.csv, report.png

Seeds are independent runs; all modes of a seed share its pretrained trunk. Finished cells are skipped on `--resume`,
an unfinished one goes on from its last checkpoint.

Started by torchrun, every process does all of this, but only the first one makes data, evaluates and writes; the others
train with it and wait where it goes on alone.
"""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

from transfer.errors import TransferError
from transfer.models.adapter import Adapter
from transfer.models.mlp import MLPPolicy
from transfer.models.sequence_model import TransferModel
from transfer.models.trunk import Trunk
from transfer.recipes.programs.adapt import AdaptResult, adapt
from transfer.recipes.programs.modes import Mode
from transfer.recipes.programs.pretrain import PretrainResult, pretrain
from transfer.recipes.reports.report import write_report
from transfer.recipes.runs.cell import RunCell, finished
from transfer.recipes.runs.checks import load_source
from transfer.recipes.runs.facts import Origin, precision_of, tokenizer_error
from transfer.recipes.runs.folder import held
from transfer.recipes.runs.prepare import Job, Say, prepare
from transfer.recipes.runs.results import TrunkFate
from transfer.recipes.settings.config import RunConfig, training
from transfer.recipes.settings.pretrained import find_trunk
from transfer.runtime.distributed import rank, rank_0_first, wait
from transfer.storage.fingerprints import fingerprint


def run(config: RunConfig, folder: Path, resume: bool, say: Say) -> Path:
    """Do everything a config says.

    Args:
        config: of the run.
        folder: where it is written.
        resume: go on with a run of the same config that was stopped; modes and seeds may be new.
        say: takes lines for people.

    Returns:
        the path of the report.

    Raises:
        TransferError: bad settings, a folder that holds another run or that another process is at work on, data that
            cannot be had. Nothing is written then.
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
            run_seed(job, seed)
        return write_report(folder) if rank() == 0 else folder / "report.md"


def run_seed(job: Job, seed: int) -> None:
    """Pretrain where a mode needs it, then adapt in every mode."""
    needs_trunk = any(mode.needs_pretraining for mode in job.modes)
    trunk, adapter = obtain_trunk(job, seed) if needs_trunk else (None, None)
    for mode in job.modes:
        run_mode(job, mode, seed, trunk, adapter)


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


def pretrain_cell(job: Job, home: Path, seed: int) -> None:
    """Pretrain and write trunk/SEED."""
    assert job.source is not None  # `run` loads it whenever something is pretrained
    config = training(job.config.pretrain)
    with RunCell(home, f"pretrain seed {seed}", job.config, config, job.source, job.say) as cell:
        result = pretrain(
            job.source,
            config=config,
            trunk_config=job.config.trunk,
            adapter_config=job.config.adapter,
            seed=seed,
            device=str(job.device),
            precision=precision_of(job.config, job.device),
            compile=job.config.run.compile,
            checkpoint=home / "checkpoint",
            on_start=cell.on_start,
            on_log=cell.on_log,
            on_step=cell.on_step,
        )
        if rank() == 0:
            finish_pretraining(cell, result, seed)
    wait()


def finish_pretraining(cell: RunCell, result: PretrainResult, seed: int) -> None:
    """Save, evaluate and write trunk/SEED after training."""
    result.trunk.save(cell.folder / "trunk")
    cell.trained(result.model, lambda: result.adapter.save(cell.folder / "adapter"))
    log_tokenizer(cell, result.model)
    after = fingerprint(result.trunk)
    trunk = _trunk_fate(False, after, str(result.trunk.provenance.start), after)
    cell.finish(result.model, result.fit, Origin("pretrain", seed, "none", None, trunk))


def run_mode(job: Job, mode: Mode, seed: int, trunk: Trunk | None, source: Adapter | None) -> None:
    """Adapt in one mode and write MODE/SEED, unless it is finished already."""
    home, config = job.folder / mode.folder / str(seed), job.config
    if finished(home):
        job.say(f"{mode.name} seed {seed}: finished before, kept")
        return
    steps = config.adapt.steps + (config.pretrain.steps if mode.total_steps else 0)
    settings = training(config.adapt, steps=steps)
    with RunCell(home, f"{mode.name} seed {seed}", config, settings, job.target, job.say) as cell:
        result = adapt(
            trunk,
            job.target,
            mode.name,
            config=settings,
            adapter_config=config.adapter,
            trunk_config=config.trunk,
            source=source,
            inherit_from_source=config.adapt.inherit,
            seed=seed,
            device=str(job.device),
            precision=precision_of(config, job.device),
            compile=config.run.compile,
            checkpoint=home / "checkpoint",
            on_start=cell.on_start,
            on_log=cell.on_log,
            on_step=cell.on_step,
        )
        if rank() == 0:
            finish_mode(job, cell, result, mode, seed, trunk)
    wait()


def finish_mode(job: Job, cell: RunCell, result: AdaptResult, mode: Mode, seed: int, trunk: Trunk | None) -> None:
    """Save, evaluate and write MODE/SEED after training."""
    if isinstance(result.model, TransferModel) and mode.trunk != "pretrained":
        result.model.trunk.save(cell.folder / "trunk")
    cell.trained(result.model, lambda: save(result.model, cell.folder))
    log_tokenizer(cell, result.model)
    inherit = job.config.adapt.inherit
    pretrained = fingerprint(trunk) if trunk is not None and mode.needs_pretraining else None
    fate = _trunk_fate(mode.frozen, pretrained, result.before, result.after)
    if mode.trunk == "pretrained":
        check_saved(trunk_home(job, seed), str(result.after))
    cell.finish(result.model, result.fit, Origin(mode.name, seed, inherit, result.inherited, fate))


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
    """Log what tokenizing the dataset's actions costs, where the model does."""
    if isinstance(model, TransferModel) and model.adapter.tokenizer is not None and cell.board is not None:
        cell.board.scalars(0, {"tokenizer/max_error": tokenizer_error(model.adapter, cell.episodes)})


def _trunk_fate(frozen: bool, pretrained: str | None, before: str | None, after: str | None) -> TrunkFate:
    unchanged = before == after if frozen else None  # a trunk that trains is meant to change
    return TrunkFate(frozen=frozen, pretrained=pretrained, before=before, after=after, unchanged=unchanged)
