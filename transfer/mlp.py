"""The control without a trunk: a policy that sees one step."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from transfer.adapter import Statistics
from transfer.base import PolicyModel
from transfer.batch import Batch
from transfer.calibration import Calibration
from transfer.seeding import seeded
from transfer.specs import EnvironmentSpec


class MLPPolicy(PolicyModel):
    """Two hidden layers with GELU from (normalised state, scaled return-to-go) to the action; squared error.

    Made as large as what another mode trains, so that the two differ in the trunk and not in size. Behaves as a
    `TransferModel` does in training and evaluation.

    Args:
        env_spec: the environment.
        statistics: of its dataset.
        hidden: width of the hidden layers; `hidden_for` finds it from a count.
        seed: of the weights.
    """

    state_mean: Tensor
    state_std: Tensor

    def __init__(self, env_spec: EnvironmentSpec, statistics: Statistics, hidden: int, seed: int = 0) -> None:
        super().__init__()
        self._env_spec, self._statistics, self.hidden = env_spec, statistics, hidden
        with seeded(seed, "mlp"):
            self.fc_1 = nn.Linear(env_spec.state_size + 1, hidden)
            self.fc_2 = nn.Linear(hidden, hidden)
            self.out = nn.Linear(hidden, env_spec.action_size)
        self.register_buffer("state_mean", torch.tensor(statistics.state_mean, dtype=torch.float32), persistent=False)
        self.register_buffer("state_std", torch.tensor(statistics.state_std, dtype=torch.float32), persistent=False)

    @staticmethod
    def hidden_for(env_spec: EnvironmentSpec, numbers: int) -> int:
        """The hidden width with which the policy has as close to `numbers` numbers as it can.

        h (S + 1) + h + h^2 + h + h A + A = numbers, solved for h.
        """
        b = env_spec.state_size + env_spec.action_size + 3
        exact = (-b + math.sqrt(b * b + 4 * max(numbers - env_spec.action_size, 1))) / 2
        return max(1, round(exact))

    @property
    def device(self) -> torch.device:
        """Where the weights lie."""
        return self.out.weight.device

    @property
    def env_spec(self) -> EnvironmentSpec:
        """The environment it acts in."""
        return self._env_spec

    @property
    def statistics(self) -> Statistics:
        """Of the dataset it learned from."""
        return self._statistics

    @property
    def context(self) -> int:
        """One: it sees a step at a time."""
        return 1

    def keep_calibration(self, calibration: Calibration) -> None:
        """Store it with the statistics."""
        self._statistics = replace(self._statistics, calibration=calibration)

    @property
    def tokens_per_step(self) -> int:
        """One: a step is seen as a whole."""
        return 1

    def parts(self) -> dict[str, nn.Module]:
        """One part, `mlp`."""
        return {"mlp": self}

    def forward(self, states: Tensor, returns: Tensor) -> Tensor:
        """States (..., S) and returns still wanted (...) -> actions (..., A)."""
        inputs = [(states - self.state_mean) / self.state_std, returns[..., None] / self.env_spec.reference.span]
        x = F.gelu(self.fc_1(torch.cat(inputs, -1)))
        return torch.tanh(self.out(F.gelu(self.fc_2(x))))

    def loss(self, batch: Batch, precision: torch.dtype = torch.float32) -> tuple[Tensor, Tensor]:
        """Sum of squared errors over real steps and dimensions, and how many there were; always float32."""
        error = (self(batch.states, batch.returns) - batch.actions).square() * batch.mask[..., None]
        return error.sum(), batch.mask.sum() * batch.actions.shape[-1]

    def save(self, folder: Path) -> Path:
        """Write `mlp.json` and `mlp.safetensors`. See `transfer.checkpoint`."""
        from transfer.checkpoint import save_mlp

        return save_mlp(self, folder)

    @classmethod
    def load(cls, folder: Path) -> MLPPolicy:
        """Read a saved policy; raises TransferError for a missing, truncated or edited one."""
        from transfer.checkpoint import load_mlp

        return load_mlp(folder)

    def stream(self, rows: int, context: int, decode: str) -> MLPStream:
        """Actions step by step; nothing is remembered."""
        return MLPStream(self)


class MLPStream:
    """The interface of `transfer.streaming.Stream` for a policy without memory."""

    def __init__(self, model: MLPPolicy) -> None:
        self.model = model

    def step(self, states: Tensor, returns: Tensor, times: Tensor) -> Tensor:
        """States (E, S) and returns (E,) -> actions (E, A)."""
        actions: Tensor = self.model(states, returns)
        return actions

    def select(self, rows: Tensor) -> None:
        """Nothing to drop."""
