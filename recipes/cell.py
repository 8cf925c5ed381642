"""One cell of a run: train, evaluate and write MODE/SEED, with a progress bar and a TensorBoard log."""

from __future__ import annotations

import json
import platform
import resource
import shutil
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import torch

from transfer.episodes import Episodes
from transfer.files import write_json
from transfer.freezing import Selection
from transfer.progress import Progress
from transfer.recipes.boards import Board
from transfer.recipes.config import RunConfig
from transfer.recipes.text import selection_table
from transfer.rollout import Evaluation, evaluate
from transfer.training import FitResult, TrainConfig, Trainable, best_precision

PACKAGES = ("torch", "numpy", "gymnasium", "mujoco", "minari", "gymnasium-robotics")
PARTIAL = "probes.json"
FORMAT = 1


@dataclass
class Cell:
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

    def __enter__(self) -> Cell:
        """Open the log; nothing is written before the first step."""
        self.board: Board | None = None
        self.progress: Progress | None = None
        self.probes: list[dict[str, Any]] = []
        return self

    def __exit__(self, *error: object) -> None:
        """Close the log and the bar, after an error too."""
        if self.progress is not None:
            self.progress.__exit__(None, None, None)
        if self.board is not None:
            self.board.close()

    def on_start(self, selection: Selection, done: int) -> None:
        """Show what trains, then open the bar and the log where the training stands."""
        self.say(selection_table(self.title, selection))
        self.folder.mkdir(parents=True, exist_ok=True)
        partial = self.folder / PARTIAL
        if partial.exists():
            self.probes = [probe for probe in json.loads(partial.read_text()) if probe["step"] <= done]
        self.board = Board(self.folder, done + 1 if done else 0)
        self.board.scalars(0, {"params/trainable": selection.numbers})
        self.board.actions("actions/dataset", 0, self.episodes.actions[:: max(1, self.episodes.num_steps // 20_000)])
        self.progress = Progress(self.train.steps, self.title, "steps", start=done).__enter__()

    def on_log(self, step: int, values: dict[str, float]) -> None:
        """Pass values on to the log and the bar."""
        assert self.board is not None and self.progress is not None  # on_start opened both
        self.board.scalars(step, values)
        self.progress.update(
            step, loss=f"{values['train/loss']:.4f}", tokens_per_s=f"{values['train/tokens_per_second']:.0f}"
        )

    def on_step(self, step: int, model: Trainable) -> None:
        """Play a few episodes now and then, where the config asks for it."""
        every = self.config.eval.probe_every
        if not every or step % every or step == self.train.steps:
            return
        result = self.play(model, self.config.eval.targets[0], self.config.eval.probe_episodes)
        self.probes.append({"step": step, "mean_score": float(result.scores.mean()), "episodes": len(result.returns)})
        write_json(self.folder / PARTIAL, self.probes)
        self._log_evaluation(step, result)

    def play(self, model: Trainable, target: str, episodes: int) -> Evaluation:
        """Evaluate as the config says."""
        settings = self.config.eval
        return evaluate(
            model,
            num_episodes=episodes,
            target_return=target_return(target, self.episodes),
            context=self.train.context,
            num_envs=settings.envs,
            decode=settings.decode,
        )

    def finish(self, model: Trainable, fit: FitResult, facts: dict[str, Any]) -> dict[str, Any]:
        """Evaluate, write results.json and timing.json, and drop the state of the unfinished run."""
        began, settings = time.perf_counter(), self.config.eval
        self.say(f"{self.title}: {settings.episodes} episodes for each target return ({', '.join(settings.targets)})")
        played = [self.play(model, target, settings.episodes) for target in settings.targets]
        seconds = time.perf_counter() - began
        for result in reversed(played):  # the first target is the one that counts, and is logged last
            self._log_evaluation(self.train.steps, result)
            self.say(f"{self.title}: {result}")
        results = {"format": FORMAT, **facts, **self._facts(fit, played)}
        self._log_settings(results, float(played[0].scores.mean()))
        write_json(self.folder / "timing.json", self._timing(fit, seconds, model))
        write_json(self.folder / "results.json", results)
        (self.folder / PARTIAL).unlink(missing_ok=True)
        shutil.rmtree(self.folder / "checkpoint", ignore_errors=True)
        return results

    def _facts(self, fit: FitResult, played: list[Evaluation]) -> dict[str, Any]:
        last = {"checkpoint": "last", "step": self.train.steps}
        return {
            "environment": self.episodes.env_spec.name,
            "dataset_ids": list(self.episodes.dataset_ids),
            "content_hash": self.episodes.content_hash,
            "reference": self.episodes.env_spec.reference.to_json(),
            "adapter": asdict(self.config.adapter),
            "training": asdict(self.train),
            "steps": self.train.steps,
            "batch_size": self.train.batch_size,
            "lr": self.train.lr,
            "trained": fit.selection.to_json(),
            "final_loss": fit.final_loss,
            "evaluations": [{**last, **result.to_json()} for result in played],
            "probes": self.probes,
            "versions": versions(),
        }

    def _timing(self, fit: FitResult, seconds: float, model: Trainable) -> dict[str, Any]:
        device = model.device
        gpu = torch.cuda.max_memory_allocated(device) if device.type == "cuda" else 0
        return {
            "train_seconds": fit.seconds,
            "eval_seconds": seconds,
            "tokens_per_second": fit.tokens_per_second,
            "peak_memory_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
            "peak_gpu_bytes": gpu,
            "device": torch.cuda.get_device_name(device) if gpu else platform.processor() or device.type,
            "threads": torch.get_num_threads(),
            "precision": str(precision_of(self.config, device)).removeprefix("torch."),
        }

    def _log_evaluation(self, step: int, result: Evaluation) -> None:
        assert self.board is not None  # on_start opened it
        self.board.evaluation(
            step, float(result.returns.mean()), float(result.scores.mean()), float(result.lengths.mean())
        )
        self.board.actions("actions/policy", step, result.actions)

    def _log_settings(self, results: dict[str, Any], score: float) -> None:
        assert self.board is not None  # on_start opened it
        keys = ("mode", "seed", "environment", "steps", "batch_size", "lr")
        settings = {key: results[key] for key in keys} | {f"adapter/{k}": v for k, v in results["adapter"].items()}
        self.board.hparams(settings, score)


def tokenizer_error(tokenizer: Any, episodes: Episodes) -> float:
    """Largest distance of a dataset action from what its token decodes to."""
    return float(np.max(tokenizer.report(episodes.actions)["max_error"]))


def target_return(target: str, episodes: Episodes) -> float:
    """A target as written in a config ("max", "p95", "3600") as a raw return."""
    if target == "max":
        return float(episodes.returns.max())
    return float(np.quantile(episodes.returns, float(target[1:]) / 100)) if target.startswith("p") else float(target)


def precision_of(config: RunConfig, device: torch.device) -> torch.dtype:
    """The dtype that "auto", "float32" or "bfloat16" means on a device."""
    wanted = config.run.precision
    return best_precision(device) if wanted == "auto" else getattr(torch, wanted)


def versions() -> dict[str, str]:
    """Versions of everything that a result depends on."""
    from transfer import __version__

    found = {"embedding-swap": __version__, "python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found
