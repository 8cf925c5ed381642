"""Reference scores: the returns of score 0 and score 100."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from transfer.data.arrays import own
from transfer.data.environment.building.parsing import checked
from transfer.errors import TransferError, check_keys
from transfer.numbers import real, seen
from transfer.runtime.logs import warn_once

logger = logging.getLogger(__name__)
_LEAST_SPAN = 1e-4  # relative to the largest return: returns that differ by less are equal but for noise
FloatOrArray = TypeVar("FloatOrArray", float, NDArray[np.float64])


@dataclass(frozen=True)
class ReferenceScores:
    """Two returns that fix a scale: `minimum` scores 0, `maximum` scores 100 (Fu et al. 2020, D4RL, section 4).

    Scores from different tables must never be compared, so the name of the table is kept with the numbers.
    """

    table: str
    minimum: float
    maximum: float

    def __post_init__(self) -> None:
        checked(self.table, str, "the table of the reference scores")
        for name in ("minimum", "maximum"):
            object.__setattr__(self, name, real(getattr(self, name), f"{name} of the reference scores"))
        if not self.maximum > self.minimum or not math.isfinite(self.span):
            raise TransferError(
                f"reference scores of table '{self.table}' need maximum > minimum, got minimum {self.minimum} and "
                f"maximum {self.maximum}"
            )

    @property
    def span(self) -> float:
        """Maximum minus minimum, in units of return; returns are conditioned as return-to-go / span."""
        return self.maximum - self.minimum

    def score(self, returns: FloatOrArray) -> FloatOrArray:
        """Normalised score of undiscounted returns: 100 * (return - minimum) / (maximum - minimum)."""
        return 100.0 * (_numbers(returns, "returns") - self.minimum) / self.span

    def returns(self, score: FloatOrArray) -> FloatOrArray:
        """The return of a score: the inverse of `score`."""
        return self.minimum + _numbers(score, "score") * self.span / 100.0

    def to_json(self) -> dict[str, Any]:
        """Plain values for a JSON file; `from_json` restores an equal object."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> ReferenceScores:
        """The inverse of `to_json`. Raises TransferError for other keys and values."""
        check_keys("the reference scores", data, [f.name for f in fields(cls)])
        return cls(**data)

    @classmethod
    def of_returns(cls, returns: NDArray[np.float64], least: float | None = None) -> ReferenceScores:
        """The scale of an environment in no table: the smallest and the largest return of its dataset.

        For returns that are equal, or differ by less than 1e-4 of the largest one, the minimum is the maximum minus its
        size (at least 1).

        Args:
            returns: (E,) one for each episode.
            least: the return of doing nothing, if it is known. It is the minimum then, at least 1 below the maximum.
                Returns below it come from other rewards, and it is ignored.
        """
        returns = own(returns, "returns", 1, np.float64)
        if not len(returns) or not np.isfinite(returns).all():
            raise TransferError(f"a scale is measured on finite returns, one at least; got {seen(returns)}")
        low, high = float(returns.min()), float(returns.max())
        if least is not None and low >= least:
            return cls("dataset", least, max(high, least + 1.0))
        if least is not None:
            warn_once(
                logger,
                f"returns go down to {low:g}, where {least:g} is known as the lowest: the rewards are others, "
                "so the scale starts at the data's smallest return",
            )
        if high - low > _LEAST_SPAN * max(abs(low), abs(high)):
            _warn_of_outliers(returns)
            return cls("dataset", low, high)
        below = high - max(abs(high), 1.0)
        warn_once(logger, f"returns of {low:g} to {high:g} are equal but for noise: a score of 0 is set to {below:g}")
        return cls("dataset", below, high)


def _warn_of_outliers(returns: NDArray[np.float64]) -> None:
    """Warns if most returns (E,) are equal on the scale of all, so that targets cannot tell them apart."""
    low, few, most, high = np.quantile(returns, [0.0, 0.1, 0.9, 1.0])
    if 0 < most - few < _LEAST_SPAN * (high - low):
        warn_once(
            logger,
            f"returns go from {low:g} to {high:g}, but most of them from {few:g} to {most:g}: on the scale of all, "
            "which targets are on, these are equal. Leave the episodes with the outermost rewards out",
        )


def _numbers(values: Any, name: str) -> Any:
    """An array as it is, or a number. Raises TransferError for anything else."""
    return values if isinstance(values, np.ndarray) and values.dtype.kind in "iuf" else real(values, name)
