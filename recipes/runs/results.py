"""The schemas of results.json and timing.json, which every MODE/SEED of a run holds."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, TypeVar

from transfer.data.environment.spec import ReferenceScores
from transfer.data.measured.calibration_table import Calibration
from transfer.errors import TransferError
from transfer.recipes.settings.schema import Amount, Count, Error, Loss, Names, Rate, Returns, Schema, Share
from transfer.storage.files import read_json
from transfer.training.train_config import TrainConfig

FORMAT = 1
TRAINING, PARTIAL = "training.json", "probes.json"  # while MODE/SEED is unfinished
File = TypeVar("File", bound=Schema)


@dataclass(frozen=True, kw_only=True)
class TrunkFate(Schema):
    """Fingerprints of the trunk that a training worked on.

    Attributes:
        frozen: whether the mode freezes it.
        pretrained: the trunk that the training started from; None where there was none.
        before, after: the training; None where there is no trunk.
        unchanged: whether both are the same; None where the trunk is trained.
    """

    frozen: bool
    pretrained: str | None
    before: str | None
    after: str | None
    unchanged: bool | None


@dataclass(frozen=True, kw_only=True)
class SourceAdapter(Schema):
    """The adapter that an adaptation took something over from: the name of its source, and its fingerprint."""

    name: str
    fingerprint: str


@dataclass(frozen=True, kw_only=True)
class Origin(Schema):
    """The keys of results.json about the training, besides its settings.

    Attributes:
        mode: `pretrain` for the source environment, `pretrain:NAME` for one of several.
        inherit, inherited: what the config inherits from the source adapter, and the names of these tensors; the key
            `inherited` is left out after a pretraining.
        source: where they come from; None where nothing is inherited, and in files of older versions.
    """

    format: int = FORMAT
    mode: str
    seed: int
    inherit: str
    inherited: tuple[str, ...] | None = None
    source: SourceAdapter | None = None
    trunk: TrunkFate


@dataclass(frozen=True, kw_only=True)
class TrainedPart(Schema):
    """Counts of the tensors of one part that trained; `numbers` are parameters."""

    tensors: int
    numbers: int
    bytes: int


@dataclass(frozen=True, kw_only=True)
class Trained(Schema):
    """Trained parameters (`numbers`), those of the whole model (`total`) and their share of it, 0 to 1."""

    numbers: int
    total: int
    share: Share
    bytes: int
    tensors: int
    parts: Mapping[str, TrainedPart]

    def __post_init__(self) -> None:
        """Raises TransferError for a share that is not the quotient of both counts."""
        if not math.isclose(self.share * self.total, self.numbers, rel_tol=1e-6, abs_tol=1e-6):
            raise TransferError(
                f"trained.share is {self.share:g}, but {self.numbers} of {self.total} parameters train."
            )


@dataclass(frozen=True, kw_only=True)
class EvaluationEntry(Schema):
    """One entry of `evaluations`.

    Attributes:
        checkpoint: the weights that acted; reports show `last`.
        step: of the training.
        target: the return as the config names it, "best" for the default one; "" where none is asked for, and in files
            of older versions.
        target_return, target_score: of the target, raw and as a score; None where no return is asked for.
        ask, asked: what else the config names to ask for, and what the policy was asked for, by name.
        decode: how action dimensions were chosen.
        returns, lengths, seeds, successes: an entry per episode; successes None where the environment reports none.
        mean_return, mean_score, mean_length, success_rate: over the episodes.
    """

    checkpoint: str
    step: int
    target: str = ""
    target_return: float | None
    target_score: float | None
    ask: Mapping[str, Any] | None = None
    asked: Mapping[str, float] | None = None
    decode: str
    returns: Returns
    lengths: tuple[Count, ...]
    seeds: tuple[int, ...]
    mean_return: float
    mean_score: float
    mean_length: Rate
    successes: tuple[bool, ...] | None = None
    success_rate: Share | None = None

    def __post_init__(self) -> None:
        """Raises TransferError for lists of different lengths, other means, or one of successes and success_rate."""
        successes = self.returns if self.successes is None else self.successes
        if not len(self.returns) == len(self.lengths) == len(self.seeds) == len(successes):
            raise TransferError("returns, lengths, seeds and successes of an evaluation differ in length.")
        if (self.successes is None) != (self.success_rate is None):
            raise TransferError("an evaluation holds only one of successes and success_rate.")
        check_mean("mean_return", self.mean_return, self.returns)
        check_mean("mean_length", self.mean_length, self.lengths)
        if self.successes is not None and self.success_rate is not None:
            check_mean("success_rate", self.success_rate, self.successes)


@dataclass(frozen=True, kw_only=True)
class Probe(Schema):
    """A few episodes in the middle of a training."""

    step: int
    mean_score: float
    episodes: Count


@dataclass(frozen=True, kw_only=True)
class Probes(Schema):
    """probes.json: the probes until results.json is written."""

    probes: tuple[Probe, ...]


@dataclass(frozen=True, kw_only=True)
class Timing(Schema):
    """timing.json: the values that differ when a run is repeated. Every key may be missing.

    Attributes:
        resumed_at_step: the step from which `train_seconds` counts.
        peak_memory_bytes: of the process, from the beginning of the training on where the system tells it.
    """

    train_seconds: Amount | None = None
    resumed_at_step: int | None = None
    eval_seconds: Amount | None = None
    tokens_per_second: Amount | None = None
    peak_memory_bytes: int | None = None
    peak_gpu_bytes: int | None = None
    device: str | None = None
    threads: int | None = None
    processes: int | None = None
    precision: str | None = None
    kernels: str | None = None


@dataclass(frozen=True, kw_only=True)
class TrainingRecord(Schema):
    """training.json: what a training left besides weights, until its episodes are played.

    Attributes:
        origin: mode, seed and trunk, for results.json; of several sources the mode is that of all.
        training: its settings.
        trained: what trained, and how much it is.
        final_loss: of the last log line.
        probes: the episodes that were played in between.
        timing: of the training; that of the episodes is added later.
    """

    origin: Origin
    training: Mapping[str, Any]
    trained: Trained
    final_loss: Loss
    probes: tuple[Probe, ...]
    timing: Timing

    @property
    def config(self) -> TrainConfig:
        """The settings of the training."""
        return TrainConfig(**self.training)


@dataclass(frozen=True, kw_only=True)
class Results(Origin):
    """results.json: equal bytes for equal runs.

    Attributes:
        content_hash: of the data.
        adapter, method, training: what ran, with every option: the tuning that the mode says among the parts of the
            adapter, and bins that were taken over. Files of older versions have the settings there.
        steps, batch_size, lr: the most used of them.
        adapter_lr: highest learning rate of all parts but the trunk; None where it is `lr`, and in files of older
            versions.
        final_loss: training loss of the last log line, of all sources together where there are several.
        held_out_error: mean squared error of scaled actions on episodes that were not trained on; None where there are
            none, and in files of older versions.
        evaluations: one for each entry of `eval.ask`.
        calibration: target and achieved return; None where nothing was calibrated.
    """

    environment: str
    dataset_ids: Names
    content_hash: str
    reference: ReferenceScores
    adapter: Mapping[str, Any]
    method: Mapping[str, Any] | None = None
    training: Mapping[str, Any]
    steps: Count
    batch_size: Count
    lr: Rate
    adapter_lr: Rate | None = None
    trained: Trained
    final_loss: Loss
    held_out_error: Error | None = None
    evaluations: tuple[EvaluationEntry, ...]
    calibration: Calibration | None = None
    probes: tuple[Probe, ...]
    versions: Mapping[str, str]

    def __post_init__(self) -> None:
        """Raises TransferError when nothing was played with the last weights, or for scores by other references."""
        if not any(one.checkpoint == "last" for one in self.evaluations):
            raise TransferError("no evaluation of checkpoint 'last'.")
        for one in self.evaluations:
            check_mean("mean_score", one.mean_score, [self.reference.score(value) for value in one.returns])

    @classmethod
    def from_json(cls, values: Any, what: str) -> Self:
        """As of every `Schema`; a file of another format is named as such."""
        if isinstance(values, dict) and values.get("format") != FORMAT:
            raise TransferError(f"{what} has format {values.get('format')!r:.40}; this version reads format {FORMAT}.")
        return super().from_json(values, what)

    def to_json(self) -> dict[str, Any]:
        """Plain values; `from_json` restores an equal object."""
        return {key: value for key, value in super().to_json().items() if key != "inherited" or value is not None}


def check_mean(name: str, mean: float, values: Sequence[float]) -> None:
    """Raise TransferError unless a number that a file holds is the mean of these values, which it holds as well."""
    found = sum(values) / len(values)
    if not math.isclose(mean, found, rel_tol=1e-6, abs_tol=1e-6):
        raise TransferError(f"{name} is {mean:g}, but the mean over the episodes is {found:g}.")


def read_file(kind: type[File], file: Path, way_out: str) -> File:
    """One JSON file; `way_out` ends the message of a TransferError where it is damaged or edited."""
    try:
        return kind.from_json(read_json(file), str(file))
    except TransferError as error:
        raise TransferError(f"{error} {way_out}") from error


def read_results(file: Path) -> Results:
    """One results.json. Raises TransferError when it is damaged, edited, of another format or lacks a key."""
    return read_file(Results, file, f"Remove {file.parent} and run again with --resume.")


def read_record(home: Path) -> TrainingRecord:
    """The training.json in MODE/SEED. Raises TransferError when it is damaged or edited."""
    return read_file(TrainingRecord, home / TRAINING, f"Remove {home} and run again with --resume.")


def read_timing(file: Path) -> Timing:
    """One timing.json, empty when there is none. Raises TransferError when it is damaged or edited."""
    return read_file(Timing, file, "It is no part of the result: remove it.") if file.exists() else Timing()
