"""The planner of `MLPPolicy`, which has no memory."""

from __future__ import annotations

from torch import Tensor

from transfer.models.acting import Step
from transfer.models.mlp import MLPPolicy
from transfer.runtime.process import inference_only
from transfer.storage.snapshot import snapshot


class DirectPlanner:
    """Actions of an `MLPPolicy`, from the step alone.

    Args:
        model: its weights are copied.
        envs: E; nothing depends on it.
        decode: nothing depends on it; all action dimensions are predicted at once.
    """

    def __init__(self, model: MLPPolicy, envs: int, decode: str) -> None:
        self.model = snapshot(model)
        self.range = self.model.scales.action_range()

    @inference_only
    def act(self, step: Step) -> Tensor:
        """The environments' actions (E, A)."""
        dtype = self.model.out.weight.dtype
        returns = self.model.scales.scale_returns(step.columns["returns"].to(dtype), step.times)
        return self.range.outward(self.model.predict(step.states.to(dtype), returns))

    def select(self, rows: Tensor) -> None:
        """Keep some environments; no state to reorder."""
