"""The window of the past of E environments, and its tokens in the order that the trunk reads them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from transfer.data.batch import Steps
from transfer.errors import TransferError
from transfer.models.acting import Step
from transfer.models.adapter import Adapter
from transfer.models.sequence_model import TransferModel
from transfer.models.steps.scales import Scales
from transfer.numbers import MOST_CONTEXT, whole

# Methods of a model that decoding computes step by step in its own way. Groups and their parts may be of any class.
OWN_WAY = ("values", "embed", "hidden")
OWN_SCALE = ("scale_actions",)  # of its scales: acting inverts what `action_range` says
NO_ACTIONS = torch.empty(0)  # of a step whose action is being chosen


class History:
    """The steps in the window of E environments, and their tokens that the trunk has not read.

        window:  step 0, 1, ... T-1, then again from the newest T/2 steps, read anew

    The trunk always reads a window as in training, and each token at most twice. A sliding window of keys and values
    would combine steps that no training window holds together.

    Args:
        model: trunk and adapter.
        read: tokens of the action that are read within their step; the others are read with the next step.

    Attributes:
        steps: in the dtype of the weights.
        actions: of each step, (E, A) scaled; the planner appends them.

    Raises:
        TransferError: a model with its own methods in place of `OWN_WAY` or another layout, or NaN in the adapter's
            buffers.
    """

    def __init__(self, model: TransferModel, read: int) -> None:
        _check_ways(model)
        _check_buffers(model.adapter)
        self.model, self.read = model, read
        self.context = whole(model.context, "context", least=1, most=MOST_CONTEXT)
        self.scales, self.shared, self.dtype = model.adapter.scales, model.shared, model.trunk.ln_in.weight.dtype
        names = list(model.groups)
        self.before = [model.groups[name] for name in names[: names.index("action")]]
        self.action = model.groups["action"]
        self.steps: list[Steps] = []  # (E, 1, ...) each
        self.actions: list[Tensor] = []
        self.time: Tensor  # (E, 1, D), of the newest step
        self.unread: list[Tensor] | None = None  # tokens (E, n, D) of its action, once made

    @property
    def full(self) -> bool:
        """Whether the window restarts with the next step."""
        return len(self.steps) == self.context

    def ask(self, step: Step) -> tuple[Tensor, Tensor]:
        """Add a step; returns the tokens (E, n, D) to read before its action, and its time's vector (E, 1, D).

        The last token predicts the action. After a full window the tokens of its newest T/2 steps come first.
        """
        unread = self._restart() if self.full else self._newest_action()
        self.unread = None
        columns = {name: column.to(self.dtype)[:, None] for name, column in step.columns.items()}
        times = step.times[:, None]
        states = step.states.to(self.dtype)[:, None]
        newest = Steps(states=states, actions=NO_ACTIONS, rewards=NO_ACTIONS, times=times, columns=columns)
        time = self.model.time(times)  # (E, 1, D)
        tokens = [group(group.values(newest, self.scales), self.shared)[:, 0] + time for group in self.before]
        self.steps.append(newest)
        self.time = time
        return torch.cat([*unread, *tokens], 1), time

    def _newest_action(self) -> list[Tensor]:
        """The tokens (E, n, D) of the newest action that have not been read."""
        if self.unread is not None or not self.actions:
            return self.unread or []
        chosen = self.actions[-1][:, None]  # (E, 1, m)
        tokens = self.action(chosen[..., self.read :], self.shared, self.read)[:, 0]
        return [tokens + self.time]

    def _restart(self) -> list[Tensor]:
        """Keep the newest T/2 steps; returns their tokens (E, n, D)."""
        gone = self.context - self.context // 2
        self.steps, self.actions = self.steps[gone:], self.actions[gone:]
        if not self.steps:  # a context of one step
            return []
        kept, actions = joined(self.steps), torch.stack(self.actions, 1)
        values = {
            name: group.values(kept, self.scales) for name, group in self.model.groups.items() if name != "action"
        }
        return [self.model.layout.interleave(self.model.embed(kept, {**values, "action": actions}))]

    def select(self, rows: Tensor) -> None:
        """Keep the environments of some indices, (R,) int64."""
        # Tokens are made for all environments first: the bits of a product depend on the number of environments.
        self.unread = [tokens[rows] for tokens in self._newest_action()]
        self.steps = [picked(steps, rows) for steps in self.steps]
        self.actions = [chosen[rows] for chosen in self.actions]
        if self.steps:
            self.time = self.time[rows]


def joined(steps: Sequence[Steps]) -> Steps:
    """Steps (E, 1, ...) one after another, as (E, T, ...); their actions and rewards are left out."""
    columns = {name: torch.cat([one.columns[name] for one in steps], 1) for name in steps[0].columns}
    states, times = (torch.cat([getattr(one, name) for one in steps], 1) for name in ("states", "times"))
    return Steps(states=states, actions=NO_ACTIONS, rewards=NO_ACTIONS, times=times, columns=columns)


def picked(steps: Steps, rows: Tensor) -> Steps:
    """The steps of some environments, by their indices (R,)."""
    columns = {name: column[rows] for name, column in steps.columns.items()}
    states, times = steps.states[rows], steps.times[rows]
    return Steps(states=states, actions=NO_ACTIONS, rewards=NO_ACTIONS, times=times, columns=columns)


def _check_ways(model: TransferModel) -> None:
    """Raise TransferError for another layout, or own methods in place of those of `OWN_WAY` and `OWN_SCALE`."""
    order, wanted = tuple(name for name, _ in model.layout.groups), model.method.groups
    if order != wanted:
        raise TransferError(
            f"the model's layout is {', '.join(order)}; acting reads {', '.join(wanted)} in this order."
        )
    known: list[tuple[nn.Module, type, Sequence[str]]] = [
        (model, TransferModel, OWN_WAY),
        (model.adapter.scales, Scales, OWN_SCALE),
    ]
    for one, kind, name in ((one, kind, name) for one, kind, names in known for name in names):
        # The original of a compiled method, else the method.
        method = getattr(vars(one).get(name), "_torchdynamo_orig_callable", getattr(one, name))
        if getattr(method, "__func__", method) is not getattr(kind, name):
            raise TransferError(
                f"{type(one).__name__} has its own {name}, which trains and which acting does not call: it would act "
                "on other inputs. Change a group instead: values, raw, embed or a part of it."
            )


def _check_buffers(adapter: Adapter) -> None:
    """Raise TransferError for NaN in edges of bins and scales: actions would be finite and wrong."""
    for name, buffer in adapter.named_buffers():
        if buffer.isnan().any():
            raise TransferError(
                f"the adapter's {name} holds NaN. Edges of unused bins are infinite: where weights are averaged "
                "(use_buffers=True), copy the buffers."
            )
