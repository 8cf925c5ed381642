"""The result of a tokenizer ceiling."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from transfer.data.environment.spec import ReferenceScores
from transfer.recipes.settings.schema import Schema, Share


@dataclass(frozen=True, kw_only=True)
class CeilingRow(Schema):
    """One tokenizer with one number of bins, or the dataset, or its raw replay; means are over episodes.

    Attributes:
        tokenizer: its kind; "dataset" and "raw replay" have no bins and no errors.
        bins: vocabulary of one action dimension.
        used_bins: bins that hold data, mean over action dimensions.
        mean_error, max_error: |action - decoded|, over all steps and dimensions of the data.
        mean_return: undiscounted.
        score: of the returns.
        lost: score points below raw replay, None for the dataset.
        lost_error: standard error of `lost` over episodes, None for one episode.
        mean_length: steps.
        held_score: score when put back on the recorded course every `replay.HOLD` steps, None where that is impossible.
        held_lost: score points below a raw replay that is held alike.
        held_error: standard error of `held_lost` over episodes.
        success: share of episodes with success, None where an episode does not tell.
    """

    tokenizer: str
    bins: int | None
    used_bins: float | None = None
    mean_error: float | None = None
    max_error: float | None = None
    mean_return: float
    score: float
    lost: float | None
    lost_error: float | None
    mean_length: float
    held_score: float | None
    held_lost: float | None
    held_error: float | None
    success: Share | None


@dataclass(frozen=True, kw_only=True)
class CeilingReport(Schema):
    """The result of `transfer.recipes.ceiling.ceiling.ceiling`.

    Attributes:
        dataset_ids: where the actions came from.
        content_hash: of the packed data.
        environment: its short name.
        gym_id: the environment that recorded the data.
        reference: reference scores, with the name of their table.
        episodes: how many were replayed.
        skipped: how many could not be started, by reason.
        dataset: the replayed episodes as they are in the data.
        replayed: the same, their actions played again.
        rows: a row per tokenizer and number of bins.
        versions: of the packages that the results depend on.
    """

    dataset_ids: tuple[str, ...]
    content_hash: str
    environment: str
    gym_id: str
    reference: ReferenceScores
    episodes: int
    skipped: Mapping[str, int]
    dataset: CeilingRow
    replayed: CeilingRow
    rows: tuple[CeilingRow, ...]
    versions: Mapping[str, str]

    @property
    def lines(self) -> tuple[CeilingRow, ...]:
        """Every row: dataset, raw replay, tokenizers."""
        return (self.dataset, self.replayed, *self.rows)
