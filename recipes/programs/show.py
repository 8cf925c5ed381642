"""Summaries: of settings, of trunks and adapters by their JSON and the headers of their tensor files, of runs."""

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from transfer.data.environment.spec import ReferenceScores
from transfer.data.measured.calibration_table import Calibration
from transfer.errors import TransferError, UnknownKind
from transfer.models.trunk import DEFAULT_METHOD
from transfer.recipes.matrix.points import counts, load_matrix, matrix_settings
from transfer.recipes.reports.tables.result_lines import CellLine, cell_line
from transfer.recipes.reports.tables.results_folder import read_results_folder
from transfer.recipes.runs.cells import (
    ADAPTERS,
    is_results_folder,
    next_command,
    parts_of,
    policy_file,
    run_of,
    trained,
    unfinished,
    whole_parts,
)
from transfer.recipes.runs.results import Timing, read_results
from transfer.recipes.settings.config import base_table, config_table, load_config
from transfer.recipes.settings.layers import layers_of
from transfer.recipes.settings.own_modules import modules_of, naming
from transfer.recipes.settings.presets import BASE, presets
from transfer.recipes.settings.schema import read, refuse
from transfer.recipes.settings.typed import flatten
from transfer.registry import PartSpec
from transfer.storage.files import read_json
from transfer.storage.pairs import tensors_path
from transfer.storage.tensors import read_header

Object = Mapping[str, Any]


def is_settings(path: Path) -> bool:
    """Whether a path is the name of a preset, or a TOML file."""
    return str(path) in (BASE, *presets()) or path.suffix == ".toml"


def settings(name_or_path: str, sets: Sequence[str] = (), quick: bool = False) -> dict[str, Any]:
    """The resolved settings of a preset or file, and those of `BASE` that differ, by `section.key`.

    Those with a `[matrix]` have the labels of its runs, and how many trunks and adaptations these mean, too.

    Raises:
        TransferError: as `load_config`, or `transfer.recipes.matrix.points.load_matrix`.
    """
    layers = [layer.place for layer in layers_of(name_or_path)]
    base = base_table()
    try:
        matrix = load_matrix(name_or_path, sets, quick)
        if matrix is not None:
            table = matrix_settings(matrix)
        else:
            table = base if name_or_path == BASE else config_table(load_config(name_or_path, sets, quick))
    except TransferError as error:
        modules = modules_of(name_or_path, sets, quick) if _lacks_a_kind(error) else []
        if not modules:
            raise
        raise TransferError(
            f"{error} {name_or_path} names modules that may register it, and show imports none by itself: "
            f"{naming(modules, 'show', name_or_path)}"
        ) from error
    plain = flatten(base)
    own = {key: plain.get(key) for key, value in flatten(table).items() if plain.get(key) != value}
    facts = {"kind": "settings", "path": name_or_path, "extends": layers[-2::-1], "settings": table, "base": own}
    if matrix is None:
        return facts
    return {**facts, "runs": [one.label for one in matrix.points], "counts": counts(matrix)._asdict()}


def _lacks_a_kind(error: BaseException | None) -> bool:
    """Whether an error comes of a kind that is not known."""
    return error is not None and (isinstance(error, UnknownKind) or _lacks_a_kind(error.__cause__ or error.__context__))


def summary(path: Path) -> dict[str, Any]:
    """Facts about a trunk, an adapter, an MLP, one MODE/SEED of a run, a run or a results folder, as values for JSON.

    Raises:
        TransferError: no such folder, a folder that is none of these, or a damaged file.
    """
    if not path.is_dir():
        raise TransferError(f"no folder {path}. What is at hand: transfer ls")
    if is_results_folder(path):
        return _results_folder(path)
    return _run(path) if (path / "config.toml").is_file() else _cell(path)


def _cell(path: Path) -> dict[str, Any]:
    """MODE/SEED, or the one trunk, adapter or MLP that a folder holds."""
    kinds = {"trunk": _trunk, "adapter": _adapter, "mlp": _mlp}
    if (path / ADAPTERS).is_dir():
        return _sources(path)
    found: dict[str, Any] = {}
    for name, make in kinds.items():
        homes = [home for home in (path, path / name) if (home / f"{name}.json").is_file()]
        found |= {name: make(homes[0])} if homes else {}
    if (path / "results.json").is_file():
        found["results"] = _outcome_of(path / "results.json")
    elif policy_file(path) is not None and run_of(path) is not None:
        found["next"] = f"Trained, and stopped before its evaluation. {next_command(path)}"
    if not found:
        raise TransferError(f"{path} holds no trunk.json, adapter.json, mlp.json or config.toml. {next_command(path)}")
    alone = len(found) == 1 and "results" not in found
    return next(iter(found.values())) if alone else {"kind": "cell", "path": str(path), **found}


def _sources(path: Path) -> dict[str, Any]:
    """trunk/SEED of several sources: the trunk, and each source's adapter with its results."""
    trunk = {"trunk": _trunk(path / "trunk")} if (path / "trunk" / "trunk.json").is_file() else {}
    parts = {part.name: _cell(part) for part in whole_parts(path)}
    return {"kind": "sources", "path": str(path), **trunk, "sources": parts}


def _trunk(folder: Path) -> dict[str, Any]:
    trainable = {"trainable": "nothing in frozen modes; a copy in full"}
    return _saved(folder, "trunk", fingerprint=str, library=str, config=Object, record=Object) | trainable


def _adapter(folder: Path) -> dict[str, Any]:
    file = folder / "adapter.json"
    inner = _taken(file, read_json(file), environment=Object, statistics=Object)
    environment = _taken(file, inner["environment"], name=str, state_size=int, action_size=int, reference=Object)
    facts = _saved(folder, "adapter", fingerprint=str, trunk=str, library=str, config=Object, record=Object)
    return {
        **facts,
        "environment": environment["name"],
        **{key: environment[key] for key in ("state_size", "action_size", "reference")},
        "table": _taken(file, environment["reference"], table=str)["table"],
        **_taken(file, inner["statistics"], return_quantiles=Object),
        "calibration": _calibration(file, inner["statistics"].get("calibration")),
        "trainable": [part for part in facts["parts"] if part != "scales"],
    }


def _calibration(file: Path, content: Any) -> Any:
    """The calibration in a JSON file, None for none. Raises TransferError, which names the file, for an unsound one."""
    try:
        return content if content is None else Calibration.from_json(content).to_json()
    except TransferError as error:
        raise TransferError(f"{file} was edited: {error}") from error


def _mlp(folder: Path) -> dict[str, Any]:
    file = folder / "mlp.json"
    facts = _saved(folder, "mlp", fingerprint=str, library=str, hidden=int)
    told = {"method": DEFAULT_METHOD.to_json(), **read_json(file)}  # older files, and those of the default, do not say
    method = PartSpec.of(_taken(file, told, method=Object)["method"], f"{file} was edited: method").kind
    config = {"hidden": facts.pop("hidden"), "method": method}
    return facts | {"config": config, "trainable": "everything", "record": {}}


def _saved(folder: Path, name: str, **keys: Any) -> dict[str, Any]:
    """Some keys of NAME.json, and the parameters, bytes and tensors beside it, in all and by part.

    Only the header of the tensor file is read.

    Raises:
        TransferError: a damaged file, or a tensor file whose size is not what its header says.
    """
    facts = _taken(folder / f"{name}.json", read_json(folder / f"{name}.json"), **keys)
    parts: dict[str, dict[str, int]] = {}
    for tensor, declared in read_header(tensors_path(folder, name)).items():
        part = parts.setdefault(tensor.partition(".")[0], {"tensors": 0, "numbers": 0, "bytes": 0})
        part["tensors"] += 1
        part["numbers"] += declared.elements
        part["bytes"] += declared.bytes
    total = {key: sum(part[key] for part in parts.values()) for key in ("tensors", "numbers", "bytes")}
    return {"kind": name, "path": str(folder), **facts, **total, "parts": parts}


def _taken(file: Path, content: dict[str, Any], **keys: Any) -> dict[str, Any]:
    """Some keys of a JSON file. Raises TransferError when one is missing or does not fit its annotation."""
    wrong = [f"no {key}" for key in keys if key not in content]
    found = {key: read(content[key], wanted, key, wrong) for key, wanted in keys.items() if key in content}
    refuse(str(file), wrong)
    return found


def _run(run: Path) -> dict[str, Any]:
    """A run: its trunks, and per MODE/SEED the adapter's size and the outcome."""
    trunks, cells = {}, {}
    for folder in sorted(path for path in run.glob("*/*") if path.is_dir() and path.name.isdigit()):
        name = f"{folder.parent.name}/{folder.name}"
        if (folder / "trunk" / "trunk.json").is_file():
            trunks[name] = _trunk(folder / "trunk")
        for part in (part for part in parts_of(folder) if (part / "results.json").is_file()):
            cell = part.relative_to(run).as_posix()
            cells[cell] = _outcome_of(part / "results.json")
            if (adapter := policy_file(part)) is not None and adapter.name == "adapter.json":
                cells[cell]["adapter_bytes"] = _adapter(adapter.parent)["bytes"]
    missing = unfinished(run)
    facts = {"kind": "run", "path": str(run), "trunks": trunks, "cells": cells, "unfinished": missing}
    facts["trained"] = trained(run)
    return {**facts, "next": next_command(run)} if missing or not cells else facts


def _results_folder(folder: Path) -> dict[str, Any]:
    """A results folder: the outcome of each RUN/MODE/SEED."""
    records, cells = read_results_folder(folder), {}
    for cell in (cell for record in records for cell in record.cells):
        played = cell.evaluations[0]
        cells["/".join(map(str, cell.line.key))] = _outcome(cell.line, played.returns, played.success_rate)
    missing = [f"{record.label}/{name}" for record in records for name in record.missing]
    return {
        **{"kind": "results", "path": str(folder), "trunks": {}, "cells": cells, "unfinished": missing, "trained": []},
        "next": f"Table and plot: {shlex.join(['transfer', 'report', str(folder)])}",
    }


def _outcome_of(file: Path) -> dict[str, Any]:
    """The outcome in a results.json."""
    results = read_results(file)
    played = results.evaluations[0]
    return _outcome(cell_line("", results, Timing()), played.returns, played.success_rate)


def _outcome(line: CellLine, returns: Sequence[float], success_rate: float | None) -> dict[str, Any]:
    """The first evaluation of a cell, what it trained, and whether the trunk changed."""
    reference = ReferenceScores(line.reference, line.minimum, line.maximum)
    return {
        "mode": line.mode,
        "environment": line.environment,
        "mean_score": float(np.mean(reference.score(np.asarray(returns, np.float64)))),
        "mean_return": float(np.mean(returns)),
        "success_rate": success_rate,
        "table": line.reference,
        "trained": line.parameters,
        "share": line.share,
        "trunk_unchanged": line.trunk_unchanged,
        "tuning": line.tuning,
        "source": {"name": line.source, "fingerprint": line.source_fingerprint} if line.source else None,
    }
