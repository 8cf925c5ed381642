"""The control without a trunk: a policy with a context of one step."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from transfer import registry
from transfer.data.batch import Batch
from transfer.data.environment.building.recording import warn_of_gaps
from transfer.data.environment.spec import EnvironmentSpec
from transfer.data.measured.calibration_table import Calibration
from transfer.data.measured.dataset_statistics import Statistics, check_sizes
from transfer.data.windows import WindowSpec
from transfer.errors import check_type
from transfer.models.acting import Command, PolicyModel
from transfer.models.steps.group import Loss
from transfer.models.steps.scales import Scales
from transfer.numbers import MOST_WIDTH, whole
from transfer.runtime.seeding import seeded
from transfer.storage import format_2
from transfer.storage.checkpoints import Checkpoint, Older


class MLPPolicy(PolicyModel):
    """Two hidden layers with GELU from (normalised state, scaled return to go) to the scaled action; squared error.

    It has about as many trainable parameters as the mode it is compared with, so the two differ in the trunk alone.
    Training and evaluation treat it as a `TransferModel`.

    Args:
        env_spec: the environment.
        statistics: of its dataset.
        hidden: width of the hidden layers; `hidden_for` computes it from a number of parameters.
        seed: of the weights.
    """

    planner = "direct"
    stepwise = True
    windows = WindowSpec(columns=("returns",))
    context = 1

    def __init__(self, env_spec: EnvironmentSpec, statistics: Statistics, hidden: int, seed: int = 0) -> None:
        super().__init__()
        check_sizes(statistics, check_type(env_spec, EnvironmentSpec, "env_spec"))
        self.hidden = hidden = whole(hidden, "hidden", 1, MOST_WIDTH)
        self._env_spec, self.scales = env_spec, Scales(statistics, env_spec)
        with seeded(seed, "mlp"):
            self.fc_1 = nn.Linear(env_spec.state_size + 1, hidden)
            self.fc_2 = nn.Linear(hidden, hidden)
            self.out = nn.Linear(hidden, env_spec.action_size)

    @staticmethod
    def hidden_for(env_spec: EnvironmentSpec, parameters: int) -> int:
        """The hidden width for a number of parameters.

        h (S + 1) + h + h^2 + h + h A + A = parameters, solved for h.
        """
        b = env_spec.state_size + env_spec.action_size + 3
        exact = (-b + math.sqrt(b * b + 4 * max(parameters - env_spec.action_size, 1))) / 2
        return max(1, round(exact))

    @property
    def env_spec(self) -> EnvironmentSpec:
        """The environment."""
        return self._env_spec

    @property
    def statistics(self) -> Statistics:
        """Of its dataset."""
        return self.scales.statistics

    def keep_calibration(self, calibration: Calibration) -> None:
        """Store it with the statistics."""
        self.scales.keep_calibration(calibration)

    def decides(self) -> dict[str, Any]:
        """Settings that decide its computation besides its tensors, for its fingerprint."""
        return {"slices": [asdict(one) for one in self.env_spec.slices]}

    def asked(self, ask: Mapping[str, Any]) -> dict[str, float]:
        """The raw return to go at the start; default: the calibration's best, else the dataset's 95th percentile."""
        found: dict[str, float] = registry.resolve("command", "return asked")(self.statistics, ask)
        return found

    def command(self, seeds: NDArray[np.int64], asked: Mapping[str, float]) -> Command:
        """Counts the return down."""
        command: Command = registry.resolve("command", "return")(asked, len(seeds))
        return command

    def parts(self) -> dict[str, nn.Module]:
        """One part, `mlp`."""
        return {"mlp": self}

    def predict(self, states: Tensor, returns: Tensor) -> Tensor:
        """States (..., S) and scaled returns to go (...) -> scaled actions (..., A), -1 to 1."""
        x = F.gelu(self.fc_1(torch.cat([self.scales.scale_states(states), returns[..., None]], -1)))
        return torch.tanh(self.out(F.gelu(self.fc_2(x))))

    def tokens(self, batch: Batch) -> int:
        """One a step."""
        return batch.mask.numel()

    def loss(self, batch: Batch, precision: torch.dtype = torch.float32) -> dict[str, Loss]:
        """Squared errors over real steps and dimensions; always float32."""
        predicted = self.predict(batch.states, self.scales.scale_returns(batch.column("returns"), batch.times))
        error = (predicted - self.scales.scale_actions(batch.actions)).square() * batch.mask[..., None]
        return {"action": Loss(error.sum(), batch.mask.sum() * batch.actions.shape[-1])}

    def action_error(self, batch: Batch) -> Loss:
        """Its loss."""
        return self.loss(batch)["action"]

    def save(self, folder: str | Path) -> Path:
        """Write `mlp.json` and `mlp.safetensors` into a folder, whose other files stay; logs as `warn_of_gaps`."""
        warn_of_gaps(self.env_spec.gym_spec)
        return SAVED.save(self, folder)

    @classmethod
    def load(cls, folder: str | Path) -> MLPPolicy:
        """Read a saved policy. Raises TransferError for missing, truncated or edited files and for another kind."""
        return SAVED.load(folder)

    def to_json(self) -> dict[str, Any]:
        """The values of `mlp.json`, in the order of its keys."""
        return {"environment": self.env_spec.to_json(), "statistics": asdict(self.statistics), "hidden": self.hidden}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> MLPPolicy:
        """A policy with fresh weights, from what `to_json` returned. Raises TransferError for an unsound value."""
        statistics = Statistics.from_json(content["statistics"])
        return cls(EnvironmentSpec.from_json(content["environment"]), statistics, content["hidden"])


SAVED = Checkpoint(
    name="mlp",
    what="an MLP",
    source="adapt(None, episodes, 'mlp') makes one; a run keeps it in mlp/SEED/mlp.",
    keys=("environment", "statistics", "hidden"),
    content=MLPPolicy.to_json,
    build=MLPPolicy.from_json,
    older=Older(keys=("environment", "statistics", "hidden"), content=format_2.without_targets),
)
