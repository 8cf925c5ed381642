"""Settings, environments and models of evaluations: which are taken, and which are refused by name."""

import contextlib
import json
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import gymnasium
import numpy as np
import pytest

from transfer.data.environment.observations import Slice
from transfer.envs.catalog import environment
from transfer.errors import TransferError
from transfer.evaluation.calibration import calibrate
from transfer.evaluation.evaluate import evaluate, evaluate_together
from transfer.evaluation.policy import Policy
from transfer.models.mixed_model import MixedModel
from transfer.models.mlp import MLPPolicy
from transfer.models.sequence_model import TransferModel

MakeModel = Callable[..., TransferModel]


def test_an_environment_of_another_size_is_refused(make_model: MakeModel) -> None:
    with pytest.raises(
        TransferError, match=r"for 'hopper' \(11 states, 3 actions\).*'walker2d' \(17 states, 6 actions"
    ):
        evaluate(make_model("Hopper-v5"), environment("walker2d"), 1)


def test_an_environment_is_an_id_an_object_a_spec_or_ours(make_model: MakeModel) -> None:
    model = make_model()
    wanted = evaluate(model, num_episodes=2).to_json()
    with contextlib.closing(gymnasium.make("Hopper-v5")) as env:
        for given in ("Hopper-v5", env, gymnasium.spec("Hopper-v5"), environment("hopper")):
            assert evaluate(model, given, 2).to_json() == wanted
        env.reset(seed=0)
        env.step(env.action_space.sample())  # it was not closed
    for wrong in ("Hoper-v5", 3, [], object()):
        with pytest.raises(TransferError, match="no environment for"):
            evaluate(model, wrong, 2)


def test_another_body_of_the_same_sizes_is_played_on_purpose_only(make_model: MakeModel) -> None:
    """HalfCheetah and Walker2d: 17 states and 6 actions each."""
    walker = make_model("Walker2d-v5")
    with pytest.raises(TransferError, match=r"'walker2d'.*'halfcheetah'.*any_body=True"):
        evaluate(walker, environment("halfcheetah"), 1)
    result = evaluate(walker, replace(environment("halfcheetah"), max_episode_steps=3), 1, any_body=True)
    assert result.env_spec.name == "halfcheetah"
    assert evaluate(walker, replace(environment("walker2d"), max_episode_steps=3), 1).lengths.tolist() == [3]
    other = replace(walker.env_spec, slices=(Slice("b", 9, "b"), Slice("a", 8, "a")))
    with pytest.raises(TransferError, match="reads 17 state numbers, the environment shows 9 b \\+ 8 a numbers"):
        evaluate(walker, other, 1)


def test_where_no_return_is_known_the_ways_to_give_one_are_named(
    make_model: MakeModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = make_model()
    monkeypatch.setattr(model.adapter.scales, "_quantiles", {})
    for play in (partial(evaluate, model, num_episodes=1), model.policy):
        with pytest.raises(TransferError, match=r"no return to ask for: give target \(a score\) or target_return"):
            play()
    assert model.policy(target_return=5.0).target_return == 5.0


def test_other_bounds_of_actions_are_said(make_model: MakeModel, caplog: pytest.LogCaptureFixture) -> None:
    model = make_model()
    evaluate(model, "Hopper-v4", 1)
    assert not caplog.records
    with contextlib.closing(gymnasium.make("Hopper-v5")) as env:
        evaluate(model, gymnasium.wrappers.RescaleAction(env, np.float32(0), np.float32(0.5)), 1)
    assert "takes actions between (0.0, 0.0, 0.0) and (0.5, 0.5, 0.5)" in caplog.text


def test_what_a_file_names_is_built_with_trust_only(make_model: MakeModel) -> None:
    model = make_model()
    spec = json.loads(model.env_spec.gym_spec) | {"id": "Unknown-v0", "entry_point": "tests.toys:Toy", "kwargs": {}}
    spec["kwargs"] = {"state_size": 11, "action_size": 3}
    model.adapter.env_spec = replace(model.env_spec, gym_spec=json.dumps(spec), max_episode_steps=2)
    mixed = MixedModel(model.trunk, {"one": model.adapter})
    with pytest.raises(TransferError, match="trust"):
        evaluate(model, num_episodes=1)
    with pytest.raises(TransferError, match="trust"):
        evaluate_together(mixed, 1)
    assert evaluate(model, num_episodes=1, trust=True).lengths.tolist() == [2]
    assert evaluate_together(mixed, 1, trust=True)["one"].lengths.tolist() == [2]
    assert calibrate(model, [1.0], 1, trust=True).asked == (1.0,)


def roads(model: TransferModel) -> dict[str, Callable[..., Any]]:
    """Everything that plays."""
    return {
        "evaluate": partial(evaluate, model),
        "evaluate_together": partial(evaluate_together, MixedModel(model.trunk, {"one": model.adapter})),
        "calibrate": partial(calibrate, model),
    }


@pytest.mark.parametrize("road", ["evaluate", "evaluate_together", "calibrate"])
@pytest.mark.parametrize(
    ("name", "value"),
    [
        *((name, value) for name in ("num_episodes", "num_envs") for value in (0, -1, 2.5, True, "3", None, 10**15)),
        *(("num_episodes", value) for value in (float("nan"), float("inf"), [3], np.array([3, 4]))),
        *(("decode", value) for value in ("paralel", None, 1, ["parallel"])),
        ("on_episode", 3),
    ],
)
def test_settings_of_a_wrong_type_or_size_are_refused(road: str, name: str, value: Any, make_model: MakeModel) -> None:
    with pytest.raises(TransferError, match=name):
        roads(make_model())[road](**{name: value})


@pytest.mark.parametrize("road", ["evaluate", "evaluate_together"])
@pytest.mark.parametrize("value", [-1, 1.5, "0", None, True, 2**64])
def test_first_seeds_that_are_none_are_refused(road: str, value: Any, make_model: MakeModel) -> None:
    with pytest.raises(TransferError, match="first_seed"):
        roads(make_model())[road](first_seed=value)


def test_numpys_numbers_are_settings_too(make_model: MakeModel, countdowns: list[Any]) -> None:
    numbers = {
        "num_episodes": np.int64(3),
        "num_envs": np.array(2),
        "first_seed": np.int32(7),
        "target": np.float32(50),
    }
    result = evaluate(make_model(), **numbers)  # type: ignore[arg-type]
    assert result.to_json() == json.loads(json.dumps(result.to_json())) and result.seeds.tolist() == [7, 8, 9]


@pytest.mark.parametrize("name", ["target", "target_return"])
@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), "3000", True, 1e40, [1.0], np.nan])
def test_targets_that_are_no_finite_numbers_are_refused(name: str, value: Any, make_model: MakeModel) -> None:
    model, tried = make_model(), {name: value}
    with pytest.raises(TransferError, match=name):
        evaluate(model, num_episodes=1, **tried)
    with pytest.raises(TransferError, match=name):
        model.policy(**tried)
    with pytest.raises(TransferError, match=name):
        roads(model)["evaluate_together"](**{f"{name}s": {"one": value}})
    if name == "target_return":
        with pytest.raises(TransferError, match="targets"):
            calibrate(model, [value])


def test_decode_is_checked_where_it_makes_no_difference(make_model: MakeModel) -> None:
    small = MLPPolicy(environment("hopper"), make_model().statistics, hidden=4)
    for road in (partial(evaluate, small), partial(calibrate, small), small.policy):
        with pytest.raises(TransferError, match="unknown decode 'paralel'. Did you mean 'parallel'"):
            road(decode="paralel")


@pytest.mark.parametrize("road", [evaluate, calibrate, Policy])
def test_what_is_no_model_is_refused(road: Callable[..., Any], make_model: MakeModel) -> None:
    model = make_model()
    for wrong, words in (
        ("model", "got 'model' \\(str\\)"),
        (model.adapter, "TransferModel\\(trunk, adapter\\)"),
        (MixedModel(model.trunk, {"one": model.adapter}), "evaluate_together takes several adapters"),
    ):
        with pytest.raises(TransferError, match=words):
            road(wrong)
    with pytest.raises(TransferError, match="evaluate takes it"):
        evaluate_together(model)
    for wrong in (model.adapter, None):
        with pytest.raises(TransferError, match=r"takes a MixedModel, got .*: MixedModel\(trunk, .*\) makes one"):
            evaluate_together(wrong)  # type: ignore[arg-type]
