"""One cell of a run: train, evaluate and write MODE/SEED, with a progress bar and a TensorBoard log."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

import numpy as np

from transfer.data.episodes import Episodes
from transfer.errors import TransferError
from transfer.evaluation.calibration import TARGETS, calibrate
from transfer.evaluation.evaluate import evaluate
from transfer.evaluation.outcome import Evaluation
from transfer.models.acting import PolicyModel, Trainable
from transfer.models.freezing import Selection
from transfer.models.mlp import MLPPolicy
from transfer.models.sequence_model import TransferModel
from transfer.models.steps.adapter_config import TUNING
from transfer.recipes.runs.cells import ADAPTERS, done, run_of
from transfer.recipes.runs.content import results_of, timing_of
from transfer.recipes.runs.folder import check_links, resume_command
from transfer.recipes.runs.results import Origin, Probe, Probes, Results, read_file
from transfer.recipes.settings.config import RunConfig
from transfer.recipes.settings.target_names import Ask, from_data, of_data, said
from transfer.recipes.watching.boards import Board, Logger
from transfer.recipes.watching.part_table import selection_table
from transfer.recipes.watching.progress import Progress
from transfer.runtime.distributed import rank
from transfer.storage.files import sweep, write_json
from transfer.training.callbacks import Callback
from transfer.training.fit import FitResult
from transfer.training.held_out import held_out_error
from transfer.training.train_config import TrainConfig

PARTIAL = "probes.json"
HPARAMS = ("environment", "mode", "seed")


@dataclass
class RunCell(Callback):
    """The callback of one training run on rank 0, and the evaluation after it.

    Attributes:
        folder: MODE/SEED.
        title: of bars and lines.
        train, episodes: of this training; `config` is that of the run.
        held_out: episodes that are not trained on, by the name of the policy that they are of, "" for one alone.
        say: takes lines for people.
        model, board, progress, probes, resumed_at: set by `start`, the last to the step where the training goes on.
    """

    folder: Path
    title: str
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
    _bar: ExitStack = field(default_factory=ExitStack, init=False)

    def __enter__(self) -> Self:
        """Nothing is opened or written before `start`."""
        return self

    def __exit__(self, *error: Any) -> None:
        """Close the bar and the log, after an error too."""
        self._open.__exit__(*error)

    def start(self, model: Trainable, selection: Selection, done: int) -> None:
        """Show what trains, then open the bar and the log at the step where the training goes on."""
        whole = done == self.train.steps
        self.say(f"{self.title}: trained before, goes on" if whole else selection_table(self.title, selection))
        self.model, self.resumed_at = model, done
        check_links(self.run)
        self.probes = read_probes(self.folder / PARTIAL, done)
        self._open_board(done)
        if not done:
            self.board.scalars(0, {"train/trainable": selection.parameters})
        self._open.push(self._bar)
        self.progress = self._bar.enter_context(Progress(self.train.steps, self.title, "steps", start=done))

    @property
    def run(self) -> Path:
        """The run's folder."""
        return run_of(self.folder) or self.folder.parents[1]

    def _open_board(self, done: int) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        if not done:  # the log of a run that was stopped before its first checkpoint
            for events in self.folder.glob("events.out.tfevents.*"):
                events.unlink()
        self.board = Board(self.folder, done + 1 if done else 0)
        self._open.callback(self.board.close)

    def of_source(self, name: str, episodes: Episodes) -> RunCell:
        """One of several sources after their common training: its folder and log, to play its policy with."""
        held = {"": self.held_out[name]} if name in self.held_out else {}
        title, folder = self.title.replace("pretrain", f"pretrain {name}", 1), self.folder / ADAPTERS / name
        cell = replace(self, folder=folder, title=title, episodes=episodes, held_out=held)
        cell.probes, cell.resumed_at = [], self.resumed_at
        self._bar.close()
        cell._open_board(0)
        self._open.push(cell._open)
        return cell

    def log(self, done: int, values: dict[str, float]) -> None:
        """Pass values on to the log and the bar, with the held-out error at each save."""
        if done % self.train.save_every == 0 or done == self.train.steps:
            values |= self.errors(self.model)
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
        with self.kept("the last state that was saved"):
            result = self.play(self.model, self.config.eval.ask[0], self.config.eval.probe_episodes)
        self._log_evaluation(done, result)
        score = float(result.scores.mean())
        self.probes.append(Probe(step=done, mean_score=score, episodes=len(result.returns)))
        probes = Probes(probes=tuple(self.probes))
        write_json(self.folder / PARTIAL, probes.to_json())  # last: a probe in the file is not logged again

    def errors(self, model: Trainable) -> dict[str, float]:
        """The held-out errors of the policies in a model, by TensorBoard tag; none where nothing is held out.

        That of several together is their mean, each weighted as in the objective.
        """
        members, weighs = model.members(), model.weighs()
        found = {name: held_out_error(members[name], episodes) for name, episodes in self.held_out.items()}
        errors = {f"valid/loss/{name}".rstrip("/"): error for name, error in found.items()}
        if found and "" not in found:
            together = sum(weighs[name] * error for name, error in found.items())
            errors = {"valid/loss": together / sum(weighs[name] for name in found), **errors}
        return errors

    def play(
        self, model: PolicyModel, ask: Ask, episodes: int, on_episode: Callable[[int], None] | None = None
    ) -> Evaluation:
        """Evaluate with the settings of the run."""
        settings = self.config.eval
        return evaluate(
            model,
            num_episodes=episodes,
            ask=of_data(ask, self.episodes, model.statistics),
            num_envs=settings.envs,
            decode=settings.decode,
            on_episode=on_episode,
        )

    @contextmanager
    def kept(self, what: str = "what was trained") -> Iterator[None]:
        """Add to an error of the episodes inside what is kept of the training, and the command that goes on."""
        try:
            yield
        except TransferError as error:
            raise TransferError(
                f"{error}\n{self.title}: {what} is kept in {self.folder}. Go on with {resume_command(self.run)}"
            ) from error

    def trained(self, model: PolicyModel, save: Callable[[], object]) -> None:
        """Save the trained weights before anything is played, then again with the calibration."""
        self._bar.close()
        save()
        if self.config.eval.calibrate and "return" in model.asked({}):
            with self.kept():
                self.calibrate(model)
            save()

    def calibrate(self, model: PolicyModel) -> None:
        """Measure target and achieved returns; see `transfer.evaluation.calibration.calibrate`."""
        settings = self.config.eval
        targets = [from_data(name, self.episodes, model.statistics) for name in TARGETS]
        with Progress(settings.calibrate * len(TARGETS), f"{self.title}, calibration", "episodes") as progress:
            result = calibrate(
                model,
                targets,
                settings.calibrate,
                num_envs=settings.envs,
                decode=settings.decode,
                on_episode=progress.update,
            )
        self.say(f"{self.title}, target -> achieved return: {result}")
        for row, pair in enumerate(zip(result.asked, result.achieved, strict=True)):
            asked, achieved = map(float, self.episodes.env_spec.reference.score(np.array(pair)))
            home = f"eval/{self.episodes.env_spec.name}"
            self.board.scalars(row, {f"{home}/calibration_target": asked, f"{home}/calibration_score": achieved})

    def play_all(self, model: PolicyModel) -> list[Evaluation]:
        """The evaluations of results.json: one for each entry of `eval.ask`, with a bar and a line each."""
        played, episodes = [], self.config.eval.episodes
        for ask in self.config.eval.ask:
            with Progress(episodes, f"{self.title}, {said(ask) or 'default target'}", "episodes") as progress:
                played.append(self.play(model, ask, episodes, progress.update))
            self.say(f"{self.title}: {played[-1]}")
        return played

    def finish(self, model: PolicyModel, fit: FitResult, origin: Origin) -> None:
        """Evaluate, write results.json and timing.json, and remove the files of the unfinished run."""
        began = time.perf_counter()
        error = self.errors(model).get("valid/loss")
        if error is not None:
            self.say(f"{self.title}: held-out error {error:.4g}")
        with self.kept():
            played = self.play_all(model)
        seconds = time.perf_counter() - began
        for result in reversed(played):  # the first entry is the one of hparams, and is logged last
            self._log_evaluation(self.train.steps, result)
        results = results_of(self, model, fit, origin, played, error)
        few = self.episodes.actions[:: max(1, self.episodes.num_steps // 20_000)]
        for name, actions in (("dataset", few), ("policy", played[0].actions)):
            for dimension, values in enumerate(np.asarray(actions).T):
                self.board.histogram(f"values/{name}_actions/{dimension}", self.train.steps, values)
        self.board.hparams(self._hparams(model, results), float(played[0].scores.mean()))
        write_json(self.folder / "timing.json", timing_of(self, fit, seconds, model.device).to_json())
        write_json(self.folder / "results.json", results.to_json())
        clean(self.folder)

    def _hparams(self, model: PolicyModel, results: Results) -> dict[str, str | int | float | bool]:
        """What differs between the cells of runs."""
        found: dict[str, str | int | float | bool] = {name: getattr(results, name) for name in HPARAMS}
        if isinstance(model, MLPPolicy):
            return {**found, "method": model.method_spec.kind, "tuning": "none"}
        assert isinstance(model, TransferModel)
        adapter = model.adapter
        tuning = adapter.config.of(TUNING).kind if TUNING in adapter.parts() else "none"
        return {**found, "method": adapter.method.kind, "tuning": tuning}

    def _log_evaluation(self, step: int, result: Evaluation) -> None:
        home = f"eval/{result.env_spec.name}"
        means = {"score": result.scores, "return": result.returns, "length": result.lengths}
        values = {f"{home}/{name}": float(one.mean()) for name, one in means.items()}
        if result.success_rate is not None:
            values[f"{home}/success"] = result.success_rate
        self.board.scalars(step, values)
        self.board.flush()


def read_probes(file: Path, done: int) -> list[Probe]:
    """The probes of a training that was stopped, up to the step from which it goes on."""
    if not file.exists():
        return []
    found = read_file(Probes, file, f"Remove {file.parent} to start this training again.")
    return [probe for probe in found.probes if probe.step <= done]


def finished(home: Path) -> bool:
    """Whether MODE/SEED has its results; removes the rest of a run that was killed right after writing them."""
    whole = done(home)
    if whole and rank() == 0:
        clean(home)
    return whole


def clean(home: Path) -> None:
    """Remove the files of an unfinished MODE/SEED, and those of an interrupted write."""
    (home / PARTIAL).unlink(missing_ok=True)
    shutil.rmtree(home / "checkpoint", ignore_errors=True)
    sweep(home)
