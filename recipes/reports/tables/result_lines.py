"""The lines of the CSV files in a results folder, and how they come from the results.json and timing.json of MODE/SEED.

`run`, `mode` and `seed` name in every file the cell that a line belongs to.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from transfer.models.steps.adapter_config import TUNING
from transfer.recipes.runs.results import EvaluationEntry, Results, Timing
from transfer.recipes.settings.schema import Count, Error, Loss, Rate, Share

BY_DEFAULT = " by default"
LATER = {"later": True}
"""Of a column that files of older versions lack; it is written where a line has something in it."""
Key = tuple[str, str, int]
"""Run, mode and seed of a cell."""


@dataclass(frozen=True)
class Line:
    """The first columns of every file."""

    run: str
    mode: str
    seed: int

    @property
    def key(self) -> Key:
        """The cell that the line belongs to."""
        return self.run, self.mode, self.seed


@dataclass(frozen=True)
class ResultsColumns(Line):
    """The columns of cells.csv that come from results.json. Lists are joined by commas.

    Attributes:
        reference, minimum, maximum: the table of reference scores, and its returns of score 0 and 100.
        parameters, parameters_total, share: trained, of the whole model, and their quotient.
        bytes, tensors, parts: of what trained; `parts` are parameters by part.
        inherit, inherited: what the config inherits from the source adapter, and the names of these tensors.
        final_loss: training loss of the last log line, of all sources together where there are several.
        held_out_loss: the held-out error: mean squared error of scaled actions on episodes that were not trained on;
            None where there are none.
        frozen, trunk_pretrained, trunk_before, trunk_after, trunk_unchanged: see
            `transfer.recipes.runs.results.TrunkFate`.
    """

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
    steps: Count
    batch_size: Count
    lr: Rate
    final_loss: Loss
    held_out_loss: Error | None
    frozen: bool
    trunk_pretrained: str | None
    trunk_before: str | None
    trunk_after: str | None
    trunk_unchanged: bool | None


@dataclass(frozen=True, kw_only=True)
class PointColumns:
    """The columns of cells.csv that say where a cell of a matrix stands; see `recipes/reports/matrix/coordinates.py`.

    Attributes:
        source_bodies, target_body, method: as the matrix names them.
        size: episodes of the target, 0 for all; None outside of a matrix.
        axes: the values of its other keys as an object of JSON; "" outside of a matrix, "{}" where it has none.
        reason: why there are no results; "" where there are.
    """

    source_bodies: str = field(default="", metadata=LATER)
    target_body: str = field(default="", metadata=LATER)
    method: str = field(default="", metadata=LATER)
    size: int | None = field(default=None, metadata=LATER)
    axes: str = field(default="", metadata=LATER)
    reason: str = field(default="", metadata=LATER)


@dataclass(frozen=True, kw_only=True)
class GapLine(PointColumns, Line):
    """A line of cells.csv of a planned cell of a matrix without results: `reason` says why, other columns are empty."""

    checksum: str = ""


@dataclass(frozen=True, kw_only=True)
class CellLine(PointColumns, Timing, ResultsColumns):
    """A line of cells.csv: one value each of results.json, then timing.json, then the versions of packages.

    Settings of the training are in the run's TOML.

    Attributes:
        checksum: see `transfer.recipes.reports.tables.checksums`; "" until the line is written.
        adapter_lr: highest learning rate of all parts but the trunk; None where it is `lr`.
        source, source_fingerprint: name and fingerprint of the adapter that `inherited` comes from; "" and None where
            nothing is inherited.
        tuning: kind and options of the tuning, as "lora, rank 8, alpha 16.0, sites q+v"; "" for none.
    """

    versions: str
    checksum: str = ""
    adapter_lr: Rate | None = field(default=None, metadata=LATER)
    source: str = field(default="", metadata=LATER)
    source_fingerprint: str | None = field(default=None, metadata=LATER)
    tuning: str = field(default="", metadata=LATER)

    @property
    def packages(self) -> dict[str, str]:
        """The versions by package."""
        listed = self.versions.split(", ") if self.versions else []
        return {name: version for name, _, version in (one.partition(" ") for one in listed)}


@dataclass(frozen=True)
class EpisodeLine(Line):
    """A line of episodes.csv.

    Attributes:
        checkpoint: the weights that acted; a report shows those of `last`.
        decode: how action dimensions were chosen.
        target, target_return: the name in the config, as p95 or calibrated, and its raw return; None where no return is
            asked for.
        asked: what else is asked for, as "horizon 500", or "horizon 500 by default" where the method says so; a file
            without the column asks for nothing else.
    """

    checkpoint: str
    decode: str
    target: str
    target_return: float | None
    episode_seed: int
    return_: float
    length: Count
    success: bool | None
    asked: str = field(default="", metadata=LATER)


@dataclass(frozen=True)
class CurveLine(Line):
    """A line of curves.csv: `train/loss` of TensorBoard, `probe/score` or `probe/episodes` at a training step."""

    step: int
    name: str
    value: float


@dataclass(frozen=True)
class CalibrationLine(Line):
    """A line of calibration.csv: mean of the returns that a number of episodes achieved for a target, all raw.

    `success` is the share of episodes that succeeded; None where the environment does not report it.
    """

    target_return: float
    achieved_return: float
    success: Share | None
    episodes: Count


def cell_line(run: str, results: Results, timing: Timing) -> CellLine:
    """The line of a cell of a run."""
    trained, trunk, scale = results.trained, results.trunk, results.reference
    return CellLine(
        run=run,
        mode=results.mode,
        seed=results.seed,
        environment=results.environment,
        dataset_ids=", ".join(results.dataset_ids),
        content_hash=results.content_hash,
        reference=scale.table,
        minimum=scale.minimum,
        maximum=scale.maximum,
        parameters=trained.numbers,
        parameters_total=trained.total,
        share=trained.share,
        bytes=trained.bytes,
        tensors=trained.tensors,
        parts=", ".join(f"{name} {part.numbers}" for name, part in trained.parts.items()),
        inherit=results.inherit,
        inherited=", ".join(results.inherited or ()),
        steps=results.steps,
        batch_size=results.batch_size,
        lr=results.lr,
        final_loss=results.final_loss,
        held_out_loss=results.held_out_error,
        frozen=trunk.frozen,
        trunk_pretrained=trunk.pretrained,
        trunk_before=trunk.before,
        trunk_after=trunk.after,
        trunk_unchanged=trunk.unchanged,
        **vars(timing),
        adapter_lr=results.adapter_lr,
        source=results.source.name if results.source else "",
        source_fingerprint=results.source.fingerprint if results.source else None,
        tuning=tuning_of(results),
        versions=", ".join(f"{name} {version}" for name, version in results.versions.items()),
    )


def tuning_of(results: Results) -> str:
    """The tuning of a cell in words, "" for none; files of older versions name one that did not run too."""
    found, tensors = results.adapter.get(TUNING), [*results.trained.parts, *(results.inherited or ())]
    if not isinstance(found, dict) or not any(name.partition(".")[0] == TUNING for name in tensors):
        return ""
    options = {name: "+".join(map(str, one)) if isinstance(one, list) else one for name, one in found.items()}
    return ", ".join([str(options.pop("kind", "")), *(f"{name} {one}" for name, one in options.items())])


def episode_lines(run: str, results: Results) -> tuple[EpisodeLine, ...]:
    """The episodes of a cell, evaluation by evaluation; those of a target that was asked for twice are there once."""
    lines = []
    for one in results.evaluations:
        begin = (run, results.mode, results.seed, one.checkpoint, one.decode, one.target, one.target_return)
        successes = one.successes or [None] * len(one.seeds)
        for seed, value, length, success in zip(one.seeds, one.returns, one.lengths, successes, strict=True):
            lines.append(EpisodeLine(*begin, seed, value, length, success, asked_for(one)))
    return tuple(dict.fromkeys(lines))


def asked_for(played: EvaluationEntry) -> str:
    """What else than a return was asked for, in words; a number that the config does not name is the method's own."""
    named = played.ask or {}
    return ", ".join(
        f"{name} {value:g}{'' if isinstance(named.get(name), int | float) else BY_DEFAULT}"
        for name, value in (played.asked or {}).items()
    )


def named_part(asked: str) -> str:
    """Of `asked_for`, what the config names."""
    return ", ".join(one for one in asked.split(", ") if not one.endswith(BY_DEFAULT))


def probe_lines(run: str, results: Results) -> tuple[CurveLine, ...]:
    """The probes of a cell."""
    return tuple(
        CurveLine(run, results.mode, results.seed, probe.step, name, value)
        for probe in results.probes
        for name, value in (("probe/score", probe.mean_score), ("probe/episodes", probe.episodes))
    )


def calibration_lines(run: str, results: Results) -> tuple[CalibrationLine, ...]:
    """The calibration of a cell; empty where nothing was calibrated."""
    table = results.calibration
    if table is None:
        return ()
    rates = table.success or (None,) * len(table.asked)
    return tuple(
        CalibrationLine(run, results.mode, results.seed, asked, achieved, success, table.episodes)
        for asked, achieved, success in zip(table.asked, table.achieved, rates, strict=True)
    )
