"""The planner of a policy without memory."""

from __future__ import annotations

from torch import Tensor

from transfer.models.acting import Step
from transfer.models.mlp import MLPPolicy
from transfer.runtime.process import inference_only
from transfer.storage.snapshot import snapshot


class DirectPlanner:
    """Actions of an `MLPPolicy`, from the step alone.

    Args:
        model: acted with as it is now.
        envs: E; nothing depends on it.
        decode: how action dimensions are chosen; they are predicted at once in every case.
    """

    def __init__(self, model: MLPPolicy, envs: int, decode: str) -> None:
        self.model = snapshot(model)
        self.range, self.scale = self.model.scales.action_range(), self.model.scales.return_scale()

    @inference_only
    def act(self, step: Step) -> Tensor:
        """The environments' actions (E, A)."""
        dtype = self.model.out.weight.dtype
        returns = self.scale.of(step.returns.to(dtype), step.times)
        return self.range.outward(self.model.predict(step.states.to(dtype), returns))

    def select(self, rows: Tensor) -> None:
        """Go on with some environments: there is no past to reorder."""
