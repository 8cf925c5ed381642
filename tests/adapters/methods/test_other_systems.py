"""Systems of other papers in a few lines each: what a method may need that none of ours does."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.kinds import config_of
from tests.lively import enliven
from transfer import registry
from transfer.adapters.build import build_adapter
from transfer.adapters.methods.bc import BC
from transfer.adapters.methods.dt import DT
from transfer.data.batch import Batch
from transfer.data.episodes import Episodes
from transfer.data.windows import WindowSampler
from transfer.errors import TransferError
from transfer.models.acting import Step
from transfer.models.sequence_model import TransferModel
from transfer.models.steps.group import Loss
from transfer.models.steps.method import StepModel
from transfer.models.trunk import Trunk, TrunkConfig
from transfer.recipes.programs.modes import new_trunk
from transfer.recipes.programs.pretrain import pretrain
from transfer.registry import PartSpec
from transfer.training.held_out import held_out_error
from transfer.training.train_config import TrainConfig

SMALL = TrunkConfig(width=32, depth=2, heads=2)
QUICK = TrainConfig(steps=4, batch_size=4, context=4, log_every=4, save_every=4)
MakeEpisodes = Callable[..., Episodes]


class Masked(BC):
    """PASTA's masked objective: every other action is replaced by a vector of the trunk and told from all others."""

    causal = False

    def shared(self, width: int) -> dict[str, nn.Module]:
        """The vector in the place of what is masked."""
        return {"mask": nn.Embedding(1, width)}

    def loss(self, model: StepModel, batch: Batch, precision: torch.dtype = torch.float32) -> dict[str, Loss]:
        """Of the masked actions alone."""
        hidden, masked = self.masked(model, batch, batch.times % 2 == 0)
        action: Any = model.groups["action"]
        weight = (batch.mask & masked)[..., None].expand(-1, -1, action.tokens)
        return {"action": action.loss(hidden, model.values(batch)["action"], weight, model.shared)}

    def masked(self, model: StepModel, batch: Batch, masked: Tensor) -> tuple[Tensor, Tensor]:
        """Hidden vectors (B, T, n, D) at actions, of which those of some steps (B, T) are masked."""
        tokens = model.embed(batch, model.values(batch))
        vector: Tensor = model.shared["mask"].weight  # type: ignore[assignment]
        tokens["action"] = torch.where(masked[..., None, None], vector, tokens["action"])
        return model.hidden(tokens, ["action"], real=batch.mask, at=True)["action"], masked


class MaskedWithError(Masked):
    """It says how its error of actions is measured: the newest one masked, with nothing behind it."""

    def action_error(self, model: StepModel, batch: Batch) -> Loss:
        """Of the last real action of each window."""
        last = batch.mask & ~batch.mask.roll(-1, 1)
        last[:, -1] |= batch.mask[:, -1]
        hidden, _ = self.masked(model, batch, last)
        action: Any = model.groups["action"]
        error = (action.predict(hidden, model.shared) - model.values(batch)["action"]).square() * last[..., None]
        return Loss(error.sum(), last.sum() * error.shape[-1])


class Backwards(DT):
    """An action before its return: something stands behind the action."""

    groups = ("state", "action", "return")


class Hiding(Backwards):
    """Trajectory Transformer's returns: later steps do not look at them."""

    hides = ("return",)


class Still:
    """A planner of one's own: zeros."""

    def __init__(self, model: TransferModel, envs: int, decode: str) -> None:
        self.size = model.env_spec.action_size

    def act(self, step: Step) -> Tensor:
        """Nothing moves."""
        return torch.zeros(len(step.states), self.size)

    def select(self, rows: Tensor) -> None:
        """No state."""


class PlansItself(Masked):
    """Names its planner."""

    planner = "still"


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    """The methods and the planner, for one test."""
    table: Mapping[str, dict[str, Any]] = registry._table()
    kinds = {"masked": Masked, "measured": MaskedWithError, "hiding": Hiding, "backwards": Backwards}
    for kind, made in {**kinds, "itself": PlansItself}.items():
        monkeypatch.setitem(table["method"], kind, made)
    monkeypatch.setitem(table["planner"], "still", Still)


def model_of(method: str, episodes: Episodes) -> TransferModel:
    trunk = new_trunk(SMALL, 0, PartSpec(method))
    adapter = build_adapter(episodes, SMALL, config_of(bins=8), method=PartSpec(method), context=4)
    for module, seed in ((trunk, 0), (adapter.parts()["state"], 1), (adapter.parts()["action"], 2)):
        enliven(module, seed)
    return TransferModel(trunk, adapter).eval()


def a_batch(model: TransferModel, episodes: Episodes) -> Batch:
    """Windows of 4 steps, one of which is padded behind its second."""
    return WindowSampler(episodes, 4, 2, spec=model.windows).windows(torch.tensor([0, 11]))


def test_padding_changes_nothing_where_tokens_look_ahead(make_episodes: MakeEpisodes) -> None:
    model = model_of("masked", make_episodes())
    batch = a_batch(model, make_episodes())
    assert batch.mask.tolist()[1] == [True, True, False, False]
    other = replace(batch, states=torch.where(batch.mask[..., None], batch.states, 7.0))
    one, same = (model.loss(each)["action"] for each in (batch, other))
    assert one.sum == same.sum and one.sum > 0
    changed = batch.states.clone()
    changed[0, 3] += 1.0  # a real step behind the others is looked at
    assert model.loss(replace(batch, states=changed))["action"].sum != one.sum


def test_a_masked_action_is_not_seen_and_its_own_position_is_read(make_episodes: MakeEpisodes) -> None:
    model = model_of("masked", make_episodes())
    batch = a_batch(model, make_episodes())
    method = model.method
    assert isinstance(method, Masked)
    masked = torch.zeros_like(batch.mask)
    masked[0, 2] = True
    found = method.masked(model, batch, masked)[0]
    changed = batch.actions.clone()
    changed[0, 2] = -changed[0, 2]
    assert torch.equal(method.masked(model, replace(batch, actions=changed), masked)[0], found)
    tokens = model.embed(batch, model.values(batch))
    before = model.hidden(tokens, ["action"], real=batch.mask)["action"]
    at = model.hidden(tokens, ["action"], real=batch.mask, at=True)["action"]
    torch.testing.assert_close(before[:, :, 1:], at[:, :, :-1])  # the next token's position before is this one's own
    assert not torch.allclose(before, at)


def test_padding_that_nobody_names_is_refused(make_episodes: MakeEpisodes) -> None:
    model = model_of("masked", make_episodes())
    batch = a_batch(model, make_episodes())
    with pytest.raises(TransferError, match="Masked is not causal, so its tokens would look at padding"):
        model.hidden(model.embed(batch, model.values(batch)), ["action"])


def test_it_trains_and_its_vector_is_the_trunk_s(make_episodes: MakeEpisodes) -> None:
    data = make_episodes()
    first = new_trunk(SMALL, 0, PartSpec("masked"))
    trained = pretrain(data, method="masked", config=QUICK, trunk_config=SMALL, adapter_config=config_of(bins=8))
    assert isinstance(trained.trunk, Trunk) and set(trained.trunk.shared) == {"mask"}
    assert not torch.equal(trained.trunk.shared["mask"].weight, first.shared["mask"].weight)  # type: ignore[arg-type]


def test_the_error_of_actions_that_are_seen_is_none(make_episodes: MakeEpisodes) -> None:
    data = make_episodes()
    with pytest.raises(TransferError, match="Masked is not causal.*an action_error that hides them"):
        held_out_error(model_of("masked", data), data)
    batch = a_batch(model_of("measured", data), data)
    found = model_of("measured", data).action_error(batch)
    assert found.sum > 0 and found.count == 2 * 3  # the last action of two windows, three numbers each


def test_later_steps_do_not_look_at_what_is_hidden(make_episodes: MakeEpisodes) -> None:
    seen = {}
    for method in ("hiding", "backwards"):
        model = model_of(method, make_episodes())
        batch = a_batch(model, make_episodes())
        changed = batch.columns["returns"].clone()
        changed[0, 0] += 50.0
        other = replace(batch, columns={**batch.columns, "returns": changed})
        one, two = (model.hidden(model.embed(x, model.values(x)), ["action"])["action"] for x in (batch, other))
        seen[method] = not torch.allclose(one[0, 1:], two[0, 1:])
    assert seen == {"hiding": False, "backwards": True}


@pytest.mark.parametrize(
    ("method", "why"),
    [
        ("masked", "Masked is not causal"),
        ("hiding", "Hiding hides return from later steps"),
        ("backwards", "Backwards has return behind the action"),
    ],
)
def test_the_planner_of_tokens_refuses_what_it_would_decode_wrongly(
    method: str, why: str, make_episodes: MakeEpisodes
) -> None:
    with pytest.raises(TransferError, match=f"{why}.*registry.register\\('planner'"):
        model_of(method, make_episodes()).policy(**({} if method == "masked" else {"target_return": 5.0}))


def test_a_method_names_its_planner(make_episodes: MakeEpisodes) -> None:
    policy = model_of("itself", make_episodes()).policy()
    assert policy.act([1.0] * 11).tolist() == [0.0, 0.0, 0.0]


@pytest.mark.parametrize(
    ("name", "words"),
    [("drop", "'drop' is a name of the trunk itself"), ("time", "'time'"), ("forward", "'forward'"), ("a.b", "'a.b'")],
)
def test_what_a_trunk_shares_takes_no_name_of_the_trunk(name: str, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    shared = {"shared": lambda self, width: {name: nn.Linear(1, width)}}
    monkeypatch.setitem(registry._table()["method"], "named", type("Named", (BC,), shared))
    with pytest.raises(TransferError, match=words):
        Trunk(SMALL, PartSpec("named"))


@pytest.mark.parametrize("name", ["scales", "trunk", "config", "save"])
def test_an_extra_takes_no_name_of_the_adapter(
    name: str, make_episodes: MakeEpisodes, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = {
        "extras": (name,),
        "fit": lambda self, episodes: {name: {}},
        "make": lambda self, name, arguments: nn.Linear(1, 1),
    }
    monkeypatch.setitem(registry._table()["method"], "named", type("Named", (BC,), own))
    with pytest.raises(TransferError, match=f"'{name}' is a name of the adapter itself"):
        build_adapter(make_episodes(), SMALL, method=PartSpec("named"))
