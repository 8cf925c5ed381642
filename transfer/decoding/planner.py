"""Choosing actions step by step, on top of a decoder."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from transfer import registry
from transfer.data.batch import Steps
from transfer.decoding.decoder import make_decoder, slow
from transfer.decoding.history import History
from transfer.decoding.native import native_choice
from transfer.errors import TransferError, check_type, unknown
from transfer.models.acting import Planner, PolicyModel, Step
from transfer.models.sequence_model import TransferModel
from transfer.models.steps.group import PredictedGroup
from transfer.numbers import MOST_ENVS, whole
from transfer.runtime.process import inference_only
from transfer.storage.snapshot import snapshot

DECODES = ("autoregressive", "parallel")
Choose = Callable[[Tensor, Tensor], Tensor]
"""Tokens (E, n, D) to read, the last of which predicts the action; the time's vector (E, 1, D) -> actions (E, A)."""


def check_decode(decode: object) -> str:
    """The decode, one of `DECODES`. Raises TransferError for an unknown one."""
    if not isinstance(decode, str) or decode not in DECODES:
        raise unknown("decode", decode, DECODES)
    return decode


@inference_only
def make_planner(model: PolicyModel, envs: int, decode: str = "autoregressive") -> Planner:
    """The planner of a model for E environments, each at the start of an episode.

    The weights are copied: the model may train on, be swapped or change its mode.

    Args:
        model: its `planner` names the class, which is called with the arguments of this function. Register your own
            with `transfer.registry.register("planner", kind, "module:Class")`.
        envs: E.
        decode: "autoregressive": each action dimension depends on those before it (eq. 5 of the tokenized-action
            paper); "parallel": all are read at once after tokens of the value 0, as in that paper's code.

    Raises:
        TransferError: an unknown decode or kind of planner, an unsound number of environments, or a model that cannot
            be decoded, see `transfer.decoding.history.History`.
    """
    check_decode(decode)
    kind = registry.resolve("planner", getattr(model, "planner", ""))
    planner: Planner = kind(model, whole(envs, "envs", least=1, most=MOST_ENVS), decode)
    return planner


class TokenPlanner:
    """Chooses actions with a trunk, from the hidden vectors of each step's tokens.

    Args:
        model: trunk and adapter.
        envs: E.
        decode: see `make_planner`.

    Raises:
        TransferError: a method whose actions other tokens come between: its planner has to be another one.
    """

    def __init__(self, model: TransferModel, envs: int, decode: str) -> None:
        _check_order(model)
        mine = snapshot(model)
        action = self.action = check_type(mine.groups["action"], PredictedGroup, "the action part")
        known = action.tokens - 1 if action.tokens > 1 and decode == "autoregressive" else 0
        self.history, self.scales, self.shared = History(mine, known), mine.adapter.scales, mine.shared
        self.scales.fix()
        self.values = _values_of(mine)
        tuning, room = mine.tuning, mine.context * mine.layout.tokens
        self.decoder = make_decoder(mine.trunk, tuning, envs, room)
        if not slow(mine.trunk, tuning):
            mine.trunk.blocks = nn.ModuleList()  # the decoder has weights of its own
        self.choose = self._way(decode)

    def _way(self, decode: str) -> Choose:
        if self.action.tokens == 1:
            return self._at_once
        if decode == "parallel":
            return self._in_parallel
        return native_choice(self.decoder, self.action, self.shared) or self._one_by_one

    @inference_only
    def act(self, step: Step) -> Tensor:
        """The environments' actions (E, A)."""
        if self.history.full:
            self.decoder.forget(0)
        tokens, time = self.history.ask(step)
        actions = self.choose(tokens, time)
        if actions.shape[1] != self.values:
            raise TransferError(f"the action part predicts {actions.shape[1]} values, and embeds {self.values}.")
        self.history.actions.append(actions)
        return self.action.raw(actions, self.scales)

    def _at_once(self, tokens: Tensor, time: Tensor) -> Tensor:
        """The whole action from one token."""
        return self.action.predict(self.decoder.read(tokens), self.shared)

    def _one_by_one(self, tokens: Tensor, time: Tensor) -> Tensor:
        """Each token's values from the tokens before it."""
        values = [self.action.predict(self.decoder.read(tokens), self.shared, 0)]  # (E, 1) each
        for i in range(1, self.action.tokens):
            token = self.action(values[-1][:, None], self.shared, i - 1)[:, 0]
            hidden = self.decoder.read(token + time)
            values.append(self.action.predict(hidden, self.shared, i))
        return torch.cat(values, 1)

    def _in_parallel(self, tokens: Tensor, time: Tensor) -> Tensor:
        """All tokens' values at once, after tokens of the value 0, which are forgotten again."""
        hidden, others = self.decoder.read(tokens), self.action.tokens - 1
        known, zeros = self.decoder.length, hidden.new_zeros(len(hidden), 1, others)
        behind = self.action(zeros, self.shared)[:, 0] + time
        hidden = torch.cat([hidden, self.decoder.read(behind, others)], 1)  # (E, A, D)
        self.decoder.forget(known)
        return self.action.predict(hidden, self.shared)

    @inference_only
    def select(self, rows: Tensor) -> None:
        """Keep the environments of some indices, (R,) int64; an index may come several times."""
        self.history.select(rows)
        self.decoder.select(rows)


def _values_of(model: TransferModel) -> int:
    """m, the values of an action as its group embeds them."""
    spec, like = model.env_spec, model.trunk.ln_in.weight
    states, actions, times = (like.new_zeros(1, 1, *size) for size in ([spec.state_size], [spec.action_size], []))
    steps = Steps(states=states, actions=actions, rewards=times, times=times.long())
    return model.groups["action"].values(steps, model.adapter.scales).shape[-1]


def _check_order(model: TransferModel) -> None:
    """Raise TransferError unless each step ends with its action, and every token looks at all before it."""
    method, why = model.method, ""
    if not method.causal:
        why = "is not causal"
    elif method.hides:
        why = f"hides {', '.join(method.hides)} from later steps"
    elif method.groups[-1] != "action":
        why = f"has {method.groups[-1]} behind the action of a step"
    if why:
        raise TransferError(
            f"the planner 'tokens' reads one token after another, and {type(method).__name__} {why}. Name another kind "
            "in its attribute planner: transfer.registry.register('planner', kind, MyPlanner)."
        )
