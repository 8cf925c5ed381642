"""Evaluation: seeds, slots, returns to go, and waves in halves."""

import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from transfer.data.environment.spec import EnvironmentSpec
from transfer.decoding.planner import TokenPlanner, make_planner
from transfer.envs.catalog import environment
from transfer.errors import TransferError
from transfer.evaluation.evaluate import evaluate
from transfer.models.acting import Step
from transfer.models.freezing import train_only
from transfer.models.mlp import MLPPolicy
from transfer.models.sequence_model import TransferModel

MakeModel = Callable[..., TransferModel]
Short = Callable[..., EnvironmentSpec]


class Asked(MLPPolicy):
    """Notes what it is asked, and always answers 1."""

    def __init__(self, *given: Any, **options: Any) -> None:
        super().__init__(*given, **options)
        self.steps: list[Step] = []


class Noting:
    """The planner of an `Asked`."""

    def __init__(self, model: Asked, envs: int, decode: str) -> None:
        self.steps, self.envs = model.steps, envs

    def act(self, step: Step) -> Tensor:
        assert len(step.states) == self.envs
        self.steps.append(step)
        return torch.ones(self.envs, 3)

    def select(self, rows: Tensor) -> None:
        assert rows.dtype == torch.int64 and len(rows) < self.envs
        self.envs = len(rows)


@pytest.fixture
def asked(make_model: MakeModel, monkeypatch: pytest.MonkeyPatch) -> Asked:
    monkeypatch.setattr("transfer.decoding.direct.DirectPlanner", Noting)
    return Asked(environment("hopper"), make_model().statistics, hidden=4)


@pytest.mark.parametrize("num_envs", [1, 2, 5, 7, 100])
def test_each_episode_has_its_own_seed_however_many_run_at_a_time(
    num_envs: int, asked: Asked, countdowns: list[Any]
) -> None:
    result = evaluate(asked, num_episodes=7, num_envs=num_envs)
    assert result.seeds.tolist() == [10_000, 10_001, 10_002, 10_003, 10_004, 10_005, 10_006]
    assert result.lengths.tolist() == [2, 3, 4, 5, 6, 2, 3]
    assert result.returns.tolist() == result.lengths.tolist()
    assert len(countdowns) == min(num_envs, 7)


def test_no_slot_starts_again_before_its_wave_is_over(asked: Asked, countdowns: list[Any]) -> None:
    evaluate(asked, num_episodes=7, num_envs=3)
    assert [env.seeds for env in countdowns] == [[10_000, 10_003, 10_006], [10_001, 10_004], [10_002, 10_005]]


def test_environments_that_are_done_cost_nothing(asked: Asked, countdowns: list[Any]) -> None:
    evaluate(asked, num_episodes=5)  # lengths 2 to 6
    assert [len(step.states) for step in asked.steps] == [5, 5, 4, 3, 2, 1]


def test_the_policy_sees_each_state_the_return_to_go_and_the_time(asked: Asked, countdowns: list[Any]) -> None:
    evaluate(asked, num_episodes=5, target_return=100.0)
    for t, step in enumerate(asked.steps):
        states, returns = step.states, step.columns["returns"]
        assert states.dtype == returns.dtype == torch.float32
        assert states[:, 0].tolist() == [length - t for length in (2, 3, 4, 5, 6) if length > t]
        assert returns.tolist() == [100.0 - t] * len(states)
        assert step.times.tolist() == [t] * len(states)
        assert step.rewards.tolist() == [1.0 if t else 0.0] * len(states)


def test_actions_are_clipped_to_what_the_environment_takes(asked: Asked, countdowns: list[Any]) -> None:
    result = evaluate(asked, num_episodes=2)
    assert all((action == 0.75).all() for env in countdowns for action in env.actions)
    assert (result.actions == 0.75).all() and result.actions.shape[1] == 3


def test_an_episode_ends_at_the_limit_of_its_specification(asked: Asked, countdowns: list[Any]) -> None:
    result = evaluate(asked, replace(environment("hopper"), max_episode_steps=3), num_episodes=5)
    assert result.lengths.tolist() == [2, 3, 3, 3, 3]


def test_the_default_target_is_the_95th_percentile_of_the_dataset(asked: Asked, countdowns: list[Any]) -> None:
    result = evaluate(asked, num_episodes=2)
    assert result.target_return == asked.statistics.return_quantiles["p95"]
    assert asked.steps[0].columns["returns"].tolist() == pytest.approx([result.target_return] * 2)


def test_a_target_is_a_score_of_the_environment_or_a_raw_return(asked: Asked, countdowns: list[Any]) -> None:
    reference = environment("hopper").reference
    assert evaluate(asked, num_episodes=1, target=50.0).target_return == reference.returns(50.0)
    assert evaluate(asked, num_episodes=1, target_return=0.0).target_return == 0.0
    with pytest.raises(TransferError, match="not both"):
        evaluate(asked, num_episodes=1, target=50.0, target_return=0.0)


def test_the_context_is_the_one_that_the_adapter_was_trained_with(
    make_model: MakeModel, countdowns: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    contexts: list[int] = []
    plain = TokenPlanner.act
    monkeypatch.setattr(
        TokenPlanner,
        "act",
        lambda *given: contexts.append(given[0].history.context) or plain(*given),
    )
    model = make_model(context=5)
    evaluate(model, num_episodes=1)
    model.policy().act(np.zeros(11))
    assert set(contexts) == {5}


def test_finished_episodes_are_counted(asked: Asked, countdowns: list[Any]) -> None:
    counts: list[int] = []
    evaluate(asked, num_episodes=7, num_envs=3, on_episode=counts.append)
    assert counts == [1, 2, 3, 4, 5, 6, 7]  # three at a time, of which none end together


def test_environments_are_closed_after_an_error_too(
    asked: Asked, countdowns: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Noting, "act", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        evaluate(asked, num_episodes=2)
    assert [env.closed for env in countdowns] == [True, True]


def test_the_result_is_scored_on_the_table_of_the_environment(asked: Asked, countdowns: list[Any]) -> None:
    result = evaluate(asked, num_episodes=5, target_return=50.0)
    reference, json = environment("hopper").reference, result.to_json()
    assert json["returns"] == [2.0, 3.0, 4.0, 5.0, 6.0] and json["mean_return"] == 4.0 == json["mean_length"]
    assert json["mean_score"] == pytest.approx(reference.score(4.0))
    assert json["target_score"] == pytest.approx(reference.score(50.0))
    assert "return 4.0" in str(result) and "5 episodes" in str(result)
    assert repr(result) == f"<Evaluation {result}>" and "\n" not in repr(result)


@pytest.mark.parametrize("decode", ["autoregressive", "parallel"])
def test_an_episode_is_played_as_if_it_were_alone(decode: str, make_model: MakeModel, countdowns: list[Any]) -> None:
    """Episodes of 2 to 6 steps: the longer ones go on after the window restarted and others left."""
    model = make_model(context=3)
    evaluate(model, num_episodes=5, num_envs=5, decode=decode)
    together = [np.stack(env.actions) for env in countdowns]
    countdowns.clear()
    evaluate(model, num_episodes=5, num_envs=1, decode=decode)
    alone = np.split(np.stack(countdowns[0].actions), [2, 5, 9, 14])
    for one, other in zip(together, alone, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)
    assert np.abs(together[4][:5] - together[3]).max() > 1e-3


@pytest.fixture
def two_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waves play in halves, whatever this machine has."""
    monkeypatch.setattr("transfer.evaluation.rollout.usable_cores", lambda: 2)


@pytest.mark.usefixtures("two_cores")
def test_halves_of_a_wave_are_played_as_if_alone(make_model: MakeModel, countdowns: list[Any]) -> None:
    counts: list[int] = []
    model = make_model(context=3)
    result = evaluate(model, num_episodes=23, num_envs=20, on_episode=counts.append)
    assert result.lengths.tolist() == [(10_000 + i) % 5 + 2 for i in range(23)]
    assert counts[-1] == 23 and counts == sorted(set(counts))
    together = {env.seeds[0]: np.stack(env.actions)[: env.seeds[0] % 5 + 2] for env in countdowns}
    countdowns.clear()
    evaluate(model, num_episodes=20, num_envs=1)
    alone = np.split(np.stack(countdowns[0].actions), np.cumsum([seed % 5 + 2 for seed in countdowns[0].seeds])[:-1])
    for seed, one in zip(countdowns[0].seeds, alone, strict=True):
        np.testing.assert_allclose(one, together[seed], atol=1e-5)


@pytest.mark.parametrize(("cores", "groups"), [(1, [20]), (2, [10, 10])])
def test_a_wave_is_halved_where_there_is_a_second_core(
    cores: int, groups: list[int], make_model: MakeModel, countdowns: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    model, made = make_model(context=3), []
    monkeypatch.setattr("transfer.evaluation.rollout.usable_cores", lambda: cores)
    monkeypatch.setattr(
        "transfer.evaluation.evaluate.make_planner", lambda *given: made.append(given[1]) or make_planner(*given)
    )
    evaluate(model, num_episodes=20, num_envs=20)
    assert made == groups


@pytest.mark.usefixtures("two_cores")
def test_one_half_acts_while_the_environments_of_the_other_move(
    asked: Asked, countdowns: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first environment waits, while it moves, until the other half has acted."""
    acts = threading.Semaphore(0)

    def act(planner: Noting, step: Step) -> Tensor:
        acts.release()
        return torch.ones(planner.envs, 3)

    def move(env: Any, action: np.ndarray) -> Any:
        if env is countdowns[0] and not waited:
            acts.acquire()  # of its own half
            waited.append(acts.acquire(timeout=20))
        return plain(env, action)

    waited: list[bool] = []
    evaluate(asked, num_episodes=1)
    kind = type(countdowns[0])
    plain = kind.step
    countdowns.clear()
    monkeypatch.setattr(Noting, "act", act)
    monkeypatch.setattr(kind, "step", move)
    evaluate(asked, num_episodes=8)
    assert waited == [True]


def test_real_episodes_can_be_played_again(make_model: MakeModel, short: Short) -> None:
    model, spec = make_model(context=6), short("hopper", 20)
    first, second = (evaluate(model, spec, 3) for _ in range(2))
    assert first.to_json() == second.to_json()
    assert len(set(first.returns.tolist())) == 3


def test_evaluating_leaves_the_model_as_it_was(make_model: MakeModel, short: Short) -> None:
    model = make_model(ia3=True, context=4)
    train_only(model, ["state", "tuning"])
    before = [(p.clone(), p.requires_grad) for p in model.parameters()]
    modes = [module.training for module in model.modules()]
    evaluate(model, short("hopper", 8), 2)
    assert all(torch.equal(p, q) and p.requires_grad == g for p, (q, g) in zip(model.parameters(), before, strict=True))
    assert [module.training for module in model.modules()] == modes
