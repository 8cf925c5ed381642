"""The control without a trunk: a policy with a context of one step."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from types import MappingProxyType
from typing import Any, cast

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from transfer import registry
from transfer.data.batch import Batch, Steps
from transfer.data.environment.building.recording import warn_of_gaps
from transfer.data.environment.spec import EnvironmentSpec
from transfer.data.measured.calibration_table import Calibration
from transfer.data.measured.dataset_statistics import Statistics, check_sizes
from transfer.errors import TransferError, check_type
from transfer.models.acting import Command, PolicyModel
from transfer.models.steps.group import Loss
from transfer.models.steps.method import make_method
from transfer.models.steps.scales import Scales
from transfer.models.trunk import DEFAULT_METHOD
from transfer.numbers import MOST_WIDTH, whole
from transfer.registry import PartSpec
from transfer.runtime.seeding import seeded
from transfer.storage import format_2
from transfer.storage.checkpoints import Checkpoint, Older


class MLPPolicy(PolicyModel):
    """Two hidden layers with GELU from the normalised state and the conditions of a method to the scaled action.

        dt: state, return to go        bc: state        udrl: state, return to go, horizon

    It is trained on the squared error, and asked for what the method is asked for. It has about as many trainable
    parameters as the mode it is compared with, so the two differ in the trunk alone. Training and evaluation treat it
    as a `TransferModel`.

    Args:
        env_spec: the environment.
        statistics: of its dataset.
        hidden: width of the hidden layers; `hidden_for` computes it from a number of parameters.
        seed: of the weights.
        method: whose conditions it takes.
        arguments: of the method's extras by name, as `Method.fit` measures them.
    """

    planner = "direct"
    stepwise = True
    context = 1

    def __init__(
        self,
        env_spec: EnvironmentSpec,
        statistics: Statistics,
        hidden: int,
        seed: int = 0,
        method: PartSpec = DEFAULT_METHOD,
        arguments: Mapping[str, Mapping[str, Any]] = MappingProxyType({}),
    ) -> None:
        super().__init__()
        check_sizes(statistics, check_type(env_spec, EnvironmentSpec, "env_spec"))
        self.hidden = hidden = whole(hidden, "hidden", 1, MOST_WIDTH)
        self._env_spec, self.scales = env_spec, Scales(statistics, env_spec)
        self.method_spec, self.method = method, make_method(method)
        self.windows, self.conditions = self.method.windows, self.method.conditions()
        made = {name: self.method.make(name, arguments[name]) for name in self.method.extras}
        self.measured = nn.ModuleDict(made)
        with seeded(seed, "mlp"):
            self.fc_1 = nn.Linear(env_spec.state_size + len(self.conditions), hidden)
            self.fc_2 = nn.Linear(hidden, hidden)
            self.out = nn.Linear(hidden, env_spec.action_size)

    @staticmethod
    def hidden_for(env_spec: EnvironmentSpec, parameters: int, conditions: int = 1) -> int:
        """The hidden width for a number of parameters, with c conditions.

        h (S + c) + h + h^2 + h + h A + A = parameters, solved for h.
        """
        b = env_spec.state_size + env_spec.action_size + conditions + 2
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

    def keep_calibration(self, calibration: Calibration | None) -> None:
        """Store it with the statistics."""
        self.scales.keep_calibration(calibration)

    def decides(self) -> dict[str, Any]:
        """Settings that decide its computation besides its tensors, for its fingerprint."""
        return {"slices": [asdict(one) for one in self.env_spec.slices], **self._told()}

    def _told(self) -> dict[str, Any]:
        """The method and its extras; nothing for the default one, which older files do not name."""
        if self.method_spec == DEFAULT_METHOD:
            return {}
        arguments = {name: cast(Any, part).arguments() for name, part in self.extras.items()}
        return {"method": self.method_spec.to_json(), "arguments": arguments}

    @property
    def extras(self) -> dict[str, nn.Module]:
        """Those of its method by name, which are no part that trains."""
        return dict(self.measured.items())

    def asked(self, ask: Mapping[str, Any]) -> dict[str, float]:
        """What it is asked for, complete; see its method. Raises TransferError where that asks a trunk."""
        with self._without_trunk():
            return self.method.asked(self, ask)

    def command(self, seeds: NDArray[np.int64], asked: Mapping[str, float]) -> Command:
        """The command of its method for E episodes, seeds (E,). Raises TransferError where that asks a trunk."""
        with self._without_trunk():
            return self.method.command(self, seeds, asked)

    @contextmanager
    def _without_trunk(self) -> Iterator[None]:
        try:
            yield
        except AttributeError as error:
            raise TransferError(
                f"the method '{self.method_spec.kind}' cannot be asked of a policy without a trunk: {error}. Leave "
                "mode 'mlp' out."
            ) from error

    def parts(self) -> dict[str, nn.Module]:
        """One part, `mlp`."""
        return {"mlp": self}

    def conditioned(self, steps: Steps) -> list[Tensor]:
        """The values (B, T) of each condition, scaled."""
        return [one.values(steps, self.scales)[..., 0] for one in self.conditions.values()]

    def predict(self, states: Tensor, *conditions: Tensor) -> Tensor:
        """States (..., S) and scaled conditions, (...) each -> scaled actions (..., A), -1 to 1."""
        x = torch.cat([self.scales.scale_states(states), *(one[..., None] for one in conditions)], -1)
        x = F.gelu(self.fc_1(x))
        return torch.tanh(self.out(F.gelu(self.fc_2(x))))

    def tokens(self, batch: Batch) -> int:
        """One a step."""
        return batch.mask.numel()

    def loss(self, batch: Batch, precision: torch.dtype = torch.float32) -> dict[str, Loss]:
        """Squared errors over real steps and dimensions; always float32."""
        predicted = self.predict(batch.states, *self.conditioned(batch))
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
        told = {"environment": self.env_spec.to_json(), "statistics": asdict(self.statistics), "hidden": self.hidden}
        return told | self._told()

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> MLPPolicy:
        """A policy with fresh weights, from what `to_json` returned. Raises TransferError for an unsound value."""
        statistics = Statistics.from_json(content["statistics"])
        method = registry.complete("method", PartSpec.of(content.get("method", DEFAULT_METHOD), "method"))
        spec, arguments = EnvironmentSpec.from_json(content["environment"]), content.get("arguments", {})
        return cls(spec, statistics, content["hidden"], method=method, arguments=arguments)


SAVED = Checkpoint(
    name="mlp",
    what="an MLP",
    source="adapt(None, episodes, 'mlp') makes one; a run keeps it in mlp/SEED/mlp.",
    keys=("environment", "statistics", "hidden"),
    content=MLPPolicy.to_json,
    build=MLPPolicy.from_json,
    optional=("method", "arguments"),
    older=Older(keys=("environment", "statistics", "hidden"), content=format_2.without_targets),
)
