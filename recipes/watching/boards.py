"""TensorBoard event files with fixed tags.

| tag | what | step |
|---|---|---|
| eval/ENVIRONMENT/score | mean score of the episodes, 100 = reference expert | training step |
| eval/ENVIRONMENT/return | their mean undiscounted return | training step |
| eval/ENVIRONMENT/length | their mean steps | training step |
| eval/ENVIRONMENT/success | share of the episodes that succeeded, where the environment tells | training step |
| eval/ENVIRONMENT/calibration_target | target score of a calibration | 0, 1, .. by target |
| eval/ENVIRONMENT/calibration_score | score achieved for it | 0, 1, .. by target |
| train/loss | the objective per token of the windows since the last log line | training step |
| train/loss/TERM | of a predicted group, or of SOURCE/GROUP where there are several sources | training step |
| train/loss/SOURCE | the objective of one of several sources, before its weight in the sum | training step |
| train/grad_norm | norm of the gradient before clipping | training step |
| train/lr | learning rate of the trunk where it trains, else of the adapter | training step |
| train/adapter_lr | that of the adapter, where both train and it has a rate of its own | training step |
| train/tokens_per_second | tokens through the trunk per second | training step |
| train/trainable | trainable parameters | 0 |
| train/tokenizer_error | largest distance of a dataset action from its decoded token | 0 |
| valid/loss | held-out error, at each save; of several sources the mean, weighted as in the objective | training step |
| valid/loss/SOURCE | that of one of several sources | training step |
| values/dataset_actions/I | histogram of action dimension I of the data | last step |
| values/policy_actions/I | the same of the policy | last step |
| score | the final one, of the first entry of eval.ask, for the table of hparams | 0 |
| hparams | environment, mode, seed, method and tuning, with that score | - |

Time series are sorted by name, so histograms come last. The tab "Custom scalars" shows score, return and losses.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from transfer.errors import unknown

EVALUATED = ("score", "return", "length", "success", "calibration_target", "calibration_score")
TRAINED = ("loss", "grad_norm", "lr", "adapter_lr", "tokens_per_second", "trainable", "tokenizer_error")
LOSSES = ("train/loss/TERM", "train/loss/SOURCE", "valid/loss", "valid/loss/SOURCE")
TAG = re.compile(rf"eval/.+/({'|'.join(EVALUATED)})|train/({'|'.join(TRAINED)})|train/loss/.+|valid/loss(/.+)?")
HISTOGRAM = re.compile(r"values/(dataset|policy)_actions/\d+")
SCORE = "score"  # a tag of its own: in the table of hparams, a column is one tag of all runs
LAYOUT = {
    "this run": {
        "score": ["Multiline", [r"eval/.*/score"]],
        "return": ["Multiline", [r"eval/.*/return"]],
        "loss": ["Multiline", [r"train/loss.*", r"valid/loss"]],
    }
}


class Logger(Protocol):
    """Keeps what a run measures; `Board` keeps it for TensorBoard."""

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Values by tag."""
        ...

    def histogram(self, tag: str, step: int, values: NDArray[np.floating]) -> None:
        """The distribution of some values."""
        ...

    def video(self, tag: str, step: int, frames: NDArray[np.uint8]) -> None:
        """Frames (T, H, W, 3) of an episode."""
        ...

    def hparams(self, settings: Mapping[str, str | int | float | bool], score: float) -> None:
        """Settings with the final score."""
        ...

    def flush(self) -> None:
        """Write what is buffered."""
        ...

    def close(self) -> None:
        """Write what is buffered, and close the log."""
        ...


class Board:
    """A `Logger` that writes one event file in a folder.

    Args:
        folder: where the event file goes, MODE/SEED of a run.
        first_step: of a resumed run; what was logged from there on before the interruption is hidden.
        suffix: end of the file's name.
        layout: whether the tab "Custom scalars" is laid out, once for each folder.
    """

    def __init__(self, folder: Path, first_step: int = 0, suffix: str = "", layout: bool = True) -> None:
        from torch.utils.tensorboard import SummaryWriter  # takes most of a second: only runs pay

        _wait_for_later_name(folder)
        self._writer = SummaryWriter(str(folder), purge_step=first_step or None, filename_suffix=suffix)
        if layout and not first_step:
            self._writer.add_custom_scalars(LAYOUT)

    def close(self) -> None:
        """Write what is buffered and close the file."""
        self._writer.close()

    def flush(self) -> None:
        """Write what is buffered."""
        self._writer.flush()

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Log values by tag.

        Raises:
            TransferError: a tag that is not in the table.
        """
        for tag, value in values.items():
            if not TAG.fullmatch(tag):
                known = [f"eval/ENVIRONMENT/{name}" for name in EVALUATED] + [f"train/{name}" for name in TRAINED]
                raise unknown("TensorBoard tag", tag, [*known, *LOSSES])
            self._writer.add_scalar(tag, value, step)

    def histogram(self, tag: str, step: int, values: NDArray[np.floating]) -> None:
        """Log the distribution of some values, as figure 2 of the tokenized-action paper does of action dimensions.

        Raises:
            TransferError: a tag that is not in the table.
        """
        if not HISTOGRAM.fullmatch(tag):
            raise unknown("TensorBoard tag", tag, ["values/dataset_actions/I", "values/policy_actions/I"])
        self._writer.add_histogram(tag, values, step)

    def video(self, tag: str, step: int, frames: NDArray[np.uint8]) -> None:
        """Log frames (T, H, W, 3) of an episode, 30 a second."""
        self._writer.add_video(tag, frames.transpose(0, 3, 1, 2)[None], step, fps=30)

    def hparams(self, settings: Mapping[str, str | int | float | bool], score: float) -> None:
        """Log settings with the final score, in this event file.

        `SummaryWriter.add_hparams` would open a second file in a sub-folder named after the time.
        """
        from torch.utils.tensorboard.summary import hparams

        for summary in hparams(dict(settings), {SCORE: score}):
            self._writer._get_file_writer().add_summary(summary)
        self._writer.add_scalar(SCORE, score)


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
