"""The trunk of another run that a run starts from (`pretrain.from`)."""

from __future__ import annotations

from pathlib import Path

from transfer.errors import TransferError
from transfer.models.trunk import Trunk, TrunkConfig
from transfer.registry import PartSpec
from transfer.storage.files import as_path

OTHERS = {
    "adapter.json": "an adapter",
    "mlp.json": "an MLP",
    "trunk.json": "a trunk without its adapter",
    "cells.csv": "results without weights",
}


def find_trunk(path: Path, seed: int) -> Path:
    """The folder with `trunk/` and `adapter/` in a run folder or a trunk/SEED folder.

    Raises:
        TransferError: there is none.
    """
    for home in (path / "trunk" / str(seed), path):
        if (home / "trunk" / "trunk.json").is_file():
            return home
    there = sorted(folder.parent.parent.name for folder in path.glob("trunk/*/trunk/trunk.json"))
    other = [what for name, what in OTHERS.items() if (path / name).is_file()]
    holds = f"that folder holds {' and '.join(other)}; " if other else ""
    have = f"it has {', '.join(there)}" if there else f"{holds}it takes a run folder or its trunk/SEED"
    raise TransferError(f"pretrain.from: no finished trunk of seed {seed} in {path}; {have}.")


def sizes_of(origin: str, seed: int) -> tuple[TrunkConfig, PartSpec]:
    """Sizes and method of the trunk that `pretrain.from` names.

    Raises:
        TransferError: there is none, or a damaged one.
    """
    trunk = Trunk.load(find_trunk(as_path(origin, "pretrain.from"), seed) / "trunk")
    return trunk.config, trunk.method
