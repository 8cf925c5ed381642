"""The interface of methods: which groups a step has, which of them are predicted, and by which loss."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from transfer import registry
from transfer.data.batch import Batch, Steps
from transfer.data.environment.spec import EnvironmentSpec
from transfer.data.episodes import Episodes
from transfer.data.measured.dataset_statistics import Statistics
from transfer.data.windows import WindowSpec
from transfer.errors import BrokenKind, TransferError, check_type, unknown
from transfer.models.acting import Command
from transfer.models.steps.group import Condition, Group, Loss, PredictedGroup, Shared, check_loss
from transfer.models.steps.layout import Layout
from transfer.numbers import seen
from transfer.registry import PartSpec
from transfer.runtime.process import shapes_alone
from transfer.runtime.seeding import seeded


class AskedModel(Protocol):
    """What a method knows of a model that it is asked for: a `StepModel`, or `transfer.models.mlp.MLPPolicy`."""

    @property
    def statistics(self) -> Statistics:
        """Of the dataset."""
        ...

    @property
    def env_spec(self) -> EnvironmentSpec:
        """The environment."""
        ...

    @property
    def extras(self) -> Mapping[str, nn.Module]:
        """The parts of `Method.extras` by name."""
        ...


class StepModel(AskedModel, Protocol):
    """A trunk and an adapter as a method sees them: `transfer.models.sequence_model.TransferModel`."""

    layout: Layout

    @property
    def adapter(self) -> Any:
        """The adapter."""
        ...

    @property
    def groups(self) -> Mapping[str, Group]:
        """The groups of a step, in order."""
        ...

    @property
    def shared(self) -> Shared:
        """Modules of the trunk by name; those of the adapter take their place."""
        ...

    def values(self, steps: Steps) -> dict[str, Tensor]:
        """The values (B, T, m) of every group."""
        ...

    def embed(self, steps: Steps, values: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The tokens (B, T, n, D) of every group."""
        ...

    def hidden(
        self,
        tokens: Mapping[str, Tensor],
        wanted: Sequence[str],
        precision: torch.dtype = torch.float32,
        *,
        real: Tensor | None = None,
        at: bool = False,
    ) -> dict[str, Tensor]:
        """Hidden vectors (B, T, n, D) at the positions that predict the wanted groups, or at their own tokens."""
        ...


class Method(ABC):
    """A system of the papers: an order of groups, and the loss over it. Its options are its constructor's.

    Attributes:
        groups: of a step, in order. A group that is no condition is a part of the adapter.
        predicts: those of them that are trained.
        hides: groups whose tokens later steps do not look at.
        windows: what training windows hold.
        planner: kind of the planner that chooses actions, in `transfer.registry`.
        extras: names of parts of the adapter that are no group and know the body; see `fit` and `make`.
        causal: whether a token looks at those before it alone.
        timed: whether the trunk's time is added to every token.
    """

    groups: ClassVar[tuple[str, ...]]
    predicts: ClassVar[tuple[str, ...]] = ("action",)
    hides: ClassVar[tuple[str, ...]] = ()
    windows: ClassVar[WindowSpec] = WindowSpec(columns=())
    planner: ClassVar[str] = "tokens"
    extras: ClassVar[tuple[str, ...]] = ()
    causal: ClassVar[bool] = True
    timed: ClassVar[bool] = True

    def conditions(self) -> Mapping[str, Condition]:
        """Groups whose embeddings belong to the trunk, by name."""
        return {}

    def shared(self, width: int) -> dict[str, nn.Module]:
        """New modules of a trunk of width D that mean the same in every environment, besides its time."""
        return {name: condition.embedding(width) for name, condition in self.conditions().items()}

    def names_of_shared(self) -> tuple[str, ...]:
        """The names of `shared`, without drawing weights for them."""
        with shapes_alone(), seeded(0, "shapes"):
            return tuple(self.shared(2))

    def fit(self, episodes: Episodes) -> dict[str, dict[str, Any]]:
        """The arguments of `make` for each of `extras`, measured on some episodes, as plain values for JSON."""
        return {}

    def make(self, name: str, arguments: Mapping[str, Any]) -> nn.Module:
        """One of `extras`, of its arguments; the module's own `arguments()` returns equal ones."""
        raise NotImplementedError(name)

    @abstractmethod
    def asked(self, model: AskedModel, ask: Mapping[str, Any]) -> dict[str, float]:
        """What a policy is asked for, complete; see `transfer.models.acting.PolicyModel.asked`."""

    @abstractmethod
    def command(self, model: AskedModel, seeds: NDArray[np.int64], asked: Mapping[str, float]) -> Command:
        """The command of E episodes, seeds (E,); see `transfer.models.acting.PolicyModel.command`."""

    def loss(self, model: StepModel, batch: Batch, precision: torch.dtype = torch.float32) -> dict[str, Loss]:
        """A term for each predicted group, from the hidden vectors before its tokens.

        Args:
            model: trunk and adapter.
            batch: windows.
            precision: of the trunk's matrix products; embeddings and readouts are float32.
        """
        values = model.values(batch)
        hidden = model.hidden(model.embed(batch, values), self.predicts, precision, real=batch.mask)
        return self.terms(model, batch, values, hidden)

    def action_error(self, model: StepModel, batch: Batch) -> Loss:
        """Squared errors of the scaled actions predicted from the data's past, over real steps and dimensions.

        Raises:
            TransferError: a method that is not causal and has no `action_error` of its own, for it sees what it
                predicts.
        """
        if not self.causal:
            raise TransferError(
                f"{type(self).__name__} is not causal, so the actions that it predicts are among what it sees. Give it "
                "an action_error that hides them, or leave held_out off."
            )
        values, action = model.values(batch), model.groups["action"]
        hidden = model.hidden(model.embed(batch, values), ["action"])["action"]
        if not isinstance(action, PredictedGroup):
            raise TransferError(f"the action part is a {type(action).__name__}, which predicts no actions.")
        error = (action.predict(hidden, model.shared) - values["action"]).square() * batch.mask[..., None]
        return Loss(error.sum(), batch.mask.sum() * error.shape[-1])

    @property
    def plain(self) -> bool:
        """Whether its loss is that of this class, over causal sequences: then adapters can share a pass."""
        return type(self).loss is Method.loss and self.causal and not self.hides

    def terms(
        self, model: StepModel, batch: Batch, values: Mapping[str, Tensor], hidden: Mapping[str, Tensor]
    ) -> dict[str, Loss]:
        """The terms of the predicted groups, from their values (B, T, m) and the hidden vectors (B, T, n, D) before."""
        return {name: self._term(model, batch, name, hidden[name], values[name]) for name in self.predicts}

    def _term(self, model: StepModel, batch: Batch, name: str, hidden: Tensor, values: Tensor) -> Loss:
        group = model.groups[name]
        assert isinstance(group, PredictedGroup)  # TransferModel checks it
        weight = batch.mask[..., None].expand(-1, -1, group.tokens)  # (B, T, n)
        if model.layout.opens(name):  # nothing comes before the first token of a window
            weight = weight.clone()
            weight[:, 0, 0] = False
        found = group.loss(hidden, values, weight, model.shared)
        return check_loss(found, f"what the loss of the group '{name}' returns")


def make_method(spec: PartSpec) -> Method:
    """The method of a kind and its options.

    Raises:
        TransferError: an unknown kind, an option that it does not take, or groups that contradict each other.
    """
    method: Method = registry.build("method", check_type(spec, PartSpec, "method"))
    try:
        _check(spec, method)
    except TransferError as error:
        raise BrokenKind(str(error)) from error
    return method


def _check(spec: PartSpec, method: Method) -> None:
    """Raise TransferError for a method whose groups, conditions or windows contradict each other."""
    names = _names(spec, method, "groups")
    for attribute in ("predicts", "hides", "extras"):
        some = _names(spec, method, attribute)
        for name in some if attribute != "extras" else ():
            if name not in names:
                raise unknown(f"group in {attribute} of the method '{spec.kind}'", name, names)
        if not some and attribute == "predicts":
            raise TransferError(f"the method '{spec.kind}' predicts no group, so nothing would train it.")
    conditions = check_type(method.conditions(), Mapping, f"conditions() of the method '{spec.kind}'")
    own = type(method).shared is not Method.shared
    shared = method.names_of_shared() if own else tuple(conditions)
    for name, condition in conditions.items():
        if name not in names:
            raise unknown(f"group in conditions() of the method '{spec.kind}'", name, names)
        check_type(condition, Condition, f"the condition '{name}' of the method '{spec.kind}'")
        if condition.name not in shared:
            where = f"module of the condition '{name}' among shared() of the method '{spec.kind}'"
            raise unknown(where, condition.name, shared)
    parts = [*(name for name in names if name not in conditions), *method.extras]
    for name in parts:
        if name in shared or parts.count(name) > 1:
            raise TransferError(
                f"the method '{spec.kind}' has two things called '{name}' among groups, extras and shared()."
            )
    check_type(method.windows, WindowSpec, f"windows of the method '{spec.kind}'")


def _names(spec: PartSpec, method: Method, attribute: str) -> tuple[str, ...]:
    """The names in an attribute of a method. Raises TransferError unless they are distinct, and there is a group."""
    names = getattr(method, attribute, ())
    sound = isinstance(names, (tuple, list)) and all(isinstance(name, str) and name for name in names)
    if not sound or len(set(names)) != len(names) or (attribute == "groups" and not names):
        raise TransferError(
            f"{attribute} of the method '{spec.kind}' is {seen(names)}; a tuple of distinct names is needed, as "
            '("state", "action").'
        )
    return tuple(names)
