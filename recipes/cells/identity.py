"""What decides the results of a cell, as one hash: two cells of one identity have equal results."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from transfer.models.adapter import Adapter
from transfer.recipes.cells.run_cell import RunCell
from transfer.recipes.programs.modes import find_mode
from transfer.recipes.runs.cells import ADAPTERS
from transfer.recipes.runs.checks import takes_over
from transfer.recipes.runs.used import TARGET, Used, source_key
from transfer.recipes.runs.versions import versions
from transfer.recipes.settings.config import RunConfig, config_table, training
from transfer.recipes.settings.pretrained import find_trunk
from transfer.runtime.devices import find_precision, kernel_backend
from transfer.storage.files import read_json
from transfer.storage.fingerprints import fingerprint

IDENTITY = "cell.json"
"""File of a trained cell with its identity."""
ELSEWHERE = ("data", "fallback")
"""Keys of the settings of data that say where they come from; what they came to mean is in `[used]`."""


def facts_of(cell: RunCell, config: RunConfig, used: Mapping[str, Used], device: Any) -> dict[str, Any] | None:
    """What decides the results of a cell; None while it needs a trunk that is not there yet."""
    table = config_table(config)
    found: dict[str, Any] = {
        "mode": cell.mode,
        "seed": cell.seed,
        **{name: table[name] for name in ("trunk", "adapter", "method", "eval")},
        "run": {name: table["run"][name] for name in ("threads", "compile", "imports", "held_out")},
        "precision": str(find_precision(config.run.precision, device)),
        "device": device.type,
        "kernels": kernel_backend(),
        "versions": versions(),
    }
    if cell.pretrains:
        count = len(config.source)
        each = [(source_key(number, count), asdict(one)) for number, one in enumerate(config.source)]
        return {
            **found,
            "pretrain": asdict(training(config.pretrain)),
            "source": [_data(settings, used[key]) for key, settings in each],
        }
    mode = find_mode(cell.mode)
    found |= {"adapt": asdict(training(config.adapt)), "target": _data(asdict(config.target), used[TARGET])}
    if mode.total_steps:
        found["more_steps"] = config.pretrain.steps
    if not mode.needs_pretraining:
        return found
    origin = _origin(cell, config)
    if origin is None:
        return None
    found |= {"pretrained": read_json(origin / "trunk" / "trunk.json")["fingerprint"], "inherit": config.adapt.inherit}
    if takes_over(config, mode):
        found["source"] = [config.adapt.inherit_from, *_adapters(origin)]
    return found


def identity_of(facts: Mapping[str, Any]) -> str:
    """One hash of `facts_of`."""
    return hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode()).hexdigest()


def _data(settings: Mapping[str, Any], used: Used) -> dict[str, Any]:
    own = {key: value for key, value in settings.items() if key not in ELSEWHERE}
    return {**own, "used": used.to_json()}


def _origin(cell: RunCell, config: RunConfig) -> Path | None:
    """The folder of the trunk that a cell works on; None where it is not trained yet."""
    if config.pretrain.from_:
        return find_trunk(Path(config.pretrain.from_), cell.seed)
    return cell.trunk_cell().home if cell.trunk_cell().trained else None


def _adapters(origin: Path) -> list[str]:
    """The fingerprints of the source adapters of a trunk."""
    homes = sorted((origin / ADAPTERS).iterdir()) if (origin / ADAPTERS).is_dir() else [origin / "adapter"]
    return [fingerprint(Adapter.load(home)) for home in homes]
