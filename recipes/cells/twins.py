"""Cells that were trained and played already, in this run or in another one beside it, by their identity."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path

import torch

from transfer.errors import TransferError
from transfer.recipes.cells.identity import IDENTITY, facts_of, identity_of
from transfer.recipes.cells.run_cell import RunCell
from transfer.recipes.runs.cells import done
from transfer.recipes.runs.used import Used
from transfer.recipes.settings.config import RunConfig
from transfer.storage.files import read_json

PLACES = ("*/*/*", "*/*/*/*")
"""MODE/SEED under a folder of runs: of a run, and of a run of a matrix."""
Settings = Mapping[Path, tuple[RunConfig, Mapping[str, Used]]]
"""Config and data of each run, by its folder."""


class Twins:
    """Finds a finished cell of the same identity as one that is to be trained.

    Args:
        settings: of the runs that are worked on.
        device: where they compute.
        runs: the folder that holds runs, whose finished cells may be taken; None for none.
    """

    def __init__(self, settings: Settings, device: torch.device, runs: Path | None) -> None:
        self.settings, self.device = settings, device
        self._homes = {} if runs is None else dict(_identities(runs))
        self._known: dict[RunCell, str] = {}

    def identity(self, cell: RunCell) -> str | None:
        """The identity of a cell; None while it needs a trunk that is not there yet."""
        if cell not in self._known:
            config, used = self.settings[cell.run]
            facts = facts_of(cell, config, used, self.device)
            if facts is None:
                return None
            self._known[cell] = identity_of(facts)
        return self._known[cell]

    def take(self, cell: RunCell) -> Path | None:
        """Put the files of a finished cell of the same identity in the place of a cell that was not begun.

        Returns where they are from; None where there is none.
        """
        if cell.home.exists() and any(cell.home.iterdir()):
            return None
        home = self._homes.get(self.identity(cell) or "")
        if home is None or not done(home):
            return None
        link(home, cell.home)
        return home

    def keep(self, cell: RunCell) -> None:
        """Remember where a cell is that was trained just now."""
        if identity := self.identity(cell):
            self._homes.setdefault(identity, cell.home)


def _identities(runs: Path) -> Iterable[tuple[str, Path]]:
    """Identity and folder of each finished cell under a folder of runs; files that are damaged have none."""
    for place in PLACES:
        for file in sorted(runs.glob(f"{place}/{IDENTITY}")):
            with suppress(TransferError, OSError):
                identity = read_json(file).get("identity")
                if isinstance(identity, str):
                    yield identity, file.parent


def link(home: Path, to: Path) -> None:
    """Put the files of a folder under another name as well: weights as links to the same content, the rest as copies.

    They appear together. Weights are replaced and never changed by this library, so one cell cannot change the other.
    """
    making = to.parent / f".{to.name}.taking"
    shutil.rmtree(making, ignore_errors=True)
    shutil.copytree(home, making, copy_function=_link)
    if to.exists():
        to.rmdir()
    making.rename(to)


def _link(source: str, target: str) -> None:
    with suppress(OSError):  # another file system, or one without links
        if source.endswith(".safetensors"):
            os.link(source, target)
            return
    shutil.copy2(source, target)
