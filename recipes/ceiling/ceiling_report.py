"""What a tokenizer ceiling found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from transfer.data.environment.spec import ReferenceScores
from transfer.errors import check_keys


@dataclass(frozen=True)
class CeilingRow:
    """One tokenizer with one number of bins, or the dataset, or its raw replay; means are over episodes.

    Attributes:
        tokenizer: its kind; "dataset" and "raw replay" have no bins and no errors.
        bins: vocabulary of one action dimension.
        used_bins: bins that hold data, mean over action dimensions.
        mean_error: mean |action - decoded|, over all steps and dimensions of the data.
        max_error: the largest.
        mean_return: undiscounted.
        score: of `mean_return`.
        lost: score points below raw replay, None for the dataset.
        lost_error: standard error of `lost` over episodes, None for one episode.
        mean_length: steps.
        held_score: score when put back on the recorded course every `replay.HOLD` steps, None where that is impossible.
        held_lost: score points below a raw replay that is held alike.
        held_error: standard error of `held_lost` over episodes.
        success: share of episodes with success, None where there is no such thing.
    """

    tokenizer: str
    bins: int | None
    used_bins: float | None
    mean_error: float | None
    max_error: float | None
    mean_return: float
    score: float
    lost: float | None
    lost_error: float | None
    mean_length: float
    held_score: float | None
    held_lost: float | None
    held_error: float | None
    success: float | None


@dataclass(frozen=True)
class CeilingReport:
    """What decoded actions still earn in the environment of a dataset; see `transfer.recipes.ceiling.ceiling.ceiling`.

    Attributes:
        dataset_ids: where the actions came from.
        content_hash: of the packed data.
        environment: its short name.
        gym_id: the environment that recorded the data.
        reference: scale of the scores, and its table.
        episodes: how many were replayed.
        skipped: how many could not be started, by reason.
        dataset: the replayed episodes as they are in the data.
        replayed: the same, their actions played again.
        rows: a row per tokenizer and number of bins.
        versions: of the packages that the numbers depend on.
    """

    dataset_ids: tuple[str, ...]
    content_hash: str
    environment: str
    gym_id: str
    reference: ReferenceScores
    episodes: int
    skipped: dict[str, int]
    dataset: CeilingRow
    replayed: CeilingRow
    rows: tuple[CeilingRow, ...]
    versions: dict[str, str]

    @property
    def lines(self) -> tuple[CeilingRow, ...]:
        """Every row: dataset, raw replay, tokenizers."""
        return (self.dataset, self.replayed, *self.rows)

    def to_json(self) -> dict[str, Any]:
        """Plain values for a JSON file; `from_json` restores an equal object."""
        return asdict(self) | {"dataset_ids": list(self.dataset_ids), "rows": [asdict(row) for row in self.rows]}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> CeilingReport:
        """The inverse of `to_json`.

        Raises:
            TransferError: a key is missing or not known.
        """
        check_keys("the ceiling report", data, [one.name for one in fields(cls)])
        for row in (data["dataset"], data["replayed"], *data["rows"]):
            check_keys("a row of the ceiling report", row, [one.name for one in fields(CeilingRow)])
        return cls(
            **{
                **data,
                "dataset_ids": tuple(data["dataset_ids"]),
                "reference": ReferenceScores.from_json(data["reference"]),
                "dataset": CeilingRow(**data["dataset"]),
                "replayed": CeilingRow(**data["replayed"]),
                "rows": tuple(CeilingRow(**row) for row in data["rows"]),
            }
        )
