"""What runs left behind: one cell per mode and training seed, and which of them are still to come."""

import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transfer.errors import TransferError
from transfer.numbers import seen
from transfer.recipes.labels import labels
from transfer.recipes.results import read_results, read_timing
from transfer.recipes.shapes import whole
from transfer.recipes.toml import parse_toml, read_toml
from transfer.specs import ReferenceScores

MODE = re.compile(r"[a-z][-+:a-z0-9]{0,79}")


@dataclass(frozen=True)
class Cell:
    """The results of one mode and seed of one run.

    Attributes:
        run: what the run is called in the report, see `transfer.recipes.labels`.
        results: results.json, whose keys are checked.
        timing: timing.json, empty when there is none: it is not part of a result.
    """

    run: str
    results: dict[str, Any]
    timing: dict[str, Any]

    @property
    def mode(self) -> str:
        """The mode; `pretrain` for the source environment."""
        return str(self.results["mode"])

    @property
    def seed(self) -> int:
        """The training seed."""
        return int(self.results["seed"])

    @property
    def environment(self) -> str:
        """Name of the environment that was played."""
        return str(self.results["environment"])

    @property
    def reference(self) -> ReferenceScores:
        """The scores that returns are measured against."""
        return ReferenceScores.from_json(self.results["reference"])


def read_cells(runs: Sequence[Path]) -> list[Cell]:
    """The finished cells of run folders: pretraining first, then modes in the order of the run's config, then seeds.

    Raises:
        TransferError: a folder that is missing or holds no results (with the next command), a results.json that is
            damaged or of another format, a run named twice, or results that do not belong in one table: see `read_run`
            and `check_scales`.
    """
    if not runs:
        raise TransferError("no run to report on. Make one with: transfer run hopper-to-walker2d")
    cells = [cell for run, label in labels(runs).items() for cell in read_run(run, label)]
    check_scales(cells)
    return cells


def check_scales(cells: Sequence[Cell]) -> None:
    """Raise TransferError when one environment is scored against two references."""
    scales: dict[tuple[str, str], ReferenceScores] = {}
    for cell in cells:
        # A scale that is a dataset's own may differ between the datasets of one environment.
        data = cell.results["content_hash"] if cell.reference.table == "dataset" else ""
        other = scales.setdefault((cell.environment, data), cell.reference)
        if other != cell.reference:
            raise TransferError(
                f"{cell.environment} is scored against two references, {other} and {cell.reference} (run {cell.run}): "
                "such scores do not belong in one table. Report the runs apart."
            )


def read_run(run: Path, label: str) -> list[Cell]:
    """The finished cells of one run folder.

    Raises:
        TransferError: as `read_cells`; one mode and seed in two folders, or cells that were trained on other data than
            the rest of the run.
    """
    if not run.is_dir():
        raise TransferError(f"no run folder {run}. What is at hand: transfer ls")
    files = sorted(file for file in run.glob("*/*/results.json") if file.parent.name.isdigit())
    cells = [(file, Cell(label, read_results(file), read_timing(file.with_name("timing.json")))) for file in files]
    if not cells:
        raise TransferError(f"{run} holds no results yet. {next_command(run)}")
    check_run(cells)
    order = ["pretrain", *configured_modes(run)]
    rank = {mode: position for position, mode in enumerate(order)}
    found = [cell for _, cell in cells]
    return sorted(found, key=lambda cell: (rank.get(cell.mode, len(order)), cell.mode, cell.seed))


def check_run(cells: Sequence[tuple[Path, Cell]]) -> None:
    """Raise TransferError as `read_run` for the cells of one run, each with its results.json."""
    trained: dict[tuple[str, int], Path] = {}
    data: dict[bool, tuple[Path, str]] = {}
    for file, cell in cells:
        other = trained.setdefault((cell.mode, cell.seed), file)
        if other != file:
            raise TransferError(f"{other} and {file} both hold {cell.mode} seed {cell.seed}. Remove one of them.")
        content = str(cell.results["content_hash"])
        other, before = data.setdefault(cell.mode == "pretrain", (file, content))
        if before != content:
            raise TransferError(
                f"{other} and {file} are of one run but were trained on other data, content {before[:12]} and "
                f"{content[:12]}: their scores do not compare. Remove one of them."
            )


def unfinished(run: Path) -> list[str]:
    """MODE/SEED of a run without results: those that were begun, then those that its config names."""
    begun = sorted(folder for folder in run.glob("*/*") if folder.is_dir() and folder.name.isdigit())
    modes, seeds = configured_modes(run), configured_seeds(run)
    planned = [run / mode_folder(mode) / str(seed) for seed in seeds for mode in modes]
    folders = [folder for folder in dict.fromkeys([*begun, *planned]) if not (folder / "results.json").is_file()]
    return [f"{folder.parent.name}/{folder.name}" for folder in folders]


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
    run = folder if (folder / "config.toml").is_file() else run_of(folder)
    if run is None:
        return "Is it a run folder? Start one with: transfer run hopper-to-walker2d"
    return f"Finish it with: {shlex.join(['transfer', 'run', str(run), '--resume'])}"


def configured_modes(run: Path) -> list[str]:
    """The modes in the run's config.toml, in order; none when it has no config.

    Raises:
        TransferError: as `configured`.
    """
    modes = configured(run, "adapt.modes")
    if not all(isinstance(mode, str) and MODE.fullmatch(mode) for mode in modes):
        raise edited(run, "adapt.modes", modes)
    return modes


def configured_seeds(run: Path) -> list[int]:
    """The seeds in the run's config.toml, as `configured_modes`."""
    seeds = configured(run, "run.seeds")
    if not all(whole(seed) for seed in seeds):
        raise edited(run, "run.seeds", seeds)
    return seeds


def configured(run: Path, key: str) -> list[Any]:
    """A list `section.key` in the run's config.toml; empty when there is none.

    Raises:
        TransferError: config.toml is damaged or edited.
    """
    path = run / "config.toml"
    if not path.is_file():
        return []
    section, _, name = key.partition(".")
    table = parse_toml(read_toml(path), str(path)).get(section, {})
    items = table.get(name, []) if isinstance(table, dict) else table
    if not isinstance(items, list):
        raise edited(run, key, items)
    return items


def edited(run: Path, key: str, value: object) -> TransferError:
    """The error for a setting of a run that no run has."""
    return TransferError(f"{run / 'config.toml'} was edited: {key} is {seen(value)}.")
