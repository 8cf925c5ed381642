"""A policy in anyone's own loop acts as the evaluation does."""

from collections.abc import Callable

import numpy as np
import pytest

from transfer.errors import TransferError
from transfer.model import TransferModel
from transfer.policy import Policy
from transfer.rollout import evaluate
from transfer.specs import EnvironmentSpec

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
    with pytest.raises(TransferError, match="states have 17 numbers, the adapter for 'hopper' takes 11"):
        policy.act(np.zeros(17), 900.0)
    np.testing.assert_array_equal(policy.act(second, 900.0), other.act(second, 900.0))
