"""The cells of a run: one training each, in an ordinary folder that is finished, unfinished or missing."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from transfer.recipes.programs.modes import Mode, find_modes
from transfer.recipes.runs.cells import PRETRAIN, done, mode_folder
from transfer.recipes.runs.results import PARTIAL, TRAINING
from transfer.recipes.settings.config import RunConfig
from transfer.storage.files import sweep


@dataclass(frozen=True)
class RunCell:
    """One training of a run.

    Attributes:
        run: the run's folder.
        mode: of the adaptation; "pretrain" for the trunk.
        seed: of the training.
        needs_trunk: whether it works on the trunk that the run pretrains with this seed.
        of: the name of the run in a matrix; "" for a run alone.
    """

    run: Path
    mode: str
    seed: int
    needs_trunk: bool = False
    of: str = ""

    @property
    def home(self) -> Path:
        """MODE/SEED in the run's folder."""
        return self.run / ("trunk" if self.pretrains else mode_folder(self.mode)) / str(self.seed)

    @property
    def pretrains(self) -> bool:
        """Whether the cell is a pretraining."""
        return self.mode == PRETRAIN

    @property
    def title(self) -> str:
        """Of bars and lines."""
        return self.titled(self.mode)

    def titled(self, mode: str) -> str:
        """The title with something else in the place of the mode."""
        return f"{f'{self.of}: ' if self.of else ''}{mode} seed {self.seed}"

    @property
    def trained(self) -> bool:
        """Whether its training is over; its episodes may not have been played."""
        return (self.home / TRAINING).is_file() or self.finished

    @property
    def finished(self) -> bool:
        """Whether it has its results."""
        return done(self.home)

    def trunk_cell(self) -> RunCell:
        """The pretraining of its seed in this run."""
        return RunCell(self.run, PRETRAIN, self.seed, of=self.of)


def cells_of(config: RunConfig, folder: Path, of: str = "") -> list[RunCell]:
    """The cells of a run, seed by seed: the pretraining where a mode needs one that is not taken from elsewhere.

    `of` is the name of the run in a matrix.
    """
    modes: Sequence[Mode] = find_modes(config.adapt.modes)
    own = not config.pretrain.from_
    found: list[RunCell] = []
    for seed in config.run.seeds:
        if own and any(mode.needs_pretraining for mode in modes):
            found.append(RunCell(folder, PRETRAIN, seed, of=of))
        found += [RunCell(folder, mode.name, seed, own and mode.needs_pretraining, of) for mode in modes]
    return found


def clean(home: Path) -> None:
    """Remove the files of an unfinished MODE/SEED, and those of an interrupted write."""
    (home / PARTIAL).unlink(missing_ok=True)
    (home / TRAINING).unlink(missing_ok=True)
    shutil.rmtree(home / "checkpoint", ignore_errors=True)
    sweep(home)
