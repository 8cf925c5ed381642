"""Reading what runs left behind: one cell per mode and training seed, from its results.json and timing.json."""

import shlex
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transfer.errors import TransferError
from transfer.files import read_json
from transfer.specs import ReferenceScores

FORMAT = 1
# What tables need; results.json holds more.
KEYS = ("mode", "seed", "environment", "dataset_ids", "content_hash", "reference", "trained", "trunk", "evaluations")
NESTED = {"trained": ("numbers", "share"), "trunk": ("frozen", "pretrained", "after", "unchanged")}
PLAYED = ("checkpoint", "decode", "target_return", "target_score", "returns", "mean_return", "mean_score")


@dataclass(frozen=True)
class Cell:
    """The results of one mode and seed of one run.

    Attributes:
        run: name of the run's folder.
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
            damaged or of another format, or one environment scored against two references.
    """
    if not runs:
        raise TransferError("no run to report on. Make one with: transfer run hopper-to-walker2d")
    cells = [cell for run in runs for cell in read_run(run)]
    seen: dict[str, ReferenceScores] = {}
    for cell in cells:
        other = seen.setdefault(cell.environment, cell.reference)
        if other != cell.reference:
            raise TransferError(
                f"{cell.environment} is scored against two references, {other} and {cell.reference} (run {cell.run}): "
                "such scores do not belong in one table. Report the runs apart."
            )
    return cells


def read_run(run: Path) -> list[Cell]:
    """The finished cells of one run folder. Raises TransferError as `read_cells`."""
    if not run.is_dir():
        raise TransferError(f"no run folder {run}. What is at hand: transfer ls")
    name = run.resolve().name
    files = [file for file in run.glob("*/*/results.json") if file.parent.name.isdigit()]
    cells = [Cell(name, read_results(file), read_timing(file.with_name("timing.json"))) for file in files]
    if not cells:
        raise TransferError(f"{run} holds no results yet. {next_command(run)}")
    order = ["pretrain", *configured_modes(run)]
    rank = {mode: position for position, mode in enumerate(order)}
    return sorted(cells, key=lambda cell: (rank.get(cell.mode, len(order)), cell.mode, cell.seed))


def unfinished(run: Path) -> list[str]:
    """MODE/SEED folders of a run without results."""
    folders = [folder for folder in run.glob("*/*") if folder.is_dir() and folder.name.isdigit()]
    return sorted(f"{f.parent.name}/{f.name}" for f in folders if not (f / "results.json").is_file())


def next_command(run: Path) -> str:
    """What to do with a run folder that has no results."""
    if not (run / "config.toml").is_file():
        return "Is it a run folder? Start one with: transfer run hopper-to-walker2d"
    command = ["transfer", "run", str(run), "--runs-dir", str(run.parent), "--resume"]
    return f"Finish it with: {shlex.join(command)}"


def configured_modes(run: Path) -> list[str]:
    """The modes in the run's config.toml, in order; none when it has no config."""
    try:
        table = tomllib.loads((run / "config.toml").read_text(encoding="utf-8"))
    except (FileNotFoundError, tomllib.TOMLDecodeError):
        return []
    return [str(mode) for mode in table.get("adapt", {}).get("modes", [])]


def read_results(file: Path) -> dict[str, Any]:
    """One results.json. Raises TransferError when it is damaged, of another format or lacks a key."""
    results = read_json(file)
    if results.get("format") != FORMAT:
        raise TransferError(f"{file} has format {results.get('format')!r}; this version reads format {FORMAT}")
    missing = lacking(results)
    if missing:
        raise TransferError(f"{file} has no {', '.join(missing)}; delete its folder and run again with --resume")
    if not results["evaluations"]:
        raise TransferError(f"{file} holds no evaluation; delete its folder and run again with --resume")
    return results


def lacking(results: dict[str, Any]) -> list[str]:
    """The keys that a results.json should have and does not."""
    missing = [key for key in KEYS if key not in results]
    missing += [f"{name}.{key}" for name, keys in NESTED.items() for key in keys if key not in results.get(name, keys)]
    played = results.get("evaluations", [])
    return missing + [f"evaluations.{key}" for key in PLAYED if any(key not in entry for entry in played)]


def read_timing(file: Path) -> dict[str, Any]:
    """One timing.json, empty when there is none."""
    return read_json(file) if file.is_file() else {}
