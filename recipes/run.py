"""The recipe: pretrain a trunk, freeze it, adapt it to another environment in every mode, evaluate, report.

    runs/NAME/config.toml                      resolved, written before the first step
    runs/NAME/trunk/SEED/                      trunk, source adapter, results of the source environment
    runs/NAME/MODE/SEED/                       adapter (and a trunk where it is not the shared one), results
    runs/NAME/report.md, report.csv, report.png

Seeds are independent runs; all modes of a seed share its pretrained trunk. Finished cells are skipped on `--resume`,
an unfinished one goes on from its last checkpoint.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch

from transfer.adapter import Adapter
from transfer.episodes import Episodes
from transfer.errors import TransferError
from transfer.files import write_text
from transfer.freezing import fingerprint
from transfer.mlp import MLPPolicy
from transfer.model import TransferModel
from transfer.progress import Progress
from transfer.recipes.adapt import AdaptResult, adapt
from transfer.recipes.cell import Cell, precision_of, tokenizer_error
from transfer.recipes.config import DataConfig, RunConfig, dump_config, load_config
from transfer.recipes.modes import Mode, find_modes
from transfer.recipes.pretrain import pretrain
from transfer.recipes.report import write_report
from transfer.trunk import Trunk

Say = Callable[[str], None]
logger = logging.getLogger(__name__)


def run(config: RunConfig, folder: Path, resume: bool, say: Say) -> Path:
    """Do everything a config says.

    Args:
        config: of the run.
        folder: where it is written.
        resume: go on with a run of the same config that was stopped.
        say: takes lines for people.

    Returns:
        the path of the report.

    Raises:
        TransferError: bad settings, a folder that holds another run, data that cannot be had.
    """
    modes = find_modes(config.adapt.modes)
    device = find_device(config.run.device)
    config = resolve_data(config, modes, say)
    open_folder(folder, config, resume)
    if config.run.threads:
        torch.set_num_threads(config.run.threads)
    target = load(config.target, say)
    for seed in config.run.seeds:
        trunk, source = obtain_trunk(config, folder, seed, device, say) if _needs_trunk(modes) else (None, None)
        for mode in modes:
            run_mode(config, folder, mode, seed, trunk, source, target, device, say)
    return write_report(folder)


def _needs_trunk(modes: list[Mode]) -> bool:
    return any(mode.needs_pretraining for mode in modes)


def find_device(name: str) -> torch.device:
    """The device that "auto", "cpu", "cuda" or "cuda:1" means here."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise TransferError(f"device '{name}' is not to be had here: {str(error).splitlines()[0]}") from error
    return device


def resolve_data(config: RunConfig, modes: list[Mode], say: Say) -> RunConfig:
    """The config with the datasets that are going to be used; bundled ones are made when nothing else is at hand."""
    source = config.source
    if _needs_trunk(modes) and not config.pretrain.from_:
        source = choose(config.source, say)
    return replace(config, source=source, target=choose(config.target, say))


def choose(data: DataConfig, say: Say) -> DataConfig:
    """The first of `data` and `fallback` that is on this machine; else the bundled fallback, which is made."""
    from transfer.envs.bundled import make_dataset
    from transfer.envs.loading import at_hand
    from transfer.envs.names import BUNDLED

    if data.data and at_hand(data.data):
        return DataConfig(data.data)
    if not data.fallback:
        return DataConfig(data.data)  # loading it downloads, or says what is missing
    if not at_hand(data.fallback) and data.fallback in BUNDLED:
        say(f"{', '.join(data.data) or 'No dataset'} not at hand: making {data.fallback} with the bundled policies.")
        with Progress(1, data.fallback) as progress:
            make_dataset(data.fallback, on_progress=progress.update)
    elif data.data:
        say(f"{', '.join(data.data)} not at hand: using {data.fallback}.")
    return DataConfig((data.fallback,))


def load(data: DataConfig, say: Say) -> Episodes:
    """Episodes of a section, with a line that says what they are."""
    from transfer.envs.loading import load_episodes

    episodes = load_episodes(data.data)
    reference = episodes.env_spec.reference
    say(
        f"{', '.join(episodes.dataset_ids)}: {episodes.num_episodes} episodes, {episodes.num_steps} steps, mean "
        f"{reference.table} score {reference.score(float(episodes.returns.mean())):.1f}"
    )
    return episodes


def open_folder(folder: Path, config: RunConfig, resume: bool) -> None:
    """Write config.toml, or check that the folder holds this very run."""
    path = folder / "config.toml"
    if not path.exists():
        if folder.exists() and any(folder.iterdir()):
            raise TransferError(f"{folder} exists and holds something else. Choose another --name.")
        write_text(path, dump_config(config))
        return
    if not resume:
        raise TransferError(f"{folder} holds a run already. Add --resume to go on with it, or choose another --name.")
    before = load_config(str(path))
    if _comparable(before) != _comparable(config):
        changed = [
            key for key in asdict(config) if getattr(_comparable(before), key) != getattr(_comparable(config), key)
        ]
        raise TransferError(
            f"{folder} holds a run with other settings in [{'], ['.join(changed)}]; --resume goes on with the same "
            f"settings only. `transfer run {folder} --resume` takes them from the folder, or choose another --name."
        )
    write_text(path, dump_config(config))


def _comparable(config: RunConfig) -> RunConfig:
    """The config without what may change on resuming: modes and seeds can be added."""
    adapting = replace(config.adapt, modes=("embeddings",))
    return replace(config, adapt=adapting, run=replace(config.run, seeds=(0,), device="auto"))


def obtain_trunk(config: RunConfig, folder: Path, seed: int, device: torch.device, say: Say) -> tuple[Trunk, Adapter]:
    """The pretrained trunk of a seed and its source adapter: from `pretrain.from`, from this run, or made now."""
    home = folder / "trunk" / str(seed)
    if config.pretrain.from_:
        home = find_trunk(Path(config.pretrain.from_), seed)
    elif not (home / "results.json").exists():
        pretrain_cell(config, home, seed, device, say)
    trunk = Trunk.load(home / "trunk").to(device)
    return trunk, Adapter.load(home / "adapter", trunk).to(device)


def find_trunk(path: Path, seed: int) -> Path:
    """The folder with `trunk/` and `adapter/` that a run folder or a trunk/SEED folder means."""
    for home in (path / "trunk" / str(seed), path):
        if (home / "trunk" / "trunk.json").is_file():
            return home
    raise TransferError(
        f"pretrain.from: no trunk of seed {seed} under {path}; it takes a run folder or its trunk/SEED."
    )


def pretrain_cell(config: RunConfig, home: Path, seed: int, device: torch.device, say: Say) -> None:
    """Pretrain and write trunk/SEED."""
    episodes = load(config.source, say)
    with Cell(home, f"pretrain seed {seed}", config, config.pretrain, episodes, say) as cell:
        result = pretrain(
            episodes,
            config=config.pretrain,
            trunk_config=config.trunk,
            adapter_config=config.adapter,
            seed=seed,
            device=str(device),
            precision=precision_of(config, device),
            checkpoint=home / "checkpoint",
            on_start=cell.on_start,
            on_log=cell.on_log,
            on_step=cell.on_step,
        )
        result.trunk.save(home / "trunk")
        result.adapter.save(home / "adapter")
        log_tokenizer(cell, result.model, episodes)
        after = fingerprint(result.trunk)
        trunk = _trunk_facts(False, after, str(result.trunk.record["start"]), after)
        cell.finish(result.model, result.fit, {"mode": "pretrain", "seed": seed, "inherit": "none", "trunk": trunk})


def run_mode(
    config: RunConfig,
    folder: Path,
    mode: Mode,
    seed: int,
    trunk: Trunk | None,
    source: Adapter | None,
    episodes: Episodes,
    device: torch.device,
    say: Say,
) -> None:
    """Adapt in one mode and write MODE/SEED, unless it is finished already."""
    home = folder / mode.folder / str(seed)
    if (home / "results.json").exists():
        say(f"{mode.name} seed {seed}: finished before, kept")
        return
    steps = config.adapt.steps + (config.pretrain.steps if mode.total_steps else 0)
    training = replace(config.adapt, steps=steps)
    with Cell(home, f"{mode.name} seed {seed}", config, training, episodes, say) as cell:
        result = adapt(
            trunk,
            episodes,
            mode.name,
            config=training,
            adapter_config=config.adapter,
            source=source,
            inherit_from_source=config.adapt.inherit,
            seed=seed,
            device=str(device),
            precision=precision_of(config, device),
            checkpoint=home / "checkpoint",
            on_start=cell.on_start,
            on_log=cell.on_log,
            on_step=cell.on_step,
        )
        save(result, home, mode)
        log_tokenizer(cell, result.model, episodes)
        facts = {"mode": mode.name, "seed": seed, "inherit": config.adapt.inherit, "inherited": list(result.inherited)}
        pretrained = fingerprint(trunk) if trunk is not None else None
        facts["trunk"] = _trunk_facts(mode.frozen, pretrained, result.before, result.after)
        if mode.trunk == "pretrained":
            check_saved(config, folder, seed, str(result.after))
        cell.finish(result.model, result.fit, facts)


def save(result: AdaptResult, home: Path, mode: Mode) -> None:
    """Write the adapter, and the trunk where it is not the shared pretrained one; the MLP as a whole."""
    if isinstance(result.model, MLPPolicy):
        result.model.save(home / "mlp")
        return
    result.model.adapter.save(home / "adapter")
    if mode.trunk != "pretrained":
        result.model.trunk.save(home / "trunk")


def check_saved(config: RunConfig, folder: Path, seed: int, after: str) -> None:
    """Hash the trunk on disk again: it must be the one that is in memory after training."""
    home = find_trunk(Path(config.pretrain.from_), seed) if config.pretrain.from_ else folder / "trunk" / str(seed)
    saved = fingerprint(Trunk.load(home / "trunk"))
    if saved != after:
        raise TransferError(f"the trunk in {home} is {saved}, the one in memory after training is {after}.")


def log_tokenizer(cell: Cell, model: TransferModel | MLPPolicy, episodes: Episodes) -> None:
    """Log what tokenizing the dataset's actions costs, where the model does."""
    if isinstance(model, TransferModel) and model.adapter.tokenizer is not None and cell.board is not None:
        cell.board.scalars(0, {"tokenizer/max_error": tokenizer_error(model.adapter.tokenizer, episodes)})


def _trunk_facts(frozen: bool, pretrained: str | None, before: str | None, after: str | None) -> dict[str, Any]:
    unchanged = before == after if frozen else None  # a trunk that trains is meant to change
    return {"frozen": frozen, "pretrained": pretrained, "before": before, "after": after, "unchanged": unchanged}
