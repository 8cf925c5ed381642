"""What run folders hold: which MODE/SEED are finished, which are still to come, and what to do next."""

import re
import shlex
from pathlib import Path
from typing import Any

from transfer.errors import TransferError
from transfer.numbers import seen
from transfer.recipes.settings.schema import FILES
from transfer.recipes.settings.toml import parse_toml, read_toml

MODE = re.compile(r"[a-z][-+:a-z0-9]{0,79}")
TABLES = ("cells.csv", "episodes.csv", "curves.csv", "calibration.csv")
"""The files of a results folder, see `transfer.recipes.reports.tables.results_folder`."""


def is_results_folder(folder: Path) -> bool:
    """Whether a folder holds what is kept of runs when their weights are not."""
    return any((folder / name).exists() for name in TABLES)


def unfinished(run: Path) -> list[str]:
    """MODE/SEED of a run without results: those that were begun, then those that its config names."""
    begun = [f"{one.parent.name}/{one.name}" for one in sorted(run.glob("*/*")) if one.is_dir() and one.name.isdigit()]
    names = dict.fromkeys([*begun, *planned(run / "config.toml").values()])
    return [name for name in names if not (run / name / "results.json").is_file()]


def planned(config: Path) -> dict[tuple[str, int], str]:
    """MODE/SEED of every mode and seed that a run's config names, in order; none when there is no config."""
    modes, seeds = configured_modes(config), configured_seeds(config)
    return {(mode, seed): f"{mode_folder(mode)}/{seed}" for seed in seeds for mode in modes}


def mode_folder(mode: str) -> str:
    """Name of a mode's folder in a run."""
    return mode.replace(":", "-")


def trained(run: Path) -> list[str]:
    """MODE/SEED of a run that were stopped between their training and the end of their evaluation."""
    return [name for name in unfinished(run) if policy_file(run / name) is not None]


def policy_file(home: Path) -> Path | None:
    """The JSON of the policy that MODE/SEED, or its own folder, holds; None where there is none yet."""
    files = [home / place for place in ("adapter/adapter.json", "adapter.json", "mlp/mlp.json", "mlp.json")]
    return next((file for file in files if file.is_file()), None)


def run_of(home: Path) -> Path | None:
    """The run that a MODE/SEED folder belongs to."""
    above = [run for run in list(home.absolute().parents)[1:2] if (run / "config.toml").is_file()]
    return above[0] if above else None


def next_command(folder: Path) -> str:
    """What to do with a run folder, or one of its MODE/SEED, that has no results."""
    if is_results_folder(folder):
        config = next(iter(sorted(folder.glob("*.toml"))), folder / "config.toml")
        again = shlex.join(["transfer", "run", str(config), "--name", "NAME"])
        return f"It is a results folder, which keeps no weights; train with the settings of a run again: {again}"
    run = folder if (folder / "config.toml").is_file() else run_of(folder)
    if run is None:
        return "Is it a run folder? Start one with: transfer run hopper-to-walker2d"
    return f"Finish it with: {shlex.join(['transfer', 'run', str(run), '--resume'])}"


def configured_modes(config: Path) -> list[str]:
    """The modes in a run's config.toml, in order; none when there is no config.

    Raises:
        TransferError: as `configured`.
    """
    modes = configured(config, "adapt.modes")
    if not all(isinstance(mode, str) and MODE.fullmatch(mode) for mode in modes):
        raise edited(config, "adapt.modes", modes)
    return modes


def configured_seeds(config: Path) -> list[int]:
    """The seeds in a run's config.toml, as `configured_modes`."""
    seeds = configured(config, "run.seeds")
    if not all(FILES[int].fits(seed) for seed in seeds):
        raise edited(config, "run.seeds", seeds)
    return seeds


def configured(config: Path, key: str) -> list[Any]:
    """A list `section.key` in a run's config.toml; empty when there is none.

    Raises:
        TransferError: the file is damaged or edited.
    """
    if not config.is_file():
        return []
    section, _, name = key.partition(".")
    table = parse_toml(read_toml(config), str(config)).get(section, {})
    items = table.get(name, []) if isinstance(table, dict) else table
    if not isinstance(items, list):
        raise edited(config, key, items)
    return items


def edited(config: Path, key: str, value: object) -> TransferError:
    """The error for a setting of a run that no run has."""
    return TransferError(f"{config} was edited: {key} is {seen(value)}.")
