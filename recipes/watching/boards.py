"""TensorBoard event files with fixed tags.

| tag | what | step |
|---|---|---|
| train/loss | loss per token of the windows since the last log line | training step |
| train/grad_norm | norm of the gradient before clipping | training step |
| train/tokens_per_second | tokens through the trunk per second | training step |
| train/lr | learning rate | training step |
| eval/return | mean undiscounted return of the episodes | training step |
| eval/score | the same as a score, 100 = reference expert | training step |
| eval/length | mean steps per episode | training step |
| eval/success | share of the episodes that succeeded, where the environment tells | training step |
| calibration/asked | target score of the calibration | 0, 1, .. by target |
| calibration/score | score achieved for it | 0, 1, .. by target |
| params/trainable | trainable parameters | 0 |
| tokenizer/max_error | largest distance of a dataset action from its decoded token | 0 |
| actions/dataset/I, actions/policy/I | histogram of action dimension I | 0, training step |
| hparams | settings, with the final score | - |
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from transfer.errors import unknown

if TYPE_CHECKING:
    from transfer.evaluation.outcome import Evaluation

SCALARS = (
    *("train/loss", "train/grad_norm", "train/tokens_per_second", "train/lr"),
    *("eval/return", "eval/score", "eval/length", "eval/success", "calibration/asked", "calibration/score"),
    *("params/trainable", "tokenizer/max_error"),
)
HISTOGRAMS = ("actions/dataset", "actions/policy")
SCORE = "eval/score"


class Board:
    """Writes one event file in a folder.

    Args:
        folder: where the event file goes, MODE/SEED of a run.
        first_step: of a resumed run; what was logged from there on before the interruption is hidden.
    """

    def __init__(self, folder: Path, first_step: int = 0) -> None:
        from torch.utils.tensorboard import SummaryWriter  # takes most of a second: only runs pay

        _wait_for_later_name(folder)
        self._writer = SummaryWriter(str(folder), purge_step=first_step or None)

    def close(self) -> None:
        """Write what is buffered and close the file."""
        self._writer.close()

    def flush(self) -> None:
        """Write what is buffered."""
        self._writer.flush()

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Log values by tag; fits the `on_log` callback of `transfer.training.fit.fit`.

        Raises:
            TransferError: a tag that is not in the table.
        """
        for tag, value in values.items():
            if tag not in SCALARS:
                raise unknown("TensorBoard tag", tag, SCALARS)
            self._writer.add_scalar(tag, value, step)

    def evaluation(self, step: int, result: Evaluation) -> None:
        """Log the means of an evaluation or a probe."""
        means = {"eval/return": result.returns, SCORE: result.scores, "eval/length": result.lengths}
        self.scalars(step, {tag: float(values.mean()) for tag, values in means.items()})
        if result.success_rate is not None:
            self.scalars(step, {"eval/success": result.success_rate})

    def actions(self, tag: str, step: int, actions: NDArray[np.floating]) -> None:
        """Log a histogram per action dimension, as figure 2 of the tokenized-action paper.

        Args:
            tag: `actions/dataset` or `actions/policy`.
            step: training step.
            actions: (N, A), a sample is enough.

        Raises:
            TransferError: another tag.
        """
        if tag not in HISTOGRAMS:
            raise unknown("TensorBoard tag", tag, HISTOGRAMS)
        for dimension, values in enumerate(np.asarray(actions).T):
            self._writer.add_histogram(f"{tag}/{dimension}", values, step)

    def hparams(self, settings: Mapping[str, str | int | float | bool], score: float) -> None:
        """Log settings with the final score, in this event file.

        `SummaryWriter.add_hparams` would open a second file in a sub-folder named after the time.
        """
        from torch.utils.tensorboard.summary import hparams

        for summary in hparams(dict(settings), {SCORE: score}):
            self._writer._get_file_writer().add_summary(summary)


def read_scalars(folder: Path, tag: str) -> list[tuple[int, float]]:
    """The steps and values of one tag in the event files of a folder; none where it was never logged."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder), size_guidance={"scalars": 0})
    events.Reload()
    found = events.Scalars(tag) if tag in events.Tags()["scalars"] else []
    return [(one.step, one.value) for one in found]


def _wait_for_later_name(folder: Path) -> None:
    """Wait until a new event file sorts behind those in a folder, at most a second.

    TensorBoard reads files by name. A name begins with the second it was made in and ends with counters that do not
    sort as numbers, so of two files from one second the later one may come first, and what it hides stays visible.
    """
    newest = max((path.name for path in folder.glob("events.out.tfevents.*")), default="")
    for _ in range(21):
        if newest < f"events.out.tfevents.{int(time.time()):010d}":
            return
        time.sleep(0.05)
