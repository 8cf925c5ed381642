"""What training, evaluation and policies need of a model."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor, nn

from transfer.data.batch import Batch
from transfer.data.calibration_table import Calibration
from transfer.data.dataset_statistics import Statistics
from transfer.data.environment.spec import EnvironmentSpec
from transfer.errors import TransferError
from transfer.numbers import seen

if TYPE_CHECKING:
    from transfer.evaluation.policy import Policy


class Actor(Protocol):
    """Acts in E environments in lockstep."""

    def step(self, states: Tensor, returns: Tensor, times: Tensor) -> Tensor:
        """States (E, S), returns still wanted (E,), step numbers (E,) -> the environment's actions (E, A)."""
        ...

    def select(self, rows: Tensor) -> None:
        """Go on with some of the environments, (E,) boolean."""
        ...


class PolicyModel(nn.Module, ABC):
    """A return-conditioned policy for one environment: `TransferModel`, or a control without a trunk."""

    @property
    @abstractmethod
    def device(self) -> torch.device:
        """Where the weights lie."""

    @property
    @abstractmethod
    def env_spec(self) -> EnvironmentSpec:
        """The environment it acts in."""

    @property
    @abstractmethod
    def statistics(self) -> Statistics:
        """Of the dataset it learned from."""

    @property
    @abstractmethod
    def context(self) -> int:
        """T, the steps of past that it was trained with and acts on."""

    @abstractmethod
    def keep_calibration(self, calibration: Calibration) -> None:
        """Make asked and achieved returns part of what is saved; see `transfer.evaluation.calibration`."""

    @property
    @abstractmethod
    def tokens_per_step(self) -> int:
        """K, for counting."""

    @abstractmethod
    def parts(self) -> dict[str, nn.Module]:
        """Every selectable part by name."""

    @abstractmethod
    def loss(self, batch: Batch, precision: torch.dtype = torch.float32) -> tuple[Tensor, Tensor]:
        """Sum of the loss over real tokens, and how many there were; what is padded never changes it."""

    def forward(self, batch: Batch, precision: torch.dtype = torch.float32) -> tuple[Tensor, Tensor]:
        """`loss`, so that `model(batch)` and what wraps modules (compilers, data parallelism) train it."""
        return self.loss(batch, precision)

    @abstractmethod
    def stream(self, rows: int, context: int, decode: str) -> Actor:
        """Actions for E = `rows` environments, step by step."""

    def policy(
        self, target: float | None = None, target_return: float | None = None, decode: str = "autoregressive"
    ) -> Policy:
        """A policy for one environment in a loop of your own.

        Args:
            target: wanted score (100 = the reference expert).
            target_return: wanted raw return instead; default: the calibration's best, else the 95th percentile of the
                dataset.
            decode: see `transfer.decoding.planner.Stream`.
        """
        from transfer.evaluation.policy import Policy

        return Policy(self, target, target_return, decode)


def check_model(model: object, kind: type, caller: str) -> None:
    """Raise TransferError unless a model is of the kind that a function takes."""
    if isinstance(model, kind):
        return
    advice = {
        "Adapter": "put it on its trunk: TransferModel(trunk, adapter)",
        "AdaptResult": "its attribute model is one",
        "PretrainResult": "its attribute model is one",
        "MixedModel": "evaluate_together takes several adapters, model[name] is one",
        "TransferModel": "evaluate takes it",
        "OptimizedModule": "torch.compile wraps one, which trains the same weights: give that one",
        "DataParallel": "its attribute module is one",
        "DistributedDataParallel": "its attribute module is one",
    }.get(type(model).__name__, "adapt() and TransferModel(trunk, adapter) make one")
    raise TransferError(f"{caller} takes a {kind.__name__}, got {seen(model)} ({type(model).__name__}): {advice}.")
