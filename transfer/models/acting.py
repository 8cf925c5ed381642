"""What training, evaluation and policies need of a model, and what a model's planner offers them."""

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
    """What E environments show a policy.

    Attributes:
        states: (E, S), raw.
        returns: (E,), returns to go, raw.
        times: (E,), steps since the episode began.
    """

    states: Tensor
    returns: Tensor
    times: Tensor


class Planner(Protocol):
    """Chooses actions for E environments, one step after another, and remembers their past."""

    def act(self, step: Step) -> Tensor:
        """The environments' actions (E, A), in their own bounds."""
        ...

    def select(self, rows: Tensor) -> None:
        """Go on with the environments of some indices, (R,) int64 in any order; one may come several times."""
        ...


class PolicyModel(nn.Module, ABC):
    """A return-conditioned policy for one environment: `TransferModel`, or a control without a trunk.

    Attributes:
        planner: kind of its planner, under "planner" in `transfer.registry`.
    """

    planner: ClassVar[str]

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
        """Make target and achieved returns part of what is saved; see `transfer.evaluation.calibration`."""

    @property
    @abstractmethod
    def tokens_per_step(self) -> int:
        """K, for counting."""

    @abstractmethod
    def parts(self) -> dict[str, nn.Module]:
        """Every selectable part by name."""

    @abstractmethod
    def loss(self, batch: Batch, precision: torch.dtype = torch.float32) -> tuple[Tensor, Tensor]:
        """Sum of the loss over real tokens, and their count; padding contributes to neither."""

    def forward(self, batch: Batch, precision: torch.dtype = torch.float32) -> tuple[Tensor, Tensor]:
        """`loss`, so that `model(batch)` and what wraps modules (compilers, data parallelism) train it."""
        return self.loss(batch, precision)

    def policy(
        self, target: float | None = None, target_return: float | None = None, decode: str = "autoregressive"
    ) -> transfer.Policy:
        """A policy for one environment in a loop of your own.

        Args:
            target: score to ask for (100 = the reference expert).
            target_return: raw return to ask for instead; default: the calibration's best, else the 95th percentile of
                the dataset.
            decode: see `transfer.decoding.planner.make_planner`.
        """
        # Looked up in the package's table of names: the one place where a model names what acts with it.
        return transfer.Policy(self, target, target_return, decode)


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
