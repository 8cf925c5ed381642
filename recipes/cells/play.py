"""Play the episodes of a cell that was trained, and write its results."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from torch import Tensor

from transfer.adapters.actions.vocabulary import Vocabulary
from transfer.evaluation.calibration import TARGETS, calibrate
from transfer.evaluation.outcome import Evaluation
from transfer.models.acting import PolicyModel
from transfer.models.adapter import Adapter
from transfer.models.mlp import MLPPolicy
from transfer.models.sequence_model import TransferModel
from transfer.models.steps.adapter_config import TUNING
from transfer.models.trunk import Trunk
from transfer.recipes.cells.job import Job
from transfer.recipes.cells.playing import kept, log_evaluation, play
from transfer.recipes.cells.recorder import errors
from transfer.recipes.cells.run_cell import RunCell, clean
from transfer.recipes.programs.modes import find_mode
from transfer.recipes.runs.cells import ADAPTERS, PRETRAIN
from transfer.recipes.runs.checks import load_source
from transfer.recipes.runs.content import results_of
from transfer.recipes.runs.datasets import Data
from transfer.recipes.runs.folder import check_links
from transfer.recipes.runs.results import Results, TrainingRecord, read_record
from transfer.recipes.settings.target_names import from_data, said
from transfer.recipes.watching.boards import Board, Logger
from transfer.recipes.watching.progress import Progress
from transfer.storage.files import write_json

HPARAMS = ("environment", "mode", "seed")
PLAYED = ".played"  # end of the name of the event file of the episodes, behind that of the training


def finish(cell: RunCell, job: Job) -> None:
    """Play a trained cell, write results.json and timing.json, and remove the files of its training.

    Raises:
        TransferError: it is not trained, its files are damaged, or an episode fails; what was trained is kept.
    """
    if cell.finished:
        clean(cell.home)
        return
    check_links(cell.run)
    record = read_record(cell.home)
    for player in _players(cell, job, record):
        if not (player.home / "results.json").is_file():
            with player:
                player.finish()
    clean(cell.home)


def _players(cell: RunCell, job: Job, record: TrainingRecord) -> Iterator[Player]:
    """A player for each policy of a cell: several for a trunk of several sources."""
    if not cell.pretrains:
        model = _policy(cell, job)
        yield Player(cell, job, record, model, job.target, cell.home, cell.title)
        return
    trunk, adapters = load_source(cell.home)
    for name, adapter in adapters.items():
        model = TransferModel(trunk, adapter).to(job.device).eval()
        if len(adapters) == 1:
            yield Player(cell, job, record, model, next(iter(job.sources.values())), cell.home, cell.title)
            continue
        own = replace(record, origin=replace(record.origin, mode=f"{PRETRAIN}:{name}"))
        home, title = cell.home / ADAPTERS / name, cell.titled(f"{PRETRAIN} {name}")
        yield Player(cell, job, own, model, job.sources[name], home, title)


def _policy(cell: RunCell, job: Job) -> PolicyModel:
    """The policy that a mode trained, from its files."""
    mode = find_mode(cell.mode)
    if mode.trunk == "none":
        return MLPPolicy.load(cell.home / "mlp").to(job.device).eval()
    home = job.trunk_home(cell.seed) if mode.trunk == "pretrained" else cell.home
    trunk = Trunk.load(home / "trunk")
    return TransferModel(trunk, Adapter.load(cell.home / "adapter", trunk)).to(job.device).eval()


@dataclass
class Player:
    """Plays one trained policy.

    Attributes:
        cell, job: that it belongs to.
        record: of its training.
        model: the policy.
        data: of its environment.
        home: where its results go.
        title: of bars and lines.
    """

    cell: RunCell
    job: Job
    record: TrainingRecord
    model: PolicyModel
    data: Data
    home: Path
    title: str

    def __enter__(self) -> Player:
        """Open a log of its own, in the place of one that was begun before a stop."""
        for events in self.home.glob(f"events.out.tfevents.*{PLAYED}"):
            events.unlink()
        self._open = ExitStack()
        self.board: Logger = Board(self.home, suffix=PLAYED, layout=self.home != self.cell.home)
        self._open.callback(self.board.close)
        return self

    def __exit__(self, *error: object) -> None:
        """Close the log."""
        self._open.close()

    def finish(self) -> None:
        """Calibrate, evaluate, and write what came of it."""
        began = time.perf_counter()
        self._log_tokenizer()
        if self.job.config.eval.calibrate and "return" in self.model.asked({}):
            with kept(self.cell):
                self._calibrate()
            self._save()
        held = {} if self.data.held_out is None else {"": self.data.held_out}
        error = errors(self.model, held).get("valid/loss")
        if error is not None:
            self.job.say(f"{self.title}: held-out error {error:.4g}")
        with kept(self.cell):
            played = self._play_all()
        for result in reversed(played):  # the first entry is the one of hparams, and is logged last
            log_evaluation(self.board, self.record.config.steps, result)
        self._log_actions(played[0])
        results = results_of(self.job.config, self.record, self.data.episodes, self.model, played, error)
        self.board.hparams(self._hparams(results), float(played[0].scores.mean()))
        timing = replace(self.record.timing, eval_seconds=time.perf_counter() - began)
        write_json(self.home / "timing.json", timing.to_json())
        write_json(self.home / "results.json", results.to_json())

    def _save(self) -> None:
        """Save the policy again, with its calibration."""
        if isinstance(self.model, MLPPolicy):
            self.model.save(self.home / "mlp")
        elif isinstance(self.model, TransferModel):
            self.model.adapter.save(self.home if self.home != self.cell.home else self.home / "adapter")

    def _calibrate(self) -> None:
        """Measure target and achieved returns; see `transfer.evaluation.calibration.calibrate`."""
        settings, data = self.job.config.eval, self.data.episodes
        targets = [from_data(name, data, self.model.statistics) for name in TARGETS]
        with Progress(settings.calibrate * len(TARGETS), f"{self.title}, calibration", "episodes") as progress:
            result = calibrate(
                self.model,
                targets,
                settings.calibrate,
                num_envs=settings.envs,
                decode=settings.decode,
                on_episode=progress.update,
            )
        self.job.say(f"{self.title}, target -> achieved return: {result}")
        for row, pair in enumerate(zip(result.asked, result.achieved, strict=True)):
            asked, achieved = map(float, data.env_spec.reference.score(np.array(pair)))
            home = f"eval/{data.env_spec.name}"
            self.board.scalars(row, {f"{home}/calibration_target": asked, f"{home}/calibration_score": achieved})

    def _play_all(self) -> list[Evaluation]:
        """The evaluations of results.json: one for each entry of `eval.ask`, with a bar and a line each."""
        played, settings = [], self.job.config.eval
        for ask in settings.ask:
            with Progress(settings.episodes, f"{self.title}, {said(ask) or 'default target'}", "episodes") as progress:
                played.append(play(self.model, self.data.episodes, settings, ask, settings.episodes, progress.update))
            self.job.say(f"{self.title}: {played[-1]}")
        return played

    def _log_tokenizer(self) -> None:
        """Log the largest distance of a dataset action from the value of its token, where there is a tokenizer."""
        model, actions = self.model, self.data.episodes.actions
        if not isinstance(model, TransferModel):
            return
        fitted = getattr(model.adapter.parts()["action"], "tokenizer", None)
        if fitted is not None:
            scale = model.adapter.scales.action_range().each(Tensor.cpu)
            worst = np.abs(Vocabulary(fitted, scale).decoded(actions) - actions).max()
            self.board.scalars(0, {"train/tokenizer_error": float(worst)})

    def _log_actions(self, played: Evaluation) -> None:
        """Log histograms of the actions of the data and of the policy."""
        episodes = self.data.episodes
        few = episodes.actions[:: max(1, episodes.num_steps // 20_000)]
        for name, actions in (("dataset", few), ("policy", played.actions)):
            for dimension, values in enumerate(np.asarray(actions).T):
                self.board.histogram(f"values/{name}_actions/{dimension}", self.record.config.steps, values)

    def _hparams(self, results: Results) -> dict[str, str | int | float | bool]:
        """What differs between the cells of runs."""
        found: dict[str, str | int | float | bool] = {name: getattr(results, name) for name in HPARAMS}
        if isinstance(self.model, MLPPolicy):
            return {**found, "method": self.model.method_spec.kind, "tuning": "none"}
        assert isinstance(self.model, TransferModel)
        adapter = self.model.adapter
        tuning = adapter.config.of(TUNING).kind if TUNING in adapter.parts() else "none"
        return {**found, "method": adapter.method.kind, "tuning": tuning}
