"""The interfaces of models and their planners for training, evaluation and policies."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, ClassVar, NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

import transfer
from transfer.data.batch import Batch
from transfer.data.environment.spec import EnvironmentSpec
from transfer.data.measured.calibration_table import Calibration
from transfer.data.measured.dataset_statistics import Statistics
from transfer.data.windows import WindowSpec
from transfer.errors import TransferError
from transfer.models.steps.group import Loss
from transfer.numbers import seen


class Step(NamedTuple):
    """The inputs of a policy for one step of E environments.

    Attributes:
        states: (E, S), raw.
        rewards: (E,) float64 on the CPU, of the actions before; zero at the start of an episode.
        times: (E,), steps since the episode began.
        columns: numbers of a command, (E,) or (E, m), by name: "returns", "horizon", ...
    """

    states: Tensor
    rewards: Tensor
    times: Tensor
    columns: Mapping[str, Tensor] = MappingProxyType({})


class Command(Protocol):
    """What a policy is asked for in E episodes, counted down while they go on."""

    def columns(self, step: Step) -> Mapping[str, Tensor]:
        """The columns of a step, on the device of its states; called once for every step."""
        ...

    def select(self, rows: Tensor) -> None:
        """Keep the episodes of some indices, (R,) int64 in any order; an index may come several times."""
        ...


class Planner(Protocol):
    """Chooses actions for E environments, one step after another; it keeps their past."""

    def act(self, step: Step) -> Tensor:
        """The environments' actions (E, A), in their own bounds."""
        ...

    def select(self, rows: Tensor) -> None:
        """Keep the environments of some indices, (R,) int64 in any order; an index may come several times."""
        ...


class Trainable(nn.Module, ABC):
    """What `transfer.training.fit.fit` trains: a policy, or several policies on one trunk."""

    @property
    def device(self) -> torch.device:
        """Of the weights."""
        return next(self.parameters()).device

    @abstractmethod
    def parts(self) -> dict[str, nn.Module]:
        """Every selectable part by name."""

    @abstractmethod
    def members(self) -> Mapping[str, PolicyModel]:
        """The policies by the names of their batches; one alone is called ""."""

    @abstractmethod
    def tokens(self, batch: Any) -> int:
        """How many tokens a batch has, for counting them per second."""

    @abstractmethod
    def loss(self, batch: Any, precision: torch.dtype = torch.float32) -> dict[str, Loss]:
        """The terms of the objective by name; padding contributes to none."""

    def weighs(self) -> dict[str, float]:
        """The weights of its policies in the objective, by name; none where nothing else than 1 is possible."""
        return {}

    def forward(self, batch: Any, precision: torch.dtype = torch.float32) -> dict[str, Loss]:
        """`loss`, for `model(batch)` and for wrappers of modules (compilers, data parallelism)."""
        return self.loss(batch, precision)


class PolicyModel(Trainable):
    """A policy for one environment: `TransferModel`, or a control without a trunk.

    Attributes:
        planner: kind of its planner in `transfer.registry`.
        windows: what its training windows hold.
        stepwise: whether its loss is a sum over single steps, so that windows of any length train the same policy.
    """

    planner: str
    windows: WindowSpec
    stepwise: ClassVar[bool] = False

    def members(self) -> Mapping[str, PolicyModel]:
        """Itself alone."""
        return {"": self}

    @property
    @abstractmethod
    def env_spec(self) -> EnvironmentSpec:
        """The environment it acts in."""

    @property
    @abstractmethod
    def statistics(self) -> Statistics:
        """Of its dataset."""

    @property
    @abstractmethod
    def context(self) -> int:
        """T, steps that it is trained with and acts on."""

    @abstractmethod
    def keep_calibration(self, calibration: Calibration | None) -> None:
        """Store target and achieved returns with the statistics, or none; see `transfer.evaluation.calibration`."""

    @abstractmethod
    def asked(self, ask: Mapping[str, Any]) -> dict[str, float]:
        """What the policy is asked for, as `{"return": 3000.0}`, complete.

        Args:
            ask: what is named; the rest has the model's defaults.

        Raises:
            TransferError: a name that the model does not take, a value that is no finite number, or no default.
        """

    @abstractmethod
    def command(self, seeds: NDArray[np.int64], asked: Mapping[str, float]) -> Command:
        """The command of E episodes.

        Args:
            seeds: (E,) of the episodes; whatever a command draws depends on them.
            asked: see `asked`.
        """

    @abstractmethod
    def action_error(self, batch: Batch) -> Loss:
        """Squared errors of the scaled actions predicted from the data's past, over real steps and dimensions."""

    def policy(
        self,
        target: float | None = None,
        target_return: float | None = None,
        decode: str = "autoregressive",
        ask: Mapping[str, Any] | None = None,
    ) -> transfer.Policy:
        """A policy for one environment in a loop of your own.

        Args:
            target: target score (100 = the reference expert).
            target_return: raw target return instead; default: the calibration's best, else the dataset's 95th
                percentile.
            decode: see `transfer.decoding.planner.make_planner`.
            ask: what else the policy is asked for, by name.
        """
        # Through the package's table of names: models may not import evaluation.
        return transfer.Policy(self, target, target_return, decode, ask)


def check_model(model: object, kind: type, caller: str) -> None:
    """Raise TransferError, which names the function `caller`, unless a model is of the kind that it takes."""
    if isinstance(model, kind):
        return
    name = type(model).__name__
    advice = {
        "Adapter": "put it on its trunk: TransferModel(trunk, adapter)",
        "AdaptResult": "its attribute model is one",
        "PretrainResult": "its attribute model is one",
        "MixedModel": "evaluate_together takes several adapters, model[name] is one",
        "OptimizedModule": "torch.compile wraps one, which trains the same weights: give that one",
        "DataParallel": "its attribute module is one",
        "DistributedDataParallel": "its attribute module is one",
    }.get(name, "adapt() and TransferModel(trunk, adapter) make one")
    if not issubclass(kind, PolicyModel) and not issubclass(PolicyModel, kind):  # a model of several adapters
        several = "MixedModel(trunk, {'hopper': adapter}) makes one"
        advice = "evaluate takes it" if isinstance(model, PolicyModel) else several
    given = name if isinstance(model, nn.Module) else f"{seen(model)} ({name})"
    raise TransferError(f"{caller} takes a {kind.__name__}, got {given}: {advice}.")
