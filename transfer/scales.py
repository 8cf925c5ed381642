"""What a dataset says about its environment, and the scales that states, actions and returns are put on by it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from transfer.calibration import Calibration
from transfer.errors import TransferError, check_keys, check_type

FARTHEST = 10.0
"""Normalised states are clipped to this many deviations: beyond it no data say what a number means."""
LONGEST = 100_000
"""Steps of which the mean return-to-go is kept; later ones have that of the last."""
_SINGLE = ("return_span", "return_every")
_NUMBERS = ("state_mean", "state_std", "action_low", "action_high", "return_means", *_SINGLE)


@dataclass(frozen=True)
class Statistics:
    """What a dataset, and the policy's own episodes after its training, say about an environment.

    Attributes:
        state_mean, state_std: (S,); constant dimensions have a deviation of 1 (or more, where they are large).
        action_low, action_high: (A,) the environment's bounds, where it has none the data's.
        return_span: units of return that conditioning counts in.
        return_means: (K,) the data's mean return-to-go at steps `return_every` apart, which is subtracted before that;
            empty where a table has the scale of returns.
        return_every: steps between two of them.
        return_quantiles: {"p50": ..., "p95": ..., "max": ...} of the episode returns, raw.
        calibration: asked against achieved returns; None before it was measured.
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
        for name in _NUMBERS:
            value = np.float32(_finite(getattr(self, name), name, single=name in _SINGLE))  # as buffers hold them
            object.__setattr__(self, name, tuple(value.tolist()) if value.ndim else float(value))
        object.__setattr__(self, "return_quantiles", _quantiles(self.return_quantiles))
        if self.calibration is not None:
            check_type(self.calibration, Calibration, "calibration")
        self._check()

    def _check(self) -> None:
        """Raise TransferError where the numbers contradict each other."""
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
        if self.return_span <= 0 or self.return_every <= 0:
            raise TransferError(
                f"statistics: return_span={self.return_span} and return_every={self.return_every} are above 0."
            )

    @property
    def best_target(self) -> float:
        """The raw return to ask for: the calibration's best, before that the 95th percentile of the dataset.

        Raises:
            TransferError: neither is known.
        """
        if self.calibration is not None:
            return self.calibration.best
        if "p95" not in self.return_quantiles:
            raise TransferError("the statistics name no return to ask for: give one as target_return.")
        return self.return_quantiles["p95"]

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Statistics:
        """The inverse of `dataclasses.asdict`.

        Raises:
            TransferError: a key is missing or not known, or a value is none of statistics.
        """
        check_keys("the statistics", check_type(data, dict, "statistics"), [f.name for f in fields(cls)])
        measured = data["calibration"]
        return cls(**{**data, "calibration": None if measured is None else Calibration.from_json(measured)})


def _finite(value: Any, name: str, single: bool = True) -> Any:
    """A number as a float, or several as a tuple of floats, all finite and within float32."""
    try:
        given = np.asarray(value)
        numbers = given.astype(np.float64) if given.dtype.kind in "iuf" else np.array(np.nan)
    except (TypeError, ValueError, OverflowError):
        numbers = np.array(np.nan)
    if numbers.ndim != (0 if single else 1) or not (np.abs(numbers) <= np.finfo(np.float32).max).all():
        raise TransferError(
            f"statistics: {name} is {value!r:.80}; {'a finite number is' if single else 'finite numbers are'} needed."
        )
    return float(numbers) if single else tuple(numbers.tolist())


def _quantiles(given: Any) -> dict[str, float]:
    if not isinstance(given, Mapping):
        raise TransferError(f"statistics: return_quantiles is {given!r:.80}, it maps names to returns.")
    return {str(key): _finite(value, f"return_quantiles['{key}']") for key, value in given.items()}


class ActionRange(NamedTuple):
    """Bounds of actions, (A,) each, and what lies half way and from there to either end.

    Bounds of -1 and 1 change nothing, to the bit.
    """

    low: Tensor
    high: Tensor
    middle: Tensor
    half: Tensor

    def inward(self, actions: Tensor) -> Tensor:
        """The environment's actions (..., A) -> scaled ones, -1 to 1; those outside the bounds count as at them."""
        return ((actions - self.middle) / self.half).clamp(-1, 1)

    def outward(self, actions: Tensor) -> Tensor:
        """Scaled actions (..., A) -> the environment's, within its bounds."""
        return torch.addcmul(self.middle, actions, self.half).clamp(self.low, self.high)


class ReturnScale(NamedTuple):
    """What is subtracted from the returns still wanted at each step, (L,), or nothing; and what they are divided by."""

    means: Tensor | None
    span: Tensor

    def of(self, returns: Tensor, times: Tensor) -> Tensor:
        """What `Scales.scale_returns` gives."""
        if self.means is not None:
            returns = returns - self.means.take(times.clamp(max=len(self.means) - 1))
        return returns / self.span


class Scales(nn.Module):
    """The numbers of `Statistics` as buffers, on the device of the model, and the scales that they make.

    They decide actions as weights do, so they are saved with them, and `state_dict` and fingerprints hold them. This is
    their one store: `statistics` reads it.

    Args:
        statistics: of the dataset.
    """

    state_mean: Tensor
    state_std: Tensor
    action_low: Tensor
    action_high: Tensor
    return_span: Tensor
    return_means: Tensor
    return_every: Tensor

    def __init__(self, statistics: Statistics) -> None:
        super().__init__()
        for name in _NUMBERS:
            self.register_buffer(name, torch.tensor(getattr(statistics, name), dtype=torch.float32))
        self._quantiles, self._calibration = dict(statistics.return_quantiles), statistics.calibration

    @property
    def statistics(self) -> Statistics:
        """What the buffers say now."""
        numbers = {name: getattr(self, name).tolist() for name in _NUMBERS}
        return Statistics(**numbers, return_quantiles=self._quantiles, calibration=self._calibration)

    def keep_calibration(self, calibration: Calibration) -> None:
        """Make asked and achieved returns part of the statistics."""
        self._calibration = calibration

    def get_extra_state(self) -> Tensor:
        """What the default target comes from, as JSON in bytes: of any length, and a tensor, as all of `state_dict`."""
        calibration = None if self._calibration is None else asdict(self._calibration)
        text = json.dumps({"return_quantiles": self._quantiles, "calibration": calibration})
        return torch.tensor(list(text.encode()), dtype=torch.uint8, device="cpu")

    def set_extra_state(self, state: Tensor) -> None:
        """The inverse of `get_extra_state`."""
        stored = json.loads(bytes(state.tolist()))
        said = Statistics.from_json({**asdict(replace(self.statistics, calibration=None)), **stored})
        self._quantiles, self._calibration = said.return_quantiles, said.calibration

    def scale_states(self, states: Tensor) -> Tensor:
        """Raw states (..., S) -> deviations from the mean, at most `FARTHEST` of them."""
        return ((states - self.state_mean) / self.state_std).clamp_(-FARTHEST, FARTHEST)

    def action_range(self) -> ActionRange:
        """How actions are scaled now."""
        low, high = self.action_low / 2, self.action_high / 2  # halves, for a sum of two bounds may be infinite
        half = high - low
        return ActionRange(self.action_low, self.action_high, low + high, torch.where(half > 0, half, 1.0))

    def scale_actions(self, actions: Tensor) -> Tensor:
        """The environment's actions (..., A) -> -1 to 1."""
        return self.action_range().inward(actions)

    def scale_returns(self, returns: Tensor, times: Tensor) -> Tensor:
        """Raw returns still wanted at some steps, both (...) -> parts of the span above the data's mean, where kept."""
        if self.return_means.numel():
            returns = returns - self._expected(times)
        return returns / self.return_span

    def return_scale(self) -> ReturnScale:
        """How returns are scaled now, with the mean of every step: for who scales few returns many times."""
        steps = round(float(self.return_every) * (len(self.return_means) - 1)) + 1
        if not self.return_means.numel():
            return ReturnScale(None, self.return_span)
        return ReturnScale(self._expected(torch.arange(steps, device=self.return_span.device)), self.return_span)

    def _expected(self, times: Tensor) -> Tensor:
        """The mean return-to-go at steps (...), linear between those that are kept."""
        last = len(self.return_means) - 1
        place = (times / self.return_every).clamp(0, last)
        before = place.long().clamp(max=last - 1)
        return torch.lerp(self.return_means[before], self.return_means[before + 1], place - before)
