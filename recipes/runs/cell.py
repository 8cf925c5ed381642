"""One cell of a run: train, evaluate and write MODE/SEED, with a progress bar and a TensorBoard log."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import numpy as np

from transfer.data.episodes import Episodes
from transfer.errors import TransferError
from transfer.evaluation.calibration import TARGETS, calibrate
from transfer.evaluation.evaluate import evaluate
from transfer.evaluation.outcome import Evaluation
from transfer.models.acting import PolicyModel
from transfer.models.freezing import Selection
from transfer.recipes.cli.text import selection_table
from transfer.recipes.runs.facts import Origin, outcome, timing
from transfer.recipes.runs.folder import check_links, resume_command
from transfer.recipes.runs.results import Probe, Probes, Results
from transfer.recipes.settings.config import RunConfig
from transfer.recipes.settings.target_names import from_data
from transfer.recipes.watching.boards import Board
from transfer.recipes.watching.progress import Progress
from transfer.runtime.distributed import rank
from transfer.storage.files import read_json, sweep, write_json
from transfer.training.fit import FitResult
from transfer.training.train_config import TrainConfig

PARTIAL = "probes.json"


@dataclass
class RunCell:
    """What the callbacks of one training run share.

    Attributes:
        folder: MODE/SEED.
        title: for the progress bar.
        config: of the run.
        train: of this training.
        episodes: its data.
        say: takes lines for people.
    """

    folder: Path
    title: str
    config: RunConfig
    train: TrainConfig
    episodes: Episodes
    say: Callable[[str], None]

    def __enter__(self) -> RunCell:
        """Open the log; nothing is written before the first step."""
        self.board: Board | None = None
        self.progress: Progress | None = None
        self.probes: list[Probe] = []
        self.resumed_at = 0
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the bar and the log, after an error too."""
        self._end_training(kind, error, trace)
        if self.board is not None:
            self.board.close()

    def on_start(self, selection: Selection, done: int) -> None:
        """Show what trains, then open the bar and the log where the training stands."""
        whole = done == self.train.steps
        self.say(f"{self.title}: trained before, goes on" if whole else selection_table(self.title, selection))
        self.resumed_at = done
        check_links(self.folder.parents[1])
        self.folder.mkdir(parents=True, exist_ok=True)
        self.probes = read_probes(self.folder / PARTIAL, done)
        if not done:  # what a run logged that was stopped before its first state
            for events in self.folder.glob("events.out.tfevents.*"):
                events.unlink()
        self.board = Board(self.folder, done + 1 if done else 0)
        if not done:
            few = self.episodes.actions[:: max(1, self.episodes.num_steps // 20_000)]
            self.board.scalars(0, {"params/trainable": selection.parameters})
            self.board.actions("actions/dataset", 0, few)
        self.progress = Progress(self.train.steps, self.title, "steps", start=done).__enter__()

    def on_log(self, step: int, values: dict[str, float]) -> None:
        """Pass values on to the log and the bar."""
        assert self.board is not None and self.progress is not None  # on_start opened both
        self.board.scalars(step, values)
        self.board.flush()  # the state of this step may be saved next, and what it follows is not logged again
        self.progress.update(
            step, loss=f"{values['train/loss']:.4f}", tokens_per_s=f"{values['train/tokens_per_second']:.0f}"
        )

    def on_step(self, step: int, model: PolicyModel) -> None:
        """Play a few episodes now and then, where the config asks for it."""
        every = self.config.eval.probe_every
        if not every or step % every or step == self.train.steps or any(p.step == step for p in self.probes):
            return
        with self.kept("the last state that was saved"):
            result = self.play(model, self.config.eval.targets[0], self.config.eval.probe_episodes)
        self._log_evaluation(step, result)
        score = float(result.scores.mean())
        self.probes.append(Probe(step=step, mean_score=score, episodes=len(result.returns)))
        write_json(
            self.folder / PARTIAL, Probes(probes=tuple(self.probes)).to_json()
        )  # last: what is in there is not logged again

    def play(
        self, model: PolicyModel, target: str, episodes: int, on_episode: Callable[[int], None] | None = None
    ) -> Evaluation:
        """Evaluate as the config says."""
        settings = self.config.eval
        return evaluate(
            model,
            num_episodes=episodes,
            target_return=from_data(target, self.episodes, model.statistics),
            num_envs=settings.envs,
            decode=settings.decode,
            on_episode=on_episode,
        )

    @contextmanager
    def kept(self, what: str = "what was trained") -> Iterator[None]:
        """Inside, where episodes are played, an error also says what is kept of the training, and how to go on."""
        try:
            yield
        except TransferError as error:
            raise TransferError(
                f"{error}\n{self.title}: {what} is kept in {self.folder}. Go on with "
                f"{resume_command(self.folder.parents[1])}"
            ) from error

    def trained(self, model: PolicyModel, save: Callable[[], object]) -> None:
        """Save what was trained before anything is played, then again with its calibration where there is one."""
        self._end_training()
        save()
        if self.config.eval.calibrate:
            with self.kept():
                self.calibrate(model)
            save()

    def calibrate(self, model: PolicyModel) -> None:
        """Measure asked against achieved returns; see `transfer.evaluation.calibration.calibrate`."""
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
        self.say(f"{self.title}, asked -> achieved: {result}")
        assert self.board is not None  # on_start opened it
        for row, pair in enumerate(zip(result.asked, result.achieved, strict=True)):
            asked, achieved = map(float, self.episodes.env_spec.reference.score(np.array(pair)))
            self.board.scalars(row, {"calibration/asked": asked, "calibration/score": achieved})

    def play_all(self, model: PolicyModel) -> list[Evaluation]:
        """The evaluation that counts: every target, with a bar and a line each."""
        played, episodes = [], self.config.eval.episodes
        for target in self.config.eval.targets:
            with Progress(episodes, f"{self.title}, target {target}", "episodes") as progress:
                played.append(self.play(model, target, episodes, progress.update))
            self.say(f"{self.title}: {played[-1]}")
        return played

    def finish(self, model: PolicyModel, fit: FitResult, origin: Origin) -> None:
        """Evaluate, write results.json and timing.json, and drop the state of the unfinished run."""
        began = time.perf_counter()
        with self.kept():
            played = self.play_all(model)
        seconds = time.perf_counter() - began
        for result in reversed(played):  # the first target is the one that counts, and is logged last
            self._log_evaluation(self.train.steps, result)
        calibration = model.statistics.calibration
        results = outcome(origin, self.config, self.train, self.episodes, fit, played, self.probes, calibration)
        self._log_settings(results, float(played[0].scores.mean()))
        took = timing(self.config, fit, self.resumed_at, seconds, model.device)
        write_json(self.folder / "timing.json", took.to_json())
        write_json(self.folder / "results.json", results.to_json())
        clean(self.folder)

    def _end_training(
        self,
        kind: type[BaseException] | None = None,
        error: BaseException | None = None,
        trace: TracebackType | None = None,
    ) -> None:
        """Close the bar of the training, once."""
        if self.progress is not None:
            self.progress.__exit__(kind, error, trace)
        self.progress = None

    def _log_evaluation(self, step: int, result: Evaluation) -> None:
        assert self.board is not None  # on_start opened it
        self.board.evaluation(step, result)
        self.board.actions("actions/policy", step, result.actions)
        self.board.flush()

    def _log_settings(self, results: Results, score: float) -> None:
        assert self.board is not None  # on_start opened it
        keys = ("mode", "seed", "environment", "steps", "batch_size", "lr")
        settings = {key: getattr(results, key) for key in keys}
        settings |= {f"adapter/{key}": value for key, value in results.adapter.items()}
        self.board.hparams(settings, score)


def read_probes(file: Path, done: int) -> list[Probe]:
    """The probes of a training that was stopped, up to the step from which it goes on."""
    if not file.exists():
        return []
    try:
        probes = Probes.from_json(read_json(file), str(file)).probes
    except TransferError as error:
        raise TransferError(f"{error} Remove {file.parent} to start this training again.") from error
    return [probe for probe in probes if probe.step <= done]


def finished(home: Path) -> bool:
    """Whether MODE/SEED has its results; what a kill right after writing them left over is removed then."""
    done = (home / "results.json").is_file()
    if done and rank() == 0:
        clean(home)
    return done


def clean(home: Path) -> None:
    """Remove what only an unfinished MODE/SEED needs, and what an interrupted write left behind."""
    (home / PARTIAL).unlink(missing_ok=True)
    shutil.rmtree(home / "checkpoint", ignore_errors=True)
    sweep(home)
