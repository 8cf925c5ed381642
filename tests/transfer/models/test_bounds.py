"""Actions in the bounds of their environment, in and out, on every road: what data teach is what is played."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.forcing import step_of
from tests.kinds import config_of
from tests.lively import enliven
from tests.toys import toy
from transfer.adapters.build import build_adapter
from transfer.data.batch import Batch
from transfer.data.episodes import Episodes
from transfer.data.measured.measure import measure
from transfer.data.windows import WindowSampler
from transfer.decoding.planner import make_planner
from transfer.evaluation.evaluate import evaluate, evaluate_together
from transfer.models.adapter import Adapter
from transfer.models.mixed_model import MixedModel
from transfer.models.mlp import MLPPolicy
from transfer.models.sequence_model import TransferModel
from transfer.models.trunk import TrunkConfig
from transfer.recipes.programs.adapt import adapt
from transfer.recipes.programs.modes import new_trunk
from transfer.recipes.programs.pretrain import pretrain
from transfer.training.train_config import TrainConfig

SMALL = TrunkConfig(width=32, depth=1, heads=2, dropout=0.0)
BOUNDS: dict[str, tuple[Any, Any]] = {
    "two": (-2.0, 2.0),
    "narrow": (-0.4, 0.4),
    "from zero": (0.0, 3.0),
    "asymmetric": (-1.0, 5.0),
    "each its own": ([-2.0, 0.0, -0.5], [2.0, 1.0, 7.0]),
    "one side": ([-np.inf, 0.0, -1.0], [0.5, np.inf, 1.0]),
    "none": (-np.inf, np.inf),
}
KINDS = {
    "whole": {"action": "ActionEmbedding"},
    "whole tokenized": {"action": "ActionTokenizedEmbedding"},
    "spread": {"action": "ActionSpreadEmbedding"},
    "spread categorical": {"action": "ActionSpreadEmbedding", "readout": "categorical"},
    "tokenized": {"action": "ActionTokenizedSpreadEmbedding"},
    "categorical": {"action": "ActionTokenizedSpreadEmbedding", "readout": "categorical"},
    "uniform": {"tokenizer": "uniform", "readout": "categorical"},
    "mu-law": {"tokenizer": "mu-law", "readout": "categorical"},
}


def episodes_in(low: Any, high: Any, seed: int = 0, best: float = 1.0) -> Episodes:
    """12 episodes of 10 steps in a toy of 3 actions; they use all of its bounds, or -3 to 3 where it has none."""
    rng = np.random.default_rng(seed)
    floor, ceiling = np.broadcast_to(low, 3), np.broadcast_to(high, 3)
    least, most = np.where(np.isfinite(floor), floor, -3.0), np.where(np.isfinite(ceiling), ceiling, 3.0)
    share = rng.uniform(0, 1, (120, 3))
    share[0], share[1] = 0, 1
    actions = least + share * (most - least)
    return Episodes.from_arrays(
        rng.normal(size=(120, 4)), actions, rng.uniform(0, best, 120), [10] * 12, toy(4, 3, low, high)
    )


def make(low: Any, high: Any, seed: int = 0, **kinds: Any) -> TransferModel:
    """A lively model for such a toy."""
    trunk = new_trunk(SMALL, 0)
    adapter = build_adapter(episodes_in(low, high), SMALL, config_of(**{"bins": 8, **kinds}), seed, context=4)
    enliven(trunk, 0)
    enliven(adapter, seed)
    adapter.made_on(trunk)
    return TransferModel(trunk, adapter).eval()


def batch_of(episodes: Episodes) -> Batch:
    return WindowSampler(episodes, 5, 8).batch(0)


def same_in_unit_bounds(model: TransferModel) -> TransferModel:
    """The same weights in an environment of -1 to 1: what every step computes inside."""
    adapter = model.adapter
    spec = episodes_in(-1.0, 1.0).env_spec
    ones = replace(adapter.statistics, action_low=(-1.0,) * 3, action_high=(1.0,) * 3)
    unit = Adapter(
        adapter.config, adapter.arguments(), spec, ones, adapter.width, adapter.depth, provenance=adapter.provenance
    )
    weights = {k: v for k, v in adapter.state_dict().items() if not k.startswith("scales.")}
    unit.load_state_dict(weights, strict=False)
    return TransferModel(model.trunk, unit).eval()


def played(model: TransferModel, envs: int = 2, decode: str = "autoregressive", kernels: bool = True) -> torch.Tensor:
    """(steps, E, A): actions over two windows."""
    planner: Any = make_planner(model, envs, decode)
    if not kernels:
        planner.choose = planner._one_by_one
    generator = torch.Generator().manual_seed(1)
    seen = ((torch.randn(envs, 4, generator=generator), torch.rand(envs, generator=generator) * 10) for _ in range(7))
    return torch.stack([planner.act(step_of(*one, torch.full((envs,), step))) for step, one in enumerate(seen)])


@pytest.mark.parametrize("kinds", KINDS.values(), ids=KINDS.keys())
@pytest.mark.parametrize("decode", ["autoregressive", "parallel"])
def test_actions_are_those_of_unit_bounds_stretched_to_their_own(kinds: Mapping[str, Any], decode: str) -> None:
    model = make([-2.0, 0.0, -0.5], [2.0, 1.0, 7.0], **kinds)
    ours, unit = played(model, decode=decode), played(same_in_unit_bounds(model), decode=decode)
    middle, half = torch.tensor([0.0, 0.5, 3.25]), torch.tensor([2.0, 0.5, 3.75])
    torch.testing.assert_close(ours, middle + half * unit, atol=1e-5, rtol=1e-5)
    assert unit.std() > 0.1


@pytest.mark.parametrize("kinds", KINDS.values(), ids=KINDS.keys())
@pytest.mark.parametrize("envs", [1, 9])
@pytest.mark.usefixtures("kernels")
def test_kernels_and_pytorch_act_alike(kinds: Mapping[str, Any], envs: int) -> None:
    model = make(0.0, 3.0, **kinds)
    if model.adapter.action.spread:
        torch.testing.assert_close(played(model, envs), played(model, envs, kernels=False), atol=1e-5, rtol=1e-5)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("transfer.runtime.native.fits", lambda size: False)
        slow = played(model, envs)
    torch.testing.assert_close(played(model, envs), slow, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(("low", "high"), BOUNDS.values(), ids=BOUNDS.keys())
def test_whatever_leaves_a_policy_lies_in_its_environment_s_bounds(low: Any, high: Any) -> None:
    model, episodes = make(low, high), episodes_in(low, high)
    with torch.no_grad():
        model.adapter.action.readout.bias += 100  # a tanh of exactly 1
    mlp = MLPPolicy(episodes.env_spec, measure(episodes), 4)
    with torch.no_grad():
        mlp.out.bias -= 100
    space = episodes.env_spec.make().action_space
    top, bottom = model.policy().act(np.zeros(4, np.float32)), mlp.policy().act(np.zeros(4, np.float32))
    assert space.contains(top) and space.contains(bottom)
    np.testing.assert_array_equal(top, np.where(np.isfinite(space.high), space.high, 3.0))
    np.testing.assert_array_equal(bottom, np.where(np.isfinite(space.low), space.low, -3.0))
    for policy in (model, mlp):
        assert all(space.contains(action) for action in evaluate(policy, num_episodes=3).actions)


def test_unit_bounds_change_nothing_to_the_bit() -> None:
    model = make(-1.0, 1.0)
    batch = batch_of(episodes_in(-1.0, 1.0))
    assert torch.equal(model.adapter.scales.scale_actions(batch.actions), batch.actions)
    planner: Any = make_planner(model, 2)
    scaled = torch.rand(50, 3) * 2 - 1
    assert torch.equal(planner.action.raw(scaled, planner.scales), scaled)


@pytest.mark.parametrize("kinds", KINDS.values(), ids=KINDS.keys())
def test_the_loss_does_not_depend_on_the_bounds(kinds: Mapping[str, Any]) -> None:
    model, wide = make(-1.0, 1.0, **kinds), make(-2.0, 2.0, **kinds)
    ours, theirs = (one.loss(batch_of(episodes_in(*b))) for one, b in ((model, (-1.0, 1.0)), (wide, (-2.0, 2.0))))
    torch.testing.assert_close(ours, theirs)


def test_a_loaded_policy_acts_in_the_same_bounds(tmp_path: Path) -> None:
    model = make([-np.inf, 0.0, -1.0], [0.5, np.inf, 1.0])
    model.adapter.save(tmp_path / "adapter")
    again = TransferModel(model.trunk, Adapter.load(tmp_path / "adapter", model.trunk))
    assert torch.equal(played(again), played(model))
    episodes = episodes_in(0.0, 3.0)
    mlp = MLPPolicy(episodes.env_spec, measure(episodes), 4)
    mlp.save(tmp_path / "mlp")
    one, other = (evaluate(each, num_episodes=2) for each in (mlp, MLPPolicy.load(tmp_path / "mlp")))
    np.testing.assert_array_equal(one.actions, other.actions)


def test_adapters_of_one_trunk_act_each_in_its_own_bounds() -> None:
    one, other = make(-2.0, 2.0), make(0.0, 3.0, seed=1)
    mixed = MixedModel(one.trunk, {"one": one.adapter, "other": other.adapter})
    batches = {"one": batch_of(episodes_in(-2.0, 2.0)), "other": batch_of(episodes_in(0.0, 3.0))}
    losses = mixed.loss(batches)
    assert list(losses) == ["one/action", "other/action"]
    for name, batch in batches.items():
        torch.testing.assert_close(losses[f"{name}/action"], mixed[name].loss(batch)["action"])
    results = evaluate_together(mixed, num_episodes=3)
    assert results["other"].actions.min() >= 0 and results["one"].actions.min() < -0.5
    for name, model in (("one", one), ("other", TransferModel(one.trunk, other.adapter))):
        np.testing.assert_allclose(results[name].actions, evaluate(model, num_episodes=3).actions, atol=1e-4)


@pytest.mark.parametrize(
    ("kind", "one"), [*((kind, 1000.0) for kind in KINDS if kind not in ("uniform", "mu-law")), ("tokenized", -1000.0)]
)
def test_asked_for_each_of_two_close_returns_the_actions_differ_as_the_data_s_do(kind: str, one: float) -> None:
    rng, better = np.random.default_rng(0), np.arange(24) % 2 == 1
    rewards = np.repeat(one / 10 + better, 10)
    actions = np.repeat(np.where(better, 2.4, 0.6), 10)[:, None] + rng.normal(0, 0.03, (240, 1))
    data = Episodes.from_arrays(rng.normal(size=(240, 2)), actions, rewards, [10] * 24, toy(2, 1, 0.0, 3.0))
    assert data.env_spec.reference.table == "dataset"
    config = TrainConfig(steps=150, batch_size=16, context=4, lr=5e-3, log_every=50, save_every=50)
    parts = config_of(**{"bins": 8, "state": "linear", **KINDS[kind]})  # type: ignore[arg-type]
    model = pretrain(data, config=config, trunk_config=SMALL, adapter_config=parts).model
    asked = {wanted: model.policy(target_return=wanted).act(np.zeros(2)) for wanted in (one, one + 10)}
    np.testing.assert_allclose([asked[one], asked[one + 10]], [[0.6], [2.4]], atol=0.35)


def test_an_mlp_tells_them_apart_too_and_reaches_its_bounds() -> None:
    better = np.arange(24) % 2 == 1
    actions = np.repeat(np.where(better, 2.0, -2.0), 10)[:, None]
    states, rewards = np.random.default_rng(0).normal(size=(240, 2)), np.repeat(100.0 + better, 10)
    data = Episodes.from_arrays(states, actions, rewards, [10] * 24, toy(2, 1, -2.0, 2.0))
    config = TrainConfig(steps=300, batch_size=16, context=4, lr=5e-3, log_every=50, save_every=50)
    model = adapt(None, data, "mlp", config=config, trunk_config=SMALL).model
    asked = [model.policy(target_return=wanted).act(np.zeros(2)) for wanted in (1000.0, 1010.0)]
    np.testing.assert_allclose(asked, [[-2.0], [2.0]], atol=0.1)


def test_episodes_of_one_step_are_learned_and_played() -> None:
    states, better = np.random.default_rng(0).normal(size=(60, 2)), np.arange(60) % 2 == 1
    data = Episodes.from_arrays(
        states, np.where(better, 0.5, 2.5)[:, None], 1.0 * better, [1] * 60, toy(2, 1, 0.0, 3.0)
    )
    config = TrainConfig(steps=100, batch_size=16, context=1, lr=5e-3, log_every=50, save_every=50)
    model = pretrain(data, config=config, trunk_config=SMALL, adapter_config=config_of(bins=8)).model
    assert model.context == 1
    asked = [model.policy(target_return=wanted).act(np.zeros(2)) for wanted in (0.0, 1.0)]
    np.testing.assert_allclose(asked, [[2.5], [0.5]], atol=0.35)
    assert evaluate(model, num_episodes=2).lengths.tolist() == [10, 10]
