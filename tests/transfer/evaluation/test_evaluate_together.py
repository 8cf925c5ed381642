"""Evaluating several adapters plays the episodes that each plays alone."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests import point
from transfer.adapters.build import build_adapter
from transfer.data.environment.spec import EnvironmentSpec
from transfer.data.episodes import Episodes
from transfer.errors import TransferError
from transfer.evaluation.evaluate import evaluate, evaluate_together
from transfer.models.adapter import Adapter
from transfer.models.mixed_model import MixedModel
from transfer.models.trunk import Trunk

MakeTrunk = Callable[..., Trunk]
MakeAdapter = Callable[..., Adapter]
Short = Callable[..., EnvironmentSpec]
CONTEXT = 4


@pytest.fixture
def mixed(make_trunk: MakeTrunk, make_adapter: MakeAdapter, short: Short) -> MixedModel:
    """Hopper and Walker2d, whose episodes are cut at other lengths, on one trunk."""
    trunk = make_trunk()
    adapters = {
        "hopper": make_adapter("Hopper-v5", 0, trunk, ia3=True, context=CONTEXT),
        "walker2d": make_adapter("Walker2d-v5", 1, trunk, context=CONTEXT),
    }
    for name, steps in (("hopper", 7), ("walker2d", 10)):
        adapters[name].env_spec = short(name, steps)
    return MixedModel(trunk, adapters).eval()


def check_alone(model: MixedModel, targets: dict[str, float] | None = None, **options: Any) -> None:
    """What is played together is what each adapter plays alone."""
    together = evaluate_together(model, target_returns=targets, **options)
    assert list(together) == list(model.models)
    for name, result in together.items():
        alone = evaluate(model[name], target_return=(targets or {}).get(name), **options)
        got, wanted = result.to_json(), alone.to_json()
        for key in ("returns", "mean_return", "mean_score"):
            assert got.pop(key) == pytest.approx(wanted.pop(key), abs=1e-3)
        assert got == wanted
        np.testing.assert_allclose(result.actions, alone.actions, atol=1e-4)


@pytest.mark.parametrize("decode", ["autoregressive", "parallel"])
def test_hopper_and_walker2d_play_what_they_play_alone(decode: str, mixed: MixedModel) -> None:
    check_alone(mixed, {"walker2d": 1234.0}, num_episodes=3, num_envs=2, decode=decode)


def test_results_differ_between_adapters_and_episodes(mixed: MixedModel) -> None:
    together = evaluate_together(mixed, 3)
    assert [together[name].lengths.max() for name in ("hopper", "walker2d")] == [7, 10]
    assert all(len(set(result.returns.tolist())) == 3 for result in together.values())


def test_an_environment_of_ones_own_beside_a_known_one(
    make_trunk: MakeTrunk, make_adapter: MakeAdapter, short: Short
) -> None:
    """The point's episodes all last 15 steps and tell of success; Hopper's are over after 6."""
    point.register()
    trunk, rng = make_trunk(), np.random.default_rng(0)
    states = {key: rng.normal(size=(30, 2)) for key in ("observation", "achieved_goal", "desired_goal")}
    episodes = Episodes.from_arrays(states, rng.uniform(-1, 1, (30, 2)), rng.normal(size=30), (15, 15), point.GYM_ID)
    adapters = {
        "point": build_adapter(episodes, trunk.config),
        "hopper": make_adapter("Hopper-v5", 0, trunk, context=CONTEXT),
    }
    adapters["hopper"].env_spec = short("hopper", 6)
    model = MixedModel(trunk, adapters).eval()
    check_alone(model, num_episodes=3)
    result = evaluate_together(model, 3)["point"]
    assert result.lengths.tolist() == [15, 15, 15] and result.successes is not None


def test_waves_seeds_and_counts(make_trunk: MakeTrunk, make_adapter: MakeAdapter, countdowns: list[Any]) -> None:
    trunk = make_trunk()
    model = MixedModel(trunk, {name: make_adapter("Hopper-v5", i, trunk) for i, name in enumerate("ab")}).eval()
    counts: list[int] = []
    result = evaluate_together(model, 7, num_envs=3, on_episode=counts.append)
    assert [env.seeds for env in countdowns if env.seeds] == [
        [10_000, 10_003, 10_006],
        [10_001, 10_004],
        [10_002, 10_005],
    ] * 2
    assert all(one.lengths.tolist() == [2, 3, 4, 5, 6, 2, 3] for one in result.values())
    assert all(one.seeds.tolist() == list(range(10_000, 10_007)) for one in result.values())
    assert counts == list(range(1, 15))
    assert all(env.closed for env in countdowns)


def test_the_model_is_left_as_it_was(mixed: MixedModel) -> None:
    mixed.train()
    mixed.trunk.eval()
    before = [module.training for module in mixed.modules()]
    evaluate_together(mixed, 1)
    assert [module.training for module in mixed.modules()] == before


def test_an_environment_that_cannot_be_built_is_refused_before_another_has_played(mixed: MixedModel) -> None:
    spec, counts = mixed["walker2d"].env_spec, list[int]()
    mixed["walker2d"].adapter.env_spec = replace(spec, gym_spec=spec.gym_spec.replace("Walker2d-v5", "Missing-v0"))
    with pytest.raises(TransferError, match="no environment 'Missing-v0' is registered"):
        evaluate_together(mixed, 1, on_episode=counts.append)
    assert counts == []


def test_mistakes_are_refused(mixed: MixedModel) -> None:
    with pytest.raises(TransferError, match="unknown adapter 'hoper'. Did you mean 'hopper'"):
        evaluate_together(mixed, 1, target_returns={"hoper": 1.0})
    with pytest.raises(TransferError, match="at least 1"):
        evaluate_together(mixed, 0)
