"""The MODE/SEED of a run folder: finished, unfinished and planned, and the command that goes on with them."""

import os
import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

from transfer.errors import TransferError
from transfer.numbers import seen
from transfer.recipes.runs.used import source_names
from transfer.recipes.settings.schema import FILES
from transfer.recipes.settings.toml import parse_toml, read_toml

MODE = re.compile(r"[a-z][-+:a-z0-9]{0,79}")
# What an item of a list in config.toml must be.
SOUND: dict[str, Callable[[Any], Any]] = {
    "adapt.modes": lambda one: isinstance(one, str) and MODE.fullmatch(one),
    "run.seeds": FILES[int].fits,
}
ADAPTERS, PRETRAIN = "adapters", "pretrain"
"""Folder of trunk/SEED with a folder for each of several sources, and the mode of their results."""
TABLES = ("cells.csv", "episodes.csv", "curves.csv", "calibration.csv")
"""The files of a results folder, see `transfer.recipes.reports.tables.results_folder`."""


def is_results_folder(folder: Path) -> bool:
    """Whether a folder holds a CSV file of a results folder, and no MODE/SEED of a run."""
    return any((folder / name).exists() for name in TABLES) and not begun(folder)


def begun(run: Path) -> list[str]:
    """MODE/SEED of every folder of a training in a run, finished or not."""
    return [f"{one.parent.name}/{one.name}" for one in sorted(run.glob("*/*")) if one.is_dir() and one.name.isdigit()]


def sources_of(home: Path) -> list[str]:
    """The names of the sources of the trunk in trunk/SEED, as its run says; none where no run says it."""
    run = run_of(home)
    return source_names(run / "config.toml") if run is not None and home.absolute().parent.name == "trunk" else []


def parts_of(home: Path) -> list[Path]:
    """The folders with results in MODE/SEED, there or yet to come: itself, or one for each source of a trunk.

    Raises:
        TransferError: there is a folder beside them for something that is no source of the run.
    """
    there = sorted(one.name for one in (home / ADAPTERS).glob("*") if one.is_dir())
    names = sorted(sources_of(home))
    if not names:
        return [home / ADAPTERS / name for name in there] or [home]
    if more := [name for name in there if len(names) == 1 or name not in names]:
        raise TransferError(
            f"{home / ADAPTERS} holds {', '.join(more)}, and the run has other sources: {', '.join(names)}. Move what "
            "is none of them out of the run's folder"
        )
    return [home / ADAPTERS / name for name in names] if len(names) > 1 else [home]


def whole_parts(home: Path) -> list[Path]:
    """As `parts_of`. Raises TransferError where some of several have their policy and others have none."""
    parts = parts_of(home)
    lacking = [part.name for part in parts if policy_file(part) is None]
    if 0 < len(lacking) < len(parts):
        raise TransferError(f"{home} lacks the adapter of its source {', '.join(lacking)}. {next_command(home)}")
    return parts


def done(home: Path) -> bool:
    """Whether MODE/SEED has its results."""
    return all((part / "results.json").is_file() for part in parts_of(home))


def result_files(run: Path) -> list[Path]:
    """Every results.json of a run; one that is no file is for the reader to refuse."""
    files = [part / "results.json" for name in begun(run) for part in parts_of(run / name)]
    return [file for file in files if os.path.lexists(file)]


def is_pretraining(mode: str) -> bool:
    """Whether results are those of a source: of one alone, or of one of several, as "pretrain:hopper"."""
    return mode.partition(":")[0] == PRETRAIN


def unfinished(run: Path) -> list[str]:
    """MODE/SEED of a run without results: those that its config names, then others that were begun."""
    names = dict.fromkeys([*planned(run / "config.toml").values(), *begun(run)])
    return [name for name in names if not done(run / name)]


def planned(config: Path) -> dict[tuple[str, int], str]:
    """MODE/SEED of every mode and seed that a run's config names, in order; none when there is no config."""
    modes = configured(config, "adapt.modes")
    return {(mode, seed): f"{mode_folder(mode)}/{seed}" for seed in configured(config, "run.seeds") for mode in modes}


def mode_folder(mode: str) -> str:
    """Name of a mode's folder in a run."""
    return mode.replace(":", "-")


def trained(run: Path) -> list[str]:
    """MODE/SEED of a run that are trained and lack their evaluation."""
    return [name for name in unfinished(run) if all(map(policy_file, parts_of(run / name)))]


def policy_file(home: Path) -> Path | None:
    """The JSON of the policy in MODE/SEED, or in the policy's own folder; None where there is none yet."""
    files = [home / place for place in ("adapter/adapter.json", "adapter.json", "mlp/mlp.json", "mlp.json")]
    return next((file for file in files if file.is_file()), None)


def run_of(home: Path) -> Path | None:
    """The run that a MODE/SEED folder, or the folder of a source in one, belongs to."""
    cell = home.absolute().parents[1] if home.absolute().parent.name == ADAPTERS else home.absolute()
    run = cell.parent.parent
    return run if (run / "config.toml").is_file() else None


def next_command(folder: Path) -> str:
    """The next command for a run folder, or one of its MODE/SEED, without results, as a sentence."""
    runs = [one for one in sorted(folder.iterdir()) if (one / "config.toml").is_file()] if folder.is_dir() else []
    if (folder / "config.toml").is_file() and runs and not begun(folder):
        return f"It holds the runs of a matrix: name one of them, as {runs[0]}"
    if is_results_folder(folder):
        config = next(iter(sorted(folder.glob("*.toml"))), folder / "config.toml")
        again = shlex.join(["transfer", "run", str(config), "--name", "NAME"])
        return f"It is a results folder, which keeps no weights; train with the settings of a run again: {again}"
    run = folder if (folder / "config.toml").is_file() else run_of(folder)
    inside = [one for one in folder.iterdir() if (one / "config.toml").is_file() or is_results_folder(one)]
    if run is None and inside:
        return f"It holds folders of runs or results: name one of them, as {min(inside)}"
    if run is None:
        return "Is it a run folder? Start one with: transfer run hopper-to-walker2d"
    return f"Finish it with: {shlex.join(['transfer', 'run', str(run), '--resume'])}"


def configured(config: Path, key: str) -> list[Any]:
    """A list `section.key` in a run's config.toml; empty when there is none.

    Raises:
        TransferError: the file is damaged, or the list was edited.
    """
    if not config.is_file():
        return []
    items = _raw(config, key, [])
    if not isinstance(items, list) or (key in SOUND and not all(map(SOUND[key], items))):
        raise TransferError(f"{config} was edited: {key} is {seen(items)}.")
    return items


def raw_text(config: Path, key: str) -> str:
    """A text `section.key` in a run's config.toml, of an older version too; "" when there is none.

    Raises:
        TransferError: the file is damaged, or the text was edited.
    """
    text = _raw(config, key, "") if config.is_file() else ""
    if not isinstance(text, str):
        raise TransferError(f"{config} was edited: {key} is {seen(text)}.")
    return text


def _raw(config: Path, key: str, default: Any) -> Any:
    section, _, name = key.partition(".")
    table = parse_toml(read_toml(config), str(config)).get(section, {})
    return table.get(name, default) if isinstance(table, dict) else table
