"""The lines of the CSV files in a results folder: what is kept of each MODE/SEED of each run.

`run`, `mode` and `seed` say in every file which cell a line belongs to.
"""

from __future__ import annotations

from dataclasses import dataclass

from transfer.recipes.settings.schema import Share

Key = tuple[str, str, int]
"""Run, mode and seed of a cell."""


@dataclass(frozen=True)
class CellLine:
    """A line of cells.csv: everything of results.json and timing.json that is one value for each cell.

    Settings of the training are in the run's TOML. Lists are joined by commas.

    Attributes:
        reference, minimum, maximum: the table of reference scores, and its returns of score 0 and 100.
        parameters, parameters_total, share: trained, of the whole model, and their quotient.
        bytes, tensors, parts: of what trained; `parts` are parameters by part.
        inherit, inherited: what was asked to be taken over from the source adapter, and which tensors were.
        final_loss: training loss of the last log line.
        held_out_loss: on episodes that were not trained on; None until there is one.
        frozen, trunk_pretrained, trunk_before, trunk_after, trunk_unchanged: see
            `transfer.recipes.runs.results.TrunkFate`.
        resumed_at_step: the step from which `train_seconds` counts.
        versions: of the packages that a result depends on.
    """

    run: str
    mode: str
    seed: int
    environment: str
    dataset_ids: str
    content_hash: str
    reference: str
    minimum: float
    maximum: float
    parameters: int
    parameters_total: int
    share: Share
    bytes: int
    tensors: int
    parts: str
    inherit: str
    inherited: str
    steps: int
    batch_size: int
    lr: float
    final_loss: float
    held_out_loss: float | None
    frozen: bool
    trunk_pretrained: str | None
    trunk_before: str | None
    trunk_after: str | None
    trunk_unchanged: bool | None
    train_seconds: float | None
    resumed_at_step: int | None
    eval_seconds: float | None
    tokens_per_second: float | None
    peak_memory_bytes: int | None
    peak_gpu_bytes: int | None
    device: str | None
    threads: int | None
    processes: int | None
    precision: str | None
    kernels: str | None
    versions: str

    @property
    def key(self) -> Key:
        """Which cell it is."""
        return self.run, self.mode, self.seed

    @property
    def packages(self) -> dict[str, str]:
        """The versions by package."""
        return {name: version for name, _, version in (one.partition(" ") for one in self.versions.split(", "))}


@dataclass(frozen=True)
class EpisodeLine:
    """A line of episodes.csv.

    Attributes:
        checkpoint: which weights acted; `last` counts, others are shown nowhere unless a text says so.
        decode: how action dimensions were chosen.
        target: as the config names it, as p95 or calibrated.
        target_return: what that was, raw.
        episode_seed: of the environment.
        return_: undiscounted.
        length: steps.
        success: None where the environment tells none.
    """

    run: str
    mode: str
    seed: int
    checkpoint: str
    decode: str
    target: str
    target_return: float
    episode_seed: int
    return_: float
    length: int
    success: bool | None


@dataclass(frozen=True)
class CurveLine:
    """A line of curves.csv.

    Attributes:
        step: of the training.
        name: `train/loss` as TensorBoard shows it, `probe/score` and `probe/episodes` of episodes during the training.
        value: of it.
    """

    run: str
    mode: str
    seed: int
    step: int
    name: str
    value: float


@dataclass(frozen=True)
class CalibrationLine:
    """A line of calibration.csv: what was achieved for a target, mean over some episodes.

    Attributes:
        target_return, achieved_return: raw.
        success: share of the episodes that succeeded; None where the environment tells none.
        episodes: how many.
    """

    run: str
    mode: str
    seed: int
    target_return: float
    achieved_return: float
    success: Share | None
    episodes: int
