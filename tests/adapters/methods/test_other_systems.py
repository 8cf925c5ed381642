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
from transfer.evaluation.evaluate import evaluate, evaluate_together
from transfer.models.acting import Step
from transfer.models.mixed_model import MixedModel
from transfer.models.sequence_model import TransferModel
from transfer.models.steps.group import Loss
from transfer.models.steps.method import AskedModel, StepModel
from transfer.models.trunk import Trunk, TrunkConfig
from transfer.recipes.programs.modes import new_trunk
from transfer.recipes.programs.pretrain import pretrain
from transfer.registry import PartSpec
from transfer.storage.fingerprints import fingerprint
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


class Percent(DT):
    """Asked in percent of the largest return: what it is asked for is no raw value."""

    def asked(self, model: AskedModel, ask: Mapping[str, Any]) -> dict[str, float]:
        """The raw return."""
        return {"return": model.statistics.return_quantiles["max"] * float(ask.get("return", 100)) / 100}


def test_what_a_policy_is_asked_for_is_completed_once(
    make_episodes: MakeEpisodes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(registry._table()["method"], "percent", Percent)
    model = model_of("percent", make_episodes())
    most = model.statistics.return_quantiles["max"]
    model.adapter.env_spec = replace(model.env_spec, max_episode_steps=3)
    mixed = MixedModel(model.trunk, {"one": model.adapter})
    found = evaluate_together(mixed, 1, target_returns={"one": 50})["one"].asked
    assert found == evaluate(model, num_episodes=1, target_return=50).asked == {"return": pytest.approx(most / 2)}
    assert evaluate_together(mixed, 1)["one"].asked == {"return": pytest.approx(most)}


@pytest.mark.parametrize("found", [None, "fast", ["return"], {"return": None}, {"return": float("nan")}])
def test_what_a_method_says_it_is_asked_for_is_checked(
    found: Any, make_episodes: MakeEpisodes, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = type("Says", (DT,), {"asked": lambda self, model, ask: found})
    monkeypatch.setitem(registry._table()["method"], "says", made)
    with pytest.raises(TransferError, match="what the method 'says' asks|return"):
        model_of("says", make_episodes()).policy()


class Dropping(DT):
    """Draws in its loss, as masked objectives do."""

    def loss(self, model: StepModel, batch: Batch, precision: torch.dtype = torch.float32) -> dict[str, Loss]:
        """Of some steps."""
        kept = batch.mask & (torch.rand(batch.mask.shape) < 0.7)
        kept[:, 0] |= batch.mask[:, 0]
        return super().loss(model, replace(batch, mask=kept), precision)


def test_a_method_draws_by_the_seed_of_the_step(make_episodes: MakeEpisodes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(registry._table()["method"], "dropping", Dropping)
    found = []
    for seed in (0, 0, 1):
        before = torch.get_rng_state()
        made = pretrain(make_episodes(), method="dropping", config=QUICK, trunk_config=SMALL, seed=seed)
        assert torch.equal(torch.get_rng_state(), before)
        torch.rand(3)  # the caller's own draws play no part
        found.append(fingerprint(made.trunk))
    assert found[0] == found[1] != found[2]


def test_a_trunk_that_lacks_what_the_method_shares_is_refused(make_episodes: MakeEpisodes) -> None:
    adapter = model_of("masked", make_episodes()).adapter
    trunk = new_trunk(SMALL, 0, PartSpec("bc"))
    with pytest.raises(TransferError, match="method 'masked' needs mask, which neither the trunk .method 'bc'. nor"):
        TransferModel(trunk, adapter, any_trunk=True)


class Narrow(Still):
    """One number for an action."""

    def act(self, step: Step) -> Tensor:
        """(E, 1)."""
        return torch.zeros(len(step.states), 1)


def test_actions_of_another_shape_are_refused(make_episodes: MakeEpisodes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(registry._table()["planner"], "still", Narrow)
    model = model_of("itself", make_episodes())
    with pytest.raises(TransferError, match=r"action has shape \(1,\); \(3,\) is needed"):
        model.policy().act([1.0] * 11)
    model.adapter.env_spec = replace(model.env_spec, max_episode_steps=3)
    with pytest.raises(TransferError, match=r"actions have shape \(2, 1\); \(2, 3\) is needed"):
        evaluate(model, num_episodes=2)


def test_tokens_and_predictions_of_another_shape_are_refused(make_episodes: MakeEpisodes) -> None:
    model = model_of("dt", make_episodes())
    batch, action = a_batch(model, make_episodes()), model.adapter.parts()["action"]
    right = action.embed
    action.embed = lambda values, shared, first=0: right(values, shared, first)[:1]  # type: ignore[assignment, operator]
    with pytest.raises(TransferError, match=r"the action part embeds as \(1, 4, 3, 32\); \(2, 4, 3, 32\) is needed"):
        model.loss(batch)
    action.embed = right
    action.predict = lambda hidden, shared, first=0: hidden[..., :2].sum(-2)  # type: ignore[assignment]
    with pytest.raises(TransferError, match="the action part predicts 6 values, and embeds 3"):
        model.policy(target_return=5.0).act([1.0] * 11)


def test_a_loss_that_nothing_that_trains_reaches_is_refused(
    make_episodes: MakeEpisodes, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = type(
        "Apart",
        (BC,),
        {"loss": lambda self, model, batch, precision: {"a": Loss(batch.states.sum(), batch.mask.sum())}},
    )
    monkeypatch.setitem(registry._table()["method"], "apart", made)
    with pytest.raises(TransferError, match="the loss depends on none of the .* tensors that train"):
        pretrain(make_episodes(), method="apart", config=QUICK, trunk_config=SMALL)
