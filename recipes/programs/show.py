"""What a folder holds: trunks and adapters from their JSON and the headers of their tensor files, runs from both."""

import shlex
from pathlib import Path
from typing import Any

import numpy as np

from transfer.errors import TransferError
from transfer.recipes.reports.tables.cell_results import CellResult
from transfer.recipes.reports.tables.results_folder import read_results_folder
from transfer.recipes.runs.cells import is_results_folder, next_command, policy_file, run_of, trained, unfinished
from transfer.recipes.runs.results import Results, read_results
from transfer.storage.files import read_json
from transfer.storage.pairs import tensors_path
from transfer.storage.tensors import read_header


def describe(path: Path) -> dict[str, Any]:
    """Facts about a trunk, an adapter, one MODE/SEED of a run, a run or a results folder, as plain values for JSON.

    Args:
        path: a folder.

    Raises:
        TransferError: no such folder, a folder that is none of these, or a damaged file.
    """
    if not path.is_dir():
        raise TransferError(f"no folder {path}. What is at hand: transfer ls")
    if is_results_folder(path):
        return describe_results(path)
    return describe_run(path) if (path / "config.toml").is_file() else describe_parts(path)


def describe_parts(path: Path) -> dict[str, Any]:
    """Facts about a folder that is not a run."""
    kinds = {"trunk": describe_trunk, "adapter": describe_adapter, "mlp": describe_mlp}
    found: dict[str, Any] = {name: make(path) for name, make in kinds.items() if (path / f"{name}.json").is_file()}
    inside = {name: make(path / name) for name, make in kinds.items() if (path / name / f"{name}.json").is_file()}
    found |= {name: facts for name, facts in inside.items() if name not in found}
    if (path / "results.json").is_file():
        found["results"] = outcome(read_results(path / "results.json"))
    elif policy_file(path) is not None and run_of(path) is not None:
        found["next"] = f"Trained, and stopped before its evaluation. {next_command(path)}"
    if not found:
        raise TransferError(f"{path} holds no trunk.json, adapter.json or config.toml. {next_command(path)}")
    alone = len(found) == 1
    return next(iter(found.values())) if alone else {"kind": "cell", "path": str(path), **found}


def describe_trunk(folder: Path) -> dict[str, Any]:
    """Facts about a saved trunk."""
    content = read_json(folder / "trunk.json")
    return {
        "kind": "trunk",
        "path": str(folder),
        **taken(folder / "trunk.json", content, fingerprint=str, library=str, config=dict, record=dict),
        **sizes(folder, "trunk"),
        "trainable": "nothing in frozen modes; a copy in full",
    }


def describe_adapter(folder: Path) -> dict[str, Any]:
    """Facts about a saved adapter; its parts are what modes can train."""
    file = folder / "adapter.json"
    content = read_json(file)
    inner = taken(file, content, environment=dict, statistics=dict)
    environment = taken(file, inner["environment"], name=str, state_size=int, action_size=int, reference=dict)
    weights = sizes(folder, "adapter")
    return {
        "kind": "adapter",
        "path": str(folder),
        **taken(file, content, fingerprint=str, trunk=str, library=str, config=dict, record=dict),
        **{key: value for key, value in environment.items() if key != "name"},
        "environment": environment["name"],
        "table": taken(file, environment["reference"], table=str)["table"],
        **taken(file, inner["statistics"], return_quantiles=dict),
        "calibration": inner["statistics"].get("calibration"),
        **weights,
        "trainable": [part for part in weights["parts"] if part != "scales"],
    }


def describe_mlp(folder: Path) -> dict[str, Any]:
    """Facts about a saved MLP control."""
    content = read_json(folder / "mlp.json")
    return {
        "kind": "mlp",
        "path": str(folder),
        **taken(folder / "mlp.json", content, fingerprint=str, library=str),
        "config": taken(folder / "mlp.json", content, hidden=int),
        **sizes(folder, "mlp"),
        "trainable": "everything",
        "record": {},
    }


def describe_run(run: Path) -> dict[str, Any]:
    """Facts about a run: its trunks, and per MODE/SEED the adapter's size and the outcome."""
    trunks, cells = {}, {}
    for folder in sorted(path for path in run.glob("*/*") if path.is_dir() and path.name.isdigit()):
        name = f"{folder.parent.name}/{folder.name}"
        if (folder / "trunk" / "trunk.json").is_file():
            trunks[name] = describe_trunk(folder / "trunk")
        if (folder / "results.json").is_file():
            cells[name] = outcome(read_results(folder / "results.json"))
            if (folder / "adapter" / "adapter.json").is_file():
                cells[name]["adapter_bytes"] = describe_adapter(folder / "adapter")["bytes"]
    missing = unfinished(run)
    facts = {"kind": "run", "path": str(run), "trunks": trunks, "cells": cells, "unfinished": missing}
    facts["trained"] = trained(run)
    return {**facts, "next": next_command(run)} if missing or not cells else facts


def describe_results(folder: Path) -> dict[str, Any]:
    """Facts about a results folder: the outcome of each RUN/MODE/SEED."""
    records = read_results_folder(folder)
    cells = {"/".join(map(str, cell.line.key)): kept(cell) for record in records for cell in record.cells}
    missing = [f"{record.label}/{name}" for record in records for name in record.missing]
    return {
        **{"kind": "results", "path": str(folder), "trunks": {}, "cells": cells, "unfinished": missing, "trained": []},
        "next": f"Table and plot: {shlex.join(['transfer', 'report', str(folder)])}",
    }


def kept(cell: CellResult) -> dict[str, Any]:
    """As `outcome`, of a cell of a results folder."""
    played, line = cell.evaluations[0], cell.line
    return {
        "mode": line.mode,
        "environment": line.environment,
        "mean_score": float(np.mean(cell.reference.score(np.asarray(played.returns)))),
        "mean_return": float(np.mean(played.returns)),
        "success_rate": played.success_rate,
        "table": line.reference,
        "trained": line.parameters,
        "share": line.share,
        "trunk_unchanged": line.trunk_unchanged,
    }


def outcome(results: Results) -> dict[str, Any]:
    """The first evaluation of a cell, what it trained and what became of the trunk."""
    played = results.evaluations[0]
    return {
        "mode": results.mode,
        "environment": results.environment,
        "mean_score": played.mean_score,
        "mean_return": played.mean_return,
        "success_rate": played.success_rate,
        "table": results.reference.table,
        "trained": results.trained.numbers,
        "share": results.trained.share,
        "trunk_unchanged": results.trunk.unchanged,
    }


def taken(file: Path, content: dict[str, Any], **kinds: type) -> dict[str, Any]:
    """Some keys of a JSON file, each of its type. Raises TransferError when one is missing or of another type."""
    missing = [key for key in kinds if key not in content]
    if missing:
        raise TransferError(f"{file} has no {', '.join(missing)}: it was not written by this library, or edited")
    for key, kind in kinds.items():
        if type(content[key]) is not kind:
            raise TransferError(f"{file} was edited: {key} is {content[key]!r:.80}, not a {kind.__name__}")
    return {key: content[key] for key in kinds}


def sizes(folder: Path, name: str) -> dict[str, Any]:
    """Numbers, bytes and tensors beside NAME.json, in all and by the first word of the tensors' names.

    Only the header of the file is read.

    Raises:
        TransferError: no such file, or its size is not what its header says.
    """
    parts: dict[str, dict[str, int]] = {}
    for tensor, declared in read_header(tensors_path(folder, name)).items():
        part = parts.setdefault(tensor.partition(".")[0], {"tensors": 0, "numbers": 0, "bytes": 0})
        part["tensors"] += 1
        part["numbers"] += declared.numbers
        part["bytes"] += declared.bytes
    total = {key: sum(part[key] for part in parts.values()) for key in ("tensors", "numbers", "bytes")}
    return {**total, "parts": parts}
