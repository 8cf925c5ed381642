"""The interfaces of models and their planners for training, evaluation and policies."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar, NamedTuple, Protocol

import torch
from torch import Tensor, nn

import transfer
from transfer.data.batch import Batch
from transfer.data.calibration_table import Calibration
from transfer.data.dataset_statistics import Statistics
from transfer.data.environment.spec import EnvironmentSpec
from transfer.errors import TransferError
from transfer.numbers import seen


class Step(NamedTuple):
    """The inputs of a policy for one step of E environments.

    Attributes:
        states: (E, S), raw.
        returns: (E,), returns to go, raw.
        times: (E,), steps since the episode began.
    """

    states: Tensor
    returns: Tensor
    times: Tensor


class Planner(Protocol):
    """Chooses actions for E environments, one step after another; it keeps their past."""

    def act(self, step: Step) -> Tensor:
        """The environments' actions (E, A), in their own bounds."""
        ...

    def select(self, rows: Tensor) -> None:
        """Keep the environments of some indices, (R,) int64 in any order; an index may come several times."""
        ...


class PolicyModel(nn.Module, ABC):
    """A return-conditioned policy for one environment: `TransferModel`, or a control without a trunk.

    Attributes:
        planner: kind of its planner in `transfer.registry`.
        stepwise: whether its loss is a sum over single steps, so that windows of any length train the same policy.
    """

    planner: ClassVar[str]
    stepwise: ClassVar[bool] = False

    @property
    def device(self) -> torch.device:
        """Of the weights."""
        return next(self.parameters()).device

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
    def keep_calibration(self, calibration: Calibration) -> None:
        """Store target and achieved returns with the statistics; see `transfer.evaluation.calibration`."""

    @property
    @abstractmethod
    def tokens_per_step(self) -> int:
        """K, for counting tokens per second."""

    @abstractmethod
    def parts(self) -> dict[str, nn.Module]:
        """Every selectable part by name."""

    @abstractmethod
    def loss(self, batch: Batch, precision: torch.dtype = torch.float32) -> tuple[Tensor, Tensor]:
        """Sum of the loss over real tokens, and their count; padding contributes to neither."""

    def forward(self, batch: Batch, precision: torch.dtype = torch.float32) -> tuple[Tensor, Tensor]:
        """`loss`, for `model(batch)` and for wrappers of modules (compilers, data parallelism)."""
        return self.loss(batch, precision)

    def policy(
        self, target: float | None = None, target_return: float | None = None, decode: str = "autoregressive"
    ) -> transfer.Policy:
        """A policy for one environment in a loop of your own.

        Args:
            target: target score (100 = the reference expert).
            target_return: raw target return instead; default: the calibration's best, else the dataset's 95th
                percentile.
            decode: see `transfer.decoding.planner.make_planner`.
        """
        # Through the package's table of names: models may not import evaluation.
        return transfer.Policy(self, target, target_return, decode)


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
    if not issubclass(kind, PolicyModel):  # a model of several adapters
        several = "MixedModel(trunk, {'hopper': adapter}) makes one"
        advice = "evaluate takes it" if isinstance(model, PolicyModel) else several
    given = name if isinstance(model, nn.Module) else f"{seen(model)} ({name})"
    raise TransferError(f"{caller} takes a {kind.__name__}, got {given}: {advice}.")
