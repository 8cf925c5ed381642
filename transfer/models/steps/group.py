"""The interface of groups: one modality of a step, and its n tokens.

Letters: B windows, T steps, S state size, A action size, m values of a step, n tokens of a step, D width.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

from torch import Tensor, nn

from transfer.data.batch import Steps
from transfer.data.episodes import Episodes
from transfer.errors import BrokenKind, TransferError, check_type
from transfer.models.steps.scales import Scales
from transfer.numbers import seen

Shared = Mapping[str, nn.Module]
"""Modules of the trunk that mean the same in every environment, by name; those of the adapter take their place."""


class Loss(NamedTuple):
    """A term of the objective: weight * sum / count.

    Attributes:
        sum: over the tokens that count.
        count: of the tokens that count; padding contributes to neither.
        weight: of the term.
    """

    sum: Tensor
    count: Tensor  # type: ignore[assignment]  # a tuple has a method of this name
    weight: float = 1.0


def check_loss(value: object, what: str) -> Loss:
    """The value, which is called `what`. Raises TransferError unless it is a `Loss` of a sum and a count."""
    loss = check_type(value, Loss, what, "transfer.models.steps.group.Loss(sum, count) makes one.")
    for name, one in (("sum", loss.sum), ("count", loss.count)):
        if not isinstance(one, Tensor) or one.dim():
            raise TransferError(f"{what} has a {name} that is {seen(one)}; a tensor of no dimension is needed.")
    return loss


class Group(nn.Module, ABC):
    """One modality of a step. Its constructor takes the `arguments` of an equal group.

    Attributes:
        tokens: n, of a step.
    """

    tokens: int

    @classmethod
    def fit(cls, episodes: Episodes, scales: Scales, width: int) -> dict[str, Any]:
        """The arguments of the constructor for the environment of some episodes, as plain values for JSON.

        Keyword-only parameters of a subclass are its options; a class method `check` that takes them raises
        TransferError for an unsound value, before anything is built, and may return a table of options to use instead.

        Args:
            episodes: the training data.
            scales: measured on them.
            width: D.
        """
        return {}

    def arguments(self) -> dict[str, Any]:
        """The arguments that the constructor makes an equal group of, plain values for JSON; weights are not in it."""
        return {}

    @abstractmethod
    def values(self, steps: Steps, scales: Scales) -> Tensor:
        """The values of some steps as the group embeds them, (B, T, m)."""

    @abstractmethod
    def embed(self, values: Tensor, shared: Shared, first: int = 0) -> Tensor:
        """Values (B, T, m) of the tokens `first` to `first + k` of a step -> tokens (B, T, k, D)."""

    def forward(self, values: Tensor, shared: Shared, first: int = 0) -> Tensor:
        """`embed`, for hooks and wrappers of modules."""
        return self.embed(values, shared, first)


class Condition(Group):
    """One token of one number. The trunk owns its embedding, so that it means the same everywhere.

    Args:
        name: of the module in `trunk.shared`.
    """

    tokens = 1

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name

    def embedding(self, width: int) -> nn.Module:
        """A new embedding, for `trunk.shared` or for an adapter of its own."""
        return nn.Linear(1, width)

    def embed(self, values: Tensor, shared: Shared, first: int = 0) -> Tensor:
        """(B, T, 1) -> (B, T, 1, D)."""
        token: Tensor = shared[self.name](values)
        return token[:, :, None]


class PredictedGroup(Group):
    """A group that the trunk predicts: a hidden vector at the position before each of its tokens."""

    @abstractmethod
    def loss(self, hidden: Tensor, values: Tensor, weight: Tensor, shared: Shared) -> Loss:
        """The loss of some steps; its shapes do not depend on the values.

        Args:
            hidden: (B, T, n, D), at the positions that predict the tokens.
            values: (B, T, m).
            weight: (B, T, n); a token of weight 0 (padding) contributes to neither sum nor count.
            shared: modules of the trunk.
        """

    @abstractmethod
    def predict(self, hidden: Tensor, shared: Shared, first: int = 0) -> Tensor:
        """Hidden vectors (..., k, D) that predict the tokens `first` to `first + k` -> values (..., m) of these."""

    @abstractmethod
    def raw(self, values: Tensor, scales: Scales) -> Tensor:
        """The inverse of `values`, (..., m): actions in the environment's bounds, say."""

    def tables(self, shared: Shared) -> Any:
        """The group as linear pieces for a native decoder; None where it is decoded in PyTorch."""
        return None


def check_free(owner: nn.Module, name: str, later: Collection[str]) -> None:
    """Raise BrokenKind for a part that cannot be an attribute of a trunk or an adapter.

    Args:
        owner: of the part.
        name: of the part.
        later: names that its owner will give to other modules.
    """
    kind = type(owner).__name__.lower()
    if not isinstance(name, str) or not name or not name.isprintable() or set(name) & set("./\\"):
        raise BrokenKind(f"a part of the {kind} is called {name!r:.80}; a name without dots and slashes is needed.")
    if name in later or hasattr(owner, name):
        raise BrokenKind(f"'{name}' is a name of the {kind} itself: give this group or module of the method another.")
