"""The planner of `MLPPolicy`, which has no memory."""

from __future__ import annotations

from torch import Tensor

from transfer.data.batch import Steps
from transfer.decoding.history import NO_ACTIONS
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
        self.model.scales.fix()

    @inference_only
    def act(self, step: Step) -> Tensor:
        """The environments' actions (E, A)."""
        dtype, states, times = self.model.out.weight.dtype, step.states[:, None], step.times[:, None]
        columns = {name: column.to(dtype)[:, None] for name, column in step.columns.items()}
        steps = Steps(states=states, actions=NO_ACTIONS, rewards=NO_ACTIONS, times=times, columns=columns)
        conditions = [values[:, 0] for values in self.model.conditioned(steps)]
        actions = self.model.predict(step.states.to(dtype), *conditions)
        return self.model.scales.action_range().outward(actions)

    def select(self, rows: Tensor) -> None:
        """Keep some environments; no state to reorder."""
