"""The scales of states, actions and returns, as buffers of a model."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import asdict, replace
from typing import NamedTuple

import torch
from torch import Tensor, nn

from transfer.data.environment.spec import EnvironmentSpec
from transfer.data.measured.calibration_table import Calibration
from transfer.data.measured.dataset_statistics import NUMERIC, Statistics
from transfer.errors import TransferError, check_type
from transfer.storage.files import parse_json

FARTHEST = 10.0
"""Normalised states are clipped to this many standard deviations."""


class ActionRange(NamedTuple):
    """Bounds of actions, their middle and half their width, (A,) each; bounds of -1 and 1 leave actions as they are.

    A bound becomes -1 or 1, and comes back, to the bit: rounded, `middle + half` may be next to the bound.

    Attributes:
        exact: whether it is known that neither is, as of bounds around 0.
    """

    low: Tensor
    high: Tensor
    middle: Tensor
    half: Tensor
    exact: bool = False

    def inward(self, actions: Tensor) -> Tensor:
        """The environment's actions (..., A) -> scaled ones, -1 to 1; actions outside the bounds are clipped."""
        scaled = ((actions - self.middle) / self.half).clamp(-1, 1)
        scaled = torch.where((actions <= self.low) & self._wide(), -1.0, scaled)
        return torch.where((actions >= self.high) & self._wide(), 1.0, scaled)

    def outward(self, actions: Tensor) -> Tensor:
        """Scaled actions (..., A) -> the environment's, within its bounds."""
        inside = torch.addcmul(self.middle, actions, self.half).clamp(self.low, self.high)
        if self.exact:
            return inside
        return torch.where(actions <= -1, self.low, torch.where(actions >= 1, self.high, inside))

    def each(self, change: Callable[[Tensor], Tensor]) -> ActionRange:
        """The same, with each tensor changed: those of some dimensions, or on another device."""
        return ActionRange(change(self.low), change(self.high), change(self.middle), change(self.half), self.exact)

    def _wide(self) -> Tensor:
        """(A,) whether the bounds differ; data of a single action scale to 0."""
        return self.low < self.high


class Scales(nn.Module):
    """`Statistics` as buffers, on the device of the model, and the scales made of them.

    They decide actions as weights do: they are saved with the weights and count in the fingerprint. `statistics` reads
    them.

    Args:
        statistics: of the dataset.
        env_spec: the environment.
    """

    state_mean: Tensor
    state_std: Tensor
    action_low: Tensor
    action_high: Tensor
    return_span: Tensor
    return_means: Tensor
    return_every: Tensor

    def __init__(self, statistics: Statistics, env_spec: EnvironmentSpec) -> None:
        super().__init__()
        self.env_spec = env_spec
        for name in NUMERIC:
            self.register_buffer(name, torch.tensor(getattr(statistics, name), dtype=torch.float32))
        self._quantiles, self._calibration = dict(statistics.return_quantiles), statistics.calibration
        self._range: ActionRange | None = None
        self._means: Tensor | None = None

    @property
    def statistics(self) -> Statistics:
        """The statistics that the buffers hold now."""
        values = {name: getattr(self, name).tolist() for name in NUMERIC}
        return Statistics(**values, return_quantiles=self._quantiles, calibration=self._calibration)

    def keep_calibration(self, calibration: Calibration | None) -> None:
        """Store target and achieved returns with the statistics, or none. Raises TransferError for anything else."""
        if calibration is not None:
            check_type(calibration, Calibration, "calibration", "calibrate(model) measures one.")
        self._calibration = calibration

    def get_extra_state(self) -> Tensor:
        """Quantiles and calibration as JSON in a tensor of bytes: `state_dict` holds tensors only."""
        calibration = None if self._calibration is None else asdict(self._calibration)
        text = json.dumps({"return_quantiles": self._quantiles, "calibration": calibration})
        return torch.tensor(list(text.encode()), dtype=torch.uint8, device="cpu")

    def set_extra_state(self, state: Tensor) -> None:
        """The inverse of `get_extra_state`. Raises TransferError for anything else."""
        what = "the extra state of scales"
        if check_type(state, Tensor, what).dtype != torch.uint8 or state.dim() != 1 or state.is_meta:
            raise TransferError(f"{what} is a tensor of {state.dtype} {tuple(state.shape)}; bytes of JSON are needed.")
        stored = parse_json(bytes(state.tolist()), what)
        found = Statistics.from_json({**asdict(replace(self.statistics, calibration=None)), **stored})
        self._quantiles, self._calibration = found.return_quantiles, found.calibration

    def scale_states(self, states: Tensor) -> Tensor:
        """Raw states (..., S) -> standard deviations from the mean, at most `FARTHEST`."""
        return ((states - self.state_mean) / self.state_std).clamp_(-FARTHEST, FARTHEST)

    def fix(self) -> None:
        """Compute once what the buffers say of actions and of each step's return: they will not change any more."""
        scale = self.action_range()
        self._range = scale._replace(exact=bool(((scale.middle == 0) & (scale.half == scale.high)).all()))
        if self.return_means.numel():
            steps = (len(self.return_means) - 1) * math.ceil(float(self.return_every)) + 1
            self._means = self._mean(torch.arange(steps, device=self.return_means.device))

    def action_range(self) -> ActionRange:
        """The scale of actions as the buffers hold it now, or held it when they were fixed."""
        if self._range is not None:
            return self._range
        low, high = self.action_low / 2, self.action_high / 2  # halves, for a sum of two bounds may be infinite
        half = high - low
        return ActionRange(self.action_low, self.action_high, low + high, torch.where(half > 0, half, 1.0))

    def scale_actions(self, actions: Tensor) -> Tensor:
        """The environment's actions (..., A) -> -1 to 1."""
        return self.action_range().inward(actions)

    def scale_returns(self, returns: Tensor, times: Tensor) -> Tensor:
        """Raw returns to go and their steps, both (...) -> returns less the data's mean where kept, over the span."""
        if self.return_means.numel():
            returns = returns - self._mean(times)
        return returns / self.return_span

    def _mean(self, times: Tensor) -> Tensor:
        """The mean return to go at steps (...), linear between those that are kept."""
        if self._means is not None:
            return self._means[times.clamp(max=len(self._means) - 1)]
        last = len(self.return_means) - 1
        place = (times / self.return_every).clamp(0, last)
        before = place.long().clamp(max=last - 1)
        return torch.lerp(self.return_means[before], self.return_means[before + 1], place - before)
