"""The callback of one training: its bar, its TensorBoard log, its held-out error and the probes in between."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from transfer.data.episodes import Episodes
from transfer.models.acting import PolicyModel, Trainable
from transfer.models.freezing import Selection
from transfer.recipes.cells.playing import kept, log_evaluation, play
from transfer.recipes.cells.run_cell import RunCell
from transfer.recipes.runs.folder import check_links
from transfer.recipes.runs.results import PARTIAL, Probe, Probes, read_file
from transfer.recipes.settings.config import RunConfig
from transfer.recipes.watching.boards import Board, Logger
from transfer.recipes.watching.part_table import selection_table
from transfer.recipes.watching.progress import Progress
from transfer.storage.files import write_json
from transfer.training.callbacks import Callback
from transfer.training.held_out import held_out_error
from transfer.training.train_config import TrainConfig


@dataclass
class Recorder(Callback):
    """Watches one training on rank 0.

    Attributes:
        cell: what trains.
        train, episodes: of this training; `config` is that of the run.
        held_out: episodes that are not trained on, by the name of the policy that they are of, "" for one alone.
        say: takes lines for people.
        model, board, progress, probes, resumed_at: set by `start`, the last to the step where the training goes on.
    """

    cell: RunCell
    config: RunConfig
    train: TrainConfig
    episodes: Episodes
    say: Callable[[str], None]
    held_out: Mapping[str, Episodes] = field(default_factory=dict)
    model: Any = field(init=False)
    board: Logger = field(init=False)
    progress: Progress = field(init=False)
    probes: list[Probe] = field(init=False)
    resumed_at: int = field(init=False)
    _open: ExitStack = field(default_factory=ExitStack, init=False)

    def __enter__(self) -> Self:
        """Nothing is opened or written before `start`."""
        return self

    def __exit__(self, *error: Any) -> None:
        """Close the bar and the log, after an error too."""
        self._open.__exit__(*error)

    @property
    def folder(self) -> Path:
        """MODE/SEED."""
        return self.cell.home

    def start(self, model: Trainable, selection: Selection, done: int) -> None:
        """Show what trains, then open the bar and the log at the step where the training goes on."""
        whole, title = done == self.train.steps, self.cell.title
        self.say(f"{title}: trained before, goes on" if whole else selection_table(title, selection))
        self.model, self.resumed_at = model, done
        check_links(self.cell.run)
        self.probes = read_probes(self.folder / PARTIAL, done)
        self.folder.mkdir(parents=True, exist_ok=True)
        if not done:  # the log of a run that was stopped before its first checkpoint
            for events in self.folder.glob("events.out.tfevents.*"):
                events.unlink()
        self.board = Board(self.folder, done + 1 if done else 0)
        self._open.callback(self.board.close)
        if not done:
            self.board.scalars(0, {"train/trainable": selection.parameters})
        self.progress = self._open.enter_context(Progress(self.train.steps, title, "steps", start=done))

    def log(self, done: int, values: dict[str, float]) -> None:
        """Pass values on to the log and the bar, with the held-out error at each save."""
        if done % self.train.save_every == 0 or done == self.train.steps:
            values |= errors(self.model, self.held_out)
        self.board.scalars(done, values)
        self.board.flush()  # a checkpoint of this step is saved next, and a resumed run logs only later steps
        self.progress.update(
            done, loss=f"{values['train/loss']:.4f}", tokens_per_s=f"{values['train/tokens_per_second']:.0f}"
        )

    def step(self, done: int) -> None:
        """Play a few episodes every `eval.probe_every` steps."""
        every = self.config.eval.probe_every
        if not every or done % every or done == self.train.steps or any(p.step == done for p in self.probes):
            return
        if not isinstance(self.model, PolicyModel):  # several on one trunk
            return
        settings = self.config.eval
        with kept(self.cell, "the last state that was saved"):
            result = play(self.model, self.episodes, settings, settings.ask[0], settings.probe_episodes)
        log_evaluation(self.board, done, result)
        score = float(result.scores.mean())
        self.probes.append(Probe(step=done, mean_score=score, episodes=len(result.returns)))
        probes = Probes(probes=tuple(self.probes))
        write_json(self.folder / PARTIAL, probes.to_json())  # last: a probe in the file is not logged again


def errors(model: Trainable, held_out: Mapping[str, Episodes]) -> dict[str, float]:
    """The held-out errors of the policies in a model, by TensorBoard tag; none where nothing is held out.

    That of several together is their mean, each weighted as in the objective.
    """
    members, weighs = model.members(), model.weighs()
    found = {name: held_out_error(members[name], episodes) for name, episodes in held_out.items()}
    tagged = {f"valid/loss/{name}".rstrip("/"): error for name, error in found.items()}
    if found and "" not in found:
        together = sum(weighs[name] * error for name, error in found.items())
        tagged = {"valid/loss": together / sum(weighs[name] for name in found), **tagged}
    return tagged


def read_probes(file: Path, done: int) -> list[Probe]:
    """The probes of a training that was stopped, up to the step from which it goes on."""
    if not file.exists():
        return []
    found = read_file(Probes, file, f"Remove {file.parent} to start this training again.")
    return [probe for probe in found.probes if probe.step <= done]
