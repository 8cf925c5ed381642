"""Statistics of a dataset: states, actions and returns."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np

from transfer.data.environment.spec import EnvironmentSpec
from transfer.data.measured.calibration_table import Calibration
from transfer.errors import TransferError, check_keys, check_type

LONGEST = 100_000
"""Steps up to which the mean return to go is kept; later steps use the last mean."""
_SINGLE = ("return_span", "return_every")
NUMERIC = ("state_mean", "state_std", "action_low", "action_high", "return_means", *_SINGLE)
"""Fields of float32 numbers, in the order of the buffers of `transfer.models.steps.scales.Scales`."""


@dataclass(frozen=True)
class Statistics:
    """Statistics of a dataset and, after training, the calibration of a policy.

    Attributes:
        state_mean, state_std: (S,); constant dimensions have a deviation of 1 (or more, where they are large).
        action_low, action_high: (A,) the environment's bounds, or the data's for actions without bounds.
        return_span: divides returns to go.
        return_means: (K,) the data's mean return to go at steps `return_every` apart, which is subtracted first; empty
            if a reference table gives the scale of returns.
        return_every: steps between two of these means.
        return_quantiles: {"p50": ..., "p95": ..., "max": ...} of the episode returns, raw.
        calibration: target and achieved returns; None before they are measured.

    Raises:
        TransferError: a value is not finite, sizes differ, or values contradict each other.
    """

    state_mean: tuple[float, ...]
    state_std: tuple[float, ...]
    action_low: tuple[float, ...]
    action_high: tuple[float, ...]
    return_span: float
    return_means: tuple[float, ...] = ()
    return_every: float = 1.0
    return_quantiles: dict[str, float] = field(default_factory=dict)
    calibration: Calibration | None = None

    def __post_init__(self) -> None:
        for name in NUMERIC:
            value = np.float32(_finite(getattr(self, name), name, single=name in _SINGLE))  # as buffers hold them
            object.__setattr__(self, name, tuple(value.tolist()) if value.ndim else float(value))
        given = self.return_quantiles
        if not isinstance(given, Mapping):
            raise TransferError(f"statistics: return_quantiles is {given!r:.80}, it maps names to returns.")
        quantiles = {str(key): _finite(value, f"return_quantiles['{key}']") for key, value in given.items()}
        object.__setattr__(self, "return_quantiles", quantiles)
        if self.calibration is not None:
            check_type(self.calibration, Calibration, "calibration")
        self._check()

    def _check(self) -> None:
        """Raises TransferError if values contradict each other."""
        for one, other in (("state_mean", "state_std"), ("action_low", "action_high")):
            sizes = len(getattr(self, one)), len(getattr(self, other))
            if sizes[0] != sizes[1] or not sizes[0]:
                raise TransferError(f"statistics: {one} and {other} have {sizes[0]} and {sizes[1]} numbers.")
        if min(self.state_std) <= 0:
            raise TransferError(f"statistics: state_std holds {min(self.state_std)}, deviations are above 0.")
        for low, high in zip(self.action_low, self.action_high, strict=True):
            if low > high:
                raise TransferError(f"statistics: actions from {low} to {high}.")
        if len(self.return_means) == 1:
            raise TransferError("statistics: return_means has 1 number, a line needs 2 or more.")
        if len(self.return_means) * self.return_every > 2 * LONGEST:
            raise TransferError(f"statistics: return_every={self.return_every} is beyond {LONGEST:,} steps.")
        for name in _SINGLE:
            if getattr(self, name) <= 0:
                raise TransferError(f"statistics: {name}={getattr(self, name)} must be above 0.")

    @property
    def best_target(self) -> float:
        """The default target, raw: the calibration's best or else the dataset's 95th percentile; TransferError else."""
        if self.calibration is not None:
            return self.calibration.best
        if "p95" not in self.return_quantiles:
            raise TransferError(
                "the statistics hold no return to ask for: give target (a score) or target_return (a raw return)."
            )
        return self.return_quantiles["p95"]

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Statistics:
        """The inverse of `dataclasses.asdict`. Raises TransferError for a missing or unknown key, or another type."""
        check_keys("the statistics", check_type(data, dict, "statistics"), [f.name for f in fields(cls)])
        measured = data["calibration"]
        return cls(**{**data, "calibration": None if measured is None else Calibration.from_json(measured)})


def check_sizes(statistics: Statistics, env_spec: EnvironmentSpec) -> None:
    """Raises TransferError unless statistics have the sizes of an environment."""
    check_type(statistics, Statistics, "statistics", "transfer.data.measured.measure.measure makes some.")
    have = len(statistics.state_mean), len(statistics.action_low)
    if have != (env_spec.state_size, env_spec.action_size):
        raise TransferError(
            f"statistics of {have[0]} state numbers and {have[1]} action numbers for '{env_spec.name}', which has "
            f"{env_spec.state_size} and {env_spec.action_size}."
        )


def _finite(value: Any, name: str, single: bool = True) -> Any:
    """A number as a float, or several as a tuple of floats, all finite and within float32."""
    numbers = np.array(np.nan)
    with contextlib.suppress(TypeError, ValueError, OverflowError):
        if (given := np.asarray(value)).dtype.kind in "iuf":
            numbers = given.astype(np.float64)
    if numbers.ndim != (0 if single else 1) or not (np.abs(numbers) <= np.finfo(np.float32).max).all():
        raise TransferError(
            f"statistics: {name} is {value!r:.80}; {'a finite number is' if single else 'finite numbers are'} needed."
        )
    return float(numbers) if single else tuple(numbers.tolist())
