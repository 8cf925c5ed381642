"""One adapter's side of decoding: which tokens the trunk has to read next, and what they come to."""

from __future__ import annotations

from collections.abc import Generator

import torch
from torch import Tensor

from transfer.errors import TransferError, unknown
from transfer.models.adapter import Adapter
from transfer.models.scales import Scales
from transfer.models.sequence_model import TransferModel
from transfer.numbers import MOST_CONTEXT, whole

DECODES = ("autoregressive", "parallel")
# What a lane computes step by step in its own way. What it calls (embeddings, parts, readouts) may be anybody's.
OWN_WAY: tuple[tuple[type, tuple[str, ...]], ...] = (
    (TransferModel, ("tokens", "hidden")),
    (Adapter, ("scale_actions", "scale_returns")),
    (Scales, ("scale_actions", "scale_returns")),
)


def check_decode(decode: object) -> str:
    """The way to choose the dimensions of an action. Raises TransferError for an unknown one."""
    if not isinstance(decode, str) or decode not in DECODES:
        raise unknown("decode", decode, DECODES)
    return decode


class Lane:
    """E environments of one adapter: their past, and how their next action comes about.

    Args:
        model: trunk and adapter.
        decode: "autoregressive", where each action dimension is chosen knowing those before it (eq. 5 of the
            tokenized-action paper), or "parallel", where all are read at once behind tokens of the value 0, which is
            what that paper's code does.
        context: T, steps of past that are read at most.

    Raises:
        TransferError: an unknown decode, a context that is no number of steps, a model that computes its tokens or
            scales in another way in training than is done here, NaN in what the adapter knows of its data.
    """

    def __init__(self, model: TransferModel, decode: str, context: int) -> None:
        check_decode(decode)
        _check_ways(model)
        _check_buffers(model.adapter)
        self.model, self.decode, self.context = model, decode, whole(context, "context", least=1, most=MOST_CONTEXT)
        scales = model.adapter.scales
        self.range, self.scale = scales.action_range(), scales.return_scale()
        self.dtype = model.trunk.ln_in.weight.dtype
        self.past: list[
            tuple[Tensor, ...]
        ] = []  # of each step states (E, S), returns and times (E,), scaled actions (E, A)
        self.unread: list[Tensor] = []  # tokens (E, n, D) of the past that the trunk has yet to read

    def taken(self, states: Tensor, returns: Tensor, times: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """What environments show, in the dtype of the weights."""
        return states.to(self.dtype), returns.to(self.dtype), times

    @property
    def full(self) -> bool:
        """Whether the window has to restart before the next step."""
        return len(self.past) == self.context

    def act(self, states: Tensor, returns: Tensor, times: Tensor) -> Generator[Tensor, Tensor, Tensor]:
        """The environment's actions (E, A) for states (E, S), returns still wanted (E,) and step numbers (E,).

        On the way yields tokens (E, n, D) and is sent what the trunk makes of them, (E, n, D); of the first ones that
        of the last token is enough. In "parallel" the others are not to be kept: they stand for actions yet unknown.
        """
        tokens, time = self.ask(states, returns, times)
        hidden = yield tokens
        return self.keep(states, returns, times, time, (yield from self._choose(hidden[:, -1:], time)))

    def ask(self, states: Tensor, returns: Tensor, times: Tensor) -> tuple[Tensor, Tensor]:
        """What comes before an action: tokens (E, n, D) to read, the state's last, and the time's vector (E, 1, D)."""
        time = self.model.trunk.time(times[:, None])
        wanted = self.model.embed_return(self.scale.of(returns, times)[:, None])[:, 0]
        state = self.model.adapter.embed_state(states[:, None])[:, 0]
        return torch.cat([*self.unread, wanted + time, state + time], 1), time

    def keep(self, states: Tensor, returns: Tensor, times: Tensor, time: Tensor, actions: Tensor) -> Tensor:
        """What comes after it: the step with its scaled actions (E, A) becomes past. Returns the environment's."""
        action = self.model.adapter.action
        if action.spread:
            known = 0 if self.decode == "parallel" else action.action_size - 1  # dimensions whose tokens are read
            self.unread = [action(actions[:, known:], known) + time]
        else:
            self.unread = [action(actions[:, None])[:, 0] + time]
        self.past.append((states, returns, times, actions))
        return self.range.outward(actions)

    def _choose(self, hidden: Tensor, time: Tensor) -> Generator[Tensor, Tensor, Tensor]:
        """Actions from the hidden vector (E, 1, D) at the state token; goes on as `act` does."""
        if not self.model.adapter.action.spread:
            whole: Tensor = self.model.adapter.action.predict(hidden)
            return whole
        return (yield from (self._parallel if self.decode == "parallel" else self._one_by_one)(hidden, time))

    def _one_by_one(self, hidden: Tensor, time: Tensor) -> Generator[Tensor, Tensor, Tensor]:
        action = self.model.adapter.action
        values = [action.predict(hidden, 0)]  # (E, 1) each
        for i in range(1, action.action_size):
            hidden = yield action(values[-1], i - 1) + time
            values.append(action.predict(hidden, i))
        return torch.cat(values, 1)

    def _parallel(self, hidden: Tensor, time: Tensor) -> Generator[Tensor, Tensor, Tensor]:
        action = self.model.adapter.action
        if action.action_size > 1:
            zeros = hidden.new_zeros(len(hidden), action.action_size - 1)
            hidden = torch.cat([hidden, (yield action(zeros) + time)], 1)  # (E, A, D)
        values: Tensor = action.predict(hidden)
        return values

    def restart(self) -> None:
        """Let the newest T/2 steps be all the past, to be read again."""
        self.past = self.past[self.context - self.context // 2 :]
        if not self.past:  # where the context is one step
            self.unread = []
            return
        states, returns, times, actions = (torch.stack(column, 1) for column in zip(*self.past, strict=True))
        self.unread = [self.model.tokens(states, actions, returns, times)]

    def select(self, rows: Tensor) -> None:
        """Go on with some of the environments, (E,) boolean."""
        self.past = [tuple(column[rows] for column in step) for step in self.past]
        self.unread = [tokens[rows] for tokens in self.unread]


def _check_ways(model: TransferModel) -> None:
    """Raise TransferError where a model has methods of its own in place of those that are not called here."""
    for (kind, names), one in zip(OWN_WAY, (model, model.adapter, model.adapter.scales), strict=True):
        for name in names:
            method = getattr(
                vars(one).get(name), "_torchdynamo_orig_callable", getattr(one, name)
            )  # compiled, or as is
            if getattr(method, "__func__", method) is not getattr(kind, name):
                raise TransferError(
                    f"{type(one).__name__} has its own {name}, which trains and which acting does not call: it would "
                    "act on other numbers. Change embed_state, embed_return or a part instead."
                )


def _check_buffers(adapter: Adapter) -> None:
    """Raise TransferError for NaN in edges of bins and scales: actions would be finite all the same, and wrong."""
    for name, buffer in adapter.named_buffers():
        if buffer.isnan().any():
            raise TransferError(
                f"the adapter's {name} holds NaN. Edges of bins that are not in use are infinite: where weights are "
                "averaged (use_buffers=True), buffers are to be copied."
            )
