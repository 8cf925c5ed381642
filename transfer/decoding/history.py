"""The window of the past of E environments, and its tokens in the order that the trunk reads them."""

from __future__ import annotations

import torch
from torch import Tensor

from transfer.errors import TransferError
from transfer.models.acting import Step
from transfer.models.adapter import Adapter
from transfer.models.scales import Scales
from transfer.models.sequence_model import TransferModel
from transfer.numbers import MOST_CONTEXT, whole

ORDER = "return", "state", "action"  # of the tokens of a step
# Methods that decoding computes step by step in its own way. Embeddings, parts and readouts may be of any class.
OWN_WAY: tuple[tuple[type, tuple[str, ...]], ...] = (
    (TransferModel, ("tokens", "hidden")),
    (Adapter, ("scale_actions", "scale_returns")),
    (Scales, ("scale_actions", "scale_returns")),
)


class History:
    """The steps in the window of E environments, and their tokens that the trunk has not read.

        window:  step 0, 1, ... T-1, then again from the newest T/2 steps, read anew

    The trunk always reads a window as in training, and each token at most twice. A sliding window of keys and values
    would combine steps that no training window holds together.

    Args:
        model: trunk and adapter.
        read: action dimensions whose tokens are read within their step; the others are read with the next step.

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
        self.means, self.dtype = model.adapter.scales.mean_returns(), model.trunk.ln_in.weight.dtype
        self.steps: list[Step] = []
        self.actions: list[Tensor] = []
        self.time: Tensor | None = None  # (E, 1, D), of the newest step
        self.unread: list[Tensor] | None = None  # tokens (E, n, D) of its action, once made

    @property
    def full(self) -> bool:
        """Whether the window restarts with the next step."""
        return len(self.steps) == self.context

    def ask(self, step: Step) -> tuple[Tensor, Tensor]:
        """Add a step; returns the tokens (E, n, D) to read before its action, and its time's vector (E, 1, D).

        The state's token is the last. After a full window the tokens of its newest T/2 steps come first.
        """
        unread = self._restart() if self.full else self._newest_action()
        self.unread = None
        step = Step(step.states.to(self.dtype), step.returns.to(self.dtype), step.times)
        time = self.model.trunk.time(step.times[:, None])
        returns = self.model.adapter.scales.scale_returns(step.returns, step.times, self.means)  # (E,)
        to_go = self.model.embed_return(returns[:, None])[:, 0]
        state = self.model.adapter.embed_state(step.states[:, None])[:, 0]
        self.steps.append(step)
        self.time = time
        return torch.cat([*unread, to_go + time, state + time], 1), time

    def _newest_action(self) -> list[Tensor]:
        """The tokens (E, n, D) of the newest action that have not been read."""
        if self.unread is not None or not self.actions:
            return self.unread or []
        action, chosen = self.model.adapter.action, self.actions[-1]
        if action.spread:
            return [action(chosen[:, self.read :], self.read) + self.time]
        return [action(chosen[:, None])[:, 0] + self.time]

    def _restart(self) -> list[Tensor]:
        """Keep the newest T/2 steps; returns their tokens (E, n, D)."""
        gone = self.context - self.context // 2
        self.steps, self.actions = self.steps[gone:], self.actions[gone:]
        if not self.steps:  # a context of one step
            return []
        states, returns, times = (torch.stack(column, 1) for column in zip(*self.steps, strict=True))
        return [self.model.tokens(states, torch.stack(self.actions, 1), returns, times)]

    def select(self, rows: Tensor) -> None:
        """Keep the environments of some indices, (R,) int64."""
        # Tokens are made for all environments first: the bits of a product depend on the number of environments.
        self.unread = [tokens[rows] for tokens in self._newest_action()]
        self.steps = [Step(*(column[rows] for column in step)) for step in self.steps]
        self.actions = [chosen[rows] for chosen in self.actions]
        self.time = None if self.time is None else self.time[rows]


def _check_ways(model: TransferModel) -> None:
    """Raise TransferError where a model has its own methods in place of those of `OWN_WAY`, or another layout."""
    order = tuple(name for name, _ in model.layout.groups)
    if order != ORDER:
        raise TransferError(f"the model's layout is {', '.join(order)}; acting reads {', '.join(ORDER)} in this order.")
    for (kind, names), one in zip(OWN_WAY, (model, model.adapter, model.adapter.scales), strict=True):
        for name in names:
            # The original of a compiled method, else the method.
            method = getattr(vars(one).get(name), "_torchdynamo_orig_callable", getattr(one, name))
            if getattr(method, "__func__", method) is not getattr(kind, name):
                raise TransferError(
                    f"{type(one).__name__} has its own {name}, which trains and which acting does not call: it would "
                    "act on other inputs. Change embed_state, embed_return or a part instead."
                )


def _check_buffers(adapter: Adapter) -> None:
    """Raise TransferError for NaN in edges of bins and scales: actions would be finite and wrong."""
    for name, buffer in adapter.named_buffers():
        if buffer.isnan().any():
            raise TransferError(
                f"the adapter's {name} holds NaN. Edges of unused bins are infinite: where weights are averaged "
                "(use_buffers=True), copy the buffers."
            )
