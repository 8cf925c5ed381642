"""A policy in anyone's own loop acts as the evaluation does."""

import copy
import logging
import pickle
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from transfer.data.environment.observations import Slice
from transfer.data.environment.spec import EnvironmentSpec
from transfer.data.measured.calibration_table import Calibration
from transfer.errors import TransferError
from transfer.evaluation.evaluate import evaluate
from transfer.evaluation.policy import Policy
from transfer.models.sequence_model import TransferModel

MakeModel = Callable[..., TransferModel]


@pytest.fixture
def policy(make_model: MakeModel) -> Policy:
    return make_model(context=4).policy()


def observations(n: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(n, 11))


@pytest.mark.parametrize("decode", ["autoregressive", "parallel"])
def test_a_loop_of_your_own_gets_the_return_of_the_evaluation(
    decode: str, make_model: MakeModel, short: Callable[..., EnvironmentSpec]
) -> None:
    model, spec = make_model(context=6), short("hopper", 20)
    expected = evaluate(model, spec, 1, decode=decode, target_return=1000.0)
    policy, env = model.policy(target_return=1000.0, decode=decode), spec.make()
    observation, _ = env.reset(seed=10_000)
    action, total, steps = policy.act(observation), 0.0, 0
    while steps < 20:
        observation, reward, terminated, truncated, _ = env.step(action)
        total, steps = total + float(reward), steps + 1
        if terminated or truncated:
            break
        action = policy.act(observation, float(reward))
    env.close()
    assert steps == expected.lengths[0] and total == pytest.approx(expected.returns[0], rel=1e-6)


def test_an_action_has_the_size_and_type_of_the_environment(policy: Policy) -> None:
    action = policy.act(observations(1)[0])
    assert action.shape == (3,) and action.dtype == np.float32


def test_reset_forgets_the_episode(policy: Policy) -> None:
    first, second = observations(2)
    fresh = policy.act(first)
    later = policy.act(first, 1.0)
    policy.act(second, 50.0)
    assert np.abs(later - fresh).max() > 1e-4
    policy.reset()
    np.testing.assert_array_equal(policy.act(first), fresh)


def test_what_was_earned_is_no_longer_wanted(make_model: MakeModel) -> None:
    first, second = observations(2)
    actions = []
    for target, reward in ((1000.0, 0.0), (1000.0, 900.0)):
        policy = make_model().policy(target_return=target)
        policy.act(first)
        actions.append(policy.act(second, reward))
    assert np.abs(actions[0] - actions[1]).max() > 1e-4


def test_a_target_is_a_score_or_a_raw_return(make_model: MakeModel) -> None:
    model = make_model()
    by_score, by_return = model.policy(target=50.0), model.policy(target_return=model.env_spec.reference.returns(50.0))
    assert by_score.target_return == pytest.approx(by_return.target_return)
    assert model.policy().target_return == model.statistics.return_quantiles["p95"]
    assert model.policy(target_return=0.0).target_return == 0.0


def test_two_targets_are_refused(make_model: MakeModel) -> None:
    with pytest.raises(TransferError, match="not both"):
        make_model().policy(target=50.0, target_return=1000.0)


def test_the_first_call_takes_no_reward(policy: Policy) -> None:
    with pytest.raises(TransferError, match="opens an episode"):
        policy.act(observations(1)[0], 1.0)


def test_later_calls_need_the_reward(policy: Policy) -> None:
    policy.act(observations(1)[0])
    with pytest.raises(TransferError, match=r"act\(observation, reward\) goes on with it"):
        policy.act(observations(1)[0])


def test_an_observation_of_another_size_is_refused_and_changes_nothing(make_model: MakeModel) -> None:
    first, second = observations(2)
    policy, other = (make_model(context=2).policy(target_return=1000.0) for _ in range(2))
    for one in (policy, other):
        one.act(first)
    with pytest.raises(TransferError, match=r"'hopper', step 1: .* shape \(17,\); 11 numbers"):
        policy.act(np.zeros(17), 900.0)
    np.testing.assert_array_equal(policy.act(second, 900.0), other.act(second, 900.0))


@pytest.mark.parametrize(
    ("observation", "words"),
    [
        (np.zeros((8, 11)), r"shape \(8, 11\), 11 numbers.*acts in one environment"),
        (np.full(11, np.nan), "number 0 of 11 is nan"),
        (np.array([*range(10), 1e300]), "number 10 of 11 is inf"),
        ({"observation": np.zeros(11)}, "a flat vector wanted"),
        (None, "an observation, or the state vector"),
        ("state", "observation"),
        (np.zeros(11, complex), "complex128"),
        (np.ma.masked_array(np.zeros(11), [True] + [False] * 10), "masked"),
        (np.array([None] * 11), "Python objects"),
    ],
)
def test_what_is_no_observation_is_refused(observation: Any, words: str, policy: Policy) -> None:
    with pytest.raises(TransferError, match=words):
        policy.act(observation)
    assert policy.steps == 0


@pytest.mark.parametrize("reward", [float("nan"), np.float32("inf"), "1.0", [1.0, 2.0], {}, 3e38])
def test_rewards_that_are_no_finite_numbers_are_refused(reward: Any, policy: Policy) -> None:
    first, second = observations(2)
    policy.act(first)
    with pytest.raises(TransferError, match="reward"):
        policy.act(second, reward)
    assert policy.steps == 1


@pytest.mark.parametrize("reward", [2, np.float32(2), np.array(2.0), np.array([2.0]), torch.tensor(2.0)])
def test_rewards_of_the_types_in_use_are_numbers(reward: Any, make_model: MakeModel) -> None:
    first, second = observations(2)
    one, other = (make_model().policy() for _ in range(2))
    for policy in (one, other):
        policy.act(first)
    np.testing.assert_array_equal(one.act(second, reward), other.act(second, 2.0))


@pytest.mark.parametrize("kind", [list, np.float32, torch.tensor, lambda x: torch.tensor(x, requires_grad=True)])
def test_observations_of_the_types_in_use_are_vectors(kind: Any, make_model: MakeModel) -> None:
    (first,) = observations(1)
    np.testing.assert_allclose(make_model().policy().act(kind(first)), make_model().policy().act(first), atol=1e-6)


def test_another_adapter_is_acted_with_from_the_next_reset_on(make_model: MakeModel, make_adapter: Any) -> None:
    model, (first, second) = make_model(), observations(2)
    other = make_adapter("Hopper-v5", 7, model.trunk)
    other.scales.keep_calibration(Calibration((7.0,), (1.0,), None, 1))
    policy = model.policy()
    assert policy.target_return == model.statistics.return_quantiles["p95"]
    policy.act(first)
    model.swap(other)
    with pytest.raises(TransferError, match="another adapter was plugged.*reset"):
        policy.act(second, 1.0)
    policy.reset()
    assert policy.target_return == 7.0
    np.testing.assert_array_equal(policy.act(first), TransferModel(model.trunk, other).policy().act(first))


def test_a_score_is_a_return_of_the_adapter_that_acts(make_model: MakeModel, make_adapter: Any) -> None:
    model = make_model()
    policy, walker = model.policy(target=50.0), make_adapter("Walker2d-v5", 1, model.trunk)
    model.swap(walker)
    policy.reset()
    assert policy.target_return == pytest.approx(walker.env_spec.reference.returns(50.0))
    assert policy.act(np.zeros(17)).shape == (6,)


def test_what_was_learned_since_counts_from_the_next_reset_on(make_model: MakeModel) -> None:
    model, (first, second) = make_model(), observations(2)
    policy, twin = model.policy(), make_model().policy()
    for one in (policy, twin):
        one.act(first)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1)
    np.testing.assert_array_equal(policy.act(second, 1.0), twin.act(second, 1.0))
    policy.reset()
    assert np.abs(policy.act(first) - make_model().policy().act(first)).max() > 1e-3


def test_a_spec_with_keys_wants_a_mapping_or_the_state_by_its_name(make_model: MakeModel) -> None:
    model, rng = make_model(), np.random.default_rng(0)
    slices = Slice("b", 4, "b"), Slice("a", 7, "a")  # of another order than FlattenObservation's
    model.adapter.env_spec = replace(model.env_spec, slices=slices)
    parts = {"a": rng.normal(size=7), "b": rng.normal(size=4)}
    state = np.concatenate([parts["b"], parts["a"]])
    action = model.policy().act(parts)
    np.testing.assert_array_equal(model.policy().act(state=state), action)
    with pytest.raises(TransferError, match="keys a, b wanted.*state="):
        model.policy().act(np.concatenate([parts["a"], parts["b"]]))
    with pytest.raises(TransferError, match="not both"):
        model.policy().act(parts, state=state)


def test_actions_are_in_the_bounds_of_the_environment_as_those_of_an_evaluation(make_model: MakeModel) -> None:
    model = make_model()
    (first,) = observations(1)
    free = model.policy().act(first)
    low, high = (-0.1, -1.0, 0.0), (0.1, 0.01, 0.2)
    model.adapter.env_spec = replace(model.env_spec, action_low=low, action_high=high)
    action = model.policy().act(first)
    assert (action >= np.float32(low)).all() and (action <= np.float32(high)).all()
    assert action.dtype == np.float32 and np.abs(free).max() > 0.2


def test_an_episode_that_goes_on_past_its_limit_is_told_of(
    make_model: MakeModel, caplog: pytest.LogCaptureFixture
) -> None:
    model = make_model()
    model.adapter.env_spec = replace(model.env_spec, max_episode_steps=2)
    policy = model.policy()
    with caplog.at_level(logging.WARNING, "transfer"):
        policy.act(np.zeros(11))
        policy.act(np.zeros(11), 1.0)
        assert not caplog.records
        policy.act(np.zeros(11), 1.0)
        policy.act(np.zeros(11), 1.0)
    assert [record.getMessage() for record in caplog.records] == [
        "'hopper': an episode has 2 steps, this one goes on. Was reset forgotten?"
    ]


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda policy: pickle.loads(pickle.dumps(policy))])
def test_a_copy_goes_on_with_the_episode(
    copied: Callable[[Policy], Policy], action: str, way: str, make_model: MakeModel
) -> None:
    policy = make_model(action=action, width=32, context=4).policy()
    shown = observations(9)
    policy.act(shown[0])
    policy.act(shown[1], 1.0)
    twin = copied(policy)
    for observation in shown[2:]:
        np.testing.assert_array_equal(twin.act(observation, 0.5), policy.act(observation, 0.5))


@pytest.mark.usefixtures("kernels")
@pytest.mark.parametrize("here", ["other vectors", "no kernels"])
def test_a_copy_from_another_processor_says_that_its_past_is_lost(
    here: str, make_model: MakeModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its keys and values would be read in another order."""
    policy, (first, second) = make_model(width=32).policy(), observations(2)
    policy.act(first)
    twin = copy.deepcopy(policy)
    if here == "no kernels":
        monkeypatch.setattr("transfer.runtime.native.library", lambda: None)
    else:
        twin._planner.decoder.lanes = 2  # type: ignore[attr-defined]
    with pytest.raises(TransferError, match=r"copied from a process.*reset\(\)"):
        twin.act(second, 1.0)
    twin.reset()
    assert twin.act(first).shape == (3,)


def test_a_policy_says_in_one_line_what_it_is(make_model: Callable[..., TransferModel]) -> None:
    policy = make_model().policy(target_return=12.5)
    policy.act(np.zeros(11))
    assert repr(policy) == "Policy(hopper: target return 12.5, autoregressive, step 1)"
