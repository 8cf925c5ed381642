"""Reading what runs left behind: one cell per mode and training seed, from its results.json and timing.json."""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import UnionType
from typing import Any

from transfer.errors import TransferError
from transfer.files import read_json
from transfer.recipes.toml import parse_toml, read_toml
from transfer.specs import ReferenceScores

Kinds = dict[str, type | UnionType]

FORMAT = 1
# What tables need; results.json holds more.
KEYS: Kinds = {
    **{"mode": str, "seed": int, "environment": str, "dataset_ids": list, "content_hash": str, "reference": dict},
    **{"trained": dict, "trunk": dict, "evaluations": list, "probes": list, "versions": dict},
}
REFERENCE: Kinds = {"table": str, "minimum": float, "maximum": float}
TRAINED: Kinds = {"numbers": int, "share": float}
TRUNK: Kinds = {"frozen": bool, "pretrained": str | None, "after": str | None, "unchanged": bool | None}
PLAYED: Kinds = {
    **{"checkpoint": str, "decode": str, "target_return": float, "target_score": float, "returns": list},
    **{"mean_return": float, "mean_score": float},
}
PROBE: Kinds = {"mean_score": float}
TIMING: Kinds = {"train_seconds": float, "resumed_at_step": int}


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
    seen: dict[tuple[str, str], ReferenceScores] = {}
    for cell in cells:
        # A scale that is a dataset's own may differ between the datasets of one environment.
        data = cell.results["content_hash"] if cell.reference.table == "dataset" else ""
        other = seen.setdefault((cell.environment, data), cell.reference)
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
    """MODE/SEED of a run without results: those that were begun, then those that its config names."""
    begun = sorted(folder for folder in run.glob("*/*") if folder.is_dir() and folder.name.isdigit())
    planned = [
        run / mode_folder(mode) / seed for seed in configured(run, "run.seeds") for mode in configured_modes(run)
    ]
    folders = [folder for folder in dict.fromkeys([*begun, *planned]) if not (folder / "results.json").is_file()]
    return [f"{folder.parent.name}/{folder.name}" for folder in folders]


def mode_folder(mode: str) -> str:
    """Name of a mode's folder in a run."""
    return mode.replace(":", "-")


def trained(run: Path) -> list[str]:
    """MODE/SEED of a run that were stopped between their training and the end of their evaluation."""
    return [name for name in unfinished(run) if policy_file(run / name) is not None]


def policy_file(home: Path) -> Path | None:
    """The JSON of the policy that MODE/SEED, or an adapter folder, holds; None where there is none yet."""
    files = (home / "adapter" / "adapter.json", home / "adapter.json", home / "mlp" / "mlp.json")
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
    """The modes in the run's config.toml, in order; none when it has no config."""
    return configured(run, "adapt.modes")


def configured(run: Path, key: str) -> list[str]:
    """A list `section.key` in the run's config.toml, its items as text; empty when there is none.

    Raises:
        TransferError: config.toml is damaged.
    """
    path = run / "config.toml"
    if not path.is_file():
        return []
    table = parse_toml(read_toml(path), str(path))
    section, _, name = key.partition(".")
    values = table.get(section)
    items = values.get(name) if isinstance(values, dict) else None
    return [str(item) for item in items] if isinstance(items, list) else []


def read_results(file: Path) -> dict[str, Any]:
    """One results.json. Raises TransferError when it is damaged, edited, of another format or lacks a key."""
    again = f"Remove {file.parent} and run again with --resume."
    try:
        results = read_json(file)
    except TransferError as error:
        raise TransferError(f"{error} {again}") from error
    if results.get("format") != FORMAT:
        raise TransferError(f"{file} has format {results.get('format')!r}; this version reads format {FORMAT}.")
    wrong = mistakes(results)
    if wrong:
        raise TransferError(f"{file} was edited: {', '.join(wrong)}. {again}")
    return results


def mistakes(results: dict[str, Any]) -> list[str]:
    """What is missing in a results.json or has another type than it should."""
    wrong = misfits("", results, KEYS)
    if wrong:
        return wrong
    wrong = misfits("reference.", results["reference"], REFERENCE)
    wrong += [*misfits("trained.", results["trained"], TRAINED), *misfits("trunk.", results["trunk"], TRUNK)]
    for name, kinds in (("evaluations", PLAYED), ("probes", PROBE)):
        for index, entry in enumerate(results[name]):
            wrong += misfits(f"{name}[{index}].", entry if isinstance(entry, dict) else {}, kinds)
    if not results["evaluations"]:
        wrong.append("no evaluation")
    elif not wrong and not all(entry["returns"] for entry in results["evaluations"]):
        wrong.append("no episodes")
    return wrong


def misfits(prefix: str, values: dict[str, Any], kinds: Kinds) -> list[str]:
    """The keys that are missing or not of their type; a whole number is a number too."""
    missing = [f"no {prefix}{key}" for key in kinds if key not in values]
    return missing + [
        f"{prefix}{key} is {values[key]!r:.80}"
        for key, kind in kinds.items()
        if key in values and not isinstance(values[key], int | float if kind is float else kind)
    ]


def read_timing(file: Path) -> dict[str, Any]:
    """One timing.json, empty when there is none. Raises TransferError when it is damaged or edited."""
    timing = read_json(file) if file.is_file() else {}
    wrong = misfits("", timing, {key: kind for key, kind in TIMING.items() if key in timing})
    if wrong:
        raise TransferError(f"{file} was edited: {', '.join(wrong)}. It is no part of the result: remove it.")
    return timing
