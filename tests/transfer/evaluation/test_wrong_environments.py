"""Errors of environments have their seed and step; environments are closed."""

import logging
import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces

from tests.transfer.evaluation.plain import NOTHING, STEPS, Plain, changed, set_to, spoiled
from transfer.data.environment.references import ReferenceScores
from transfer.data.environment.spec import EnvironmentSpec
from transfer.errors import TransferError
from transfer.evaluation.calibration import calibrate
from transfer.evaluation.evaluate import evaluate
from transfer.evaluation.outcome import Evaluation
from transfer.models.sequence_model import TransferModel

MakeModel = Callable[..., TransferModel]
Play = Callable[..., Evaluation]


def failing(words: str) -> None:
    raise AssertionError(words)


WRONG = {
    "NaN shown": (2, set_to(0, np.nan), "the observation is not finite: number 4 of 11 is nan"),
    "infinity shown": (2, set_to(0, -np.inf), "number 4 of 11 is -inf"),
    "too large for float32": (2, set_to(0, 1e300), "number 4 of 11 is inf"),
    "NaN shown first": (0, set_to(0, np.nan), "number 4 of 11 is nan"),
    "NaN paid": (2, set_to(1, np.nan), "the reward is nan"),
    "infinity paid": (4, set_to(1, np.float32(-np.inf)), "the reward is -inf"),
    "nothing paid": (2, set_to(1, None), "reward"),
    "more than any sum holds": (2, set_to(1, 3e38), r"the reward is 3e\+38"),
    "another size": (2, lambda answer: [answer[0][:5], *answer[1:]], r"shape \(5,\), 11 numbers"),
    "a batch": (2, lambda answer: [answer[0][None], *answer[1:]], r"shape \(1, 11\)"),
    "nothing shown": (0, lambda answer: [None, {}], "observation"),
    "reset without info": (0, lambda answer: answer[:1] * 3, "old Gym's interface"),
    "reset with info None": (0, lambda answer: [answer[0], None], "old Gym's interface"),
    "four things": (1, lambda answer: answer[:4], "old Gym's interface"),
    "nothing": (1, lambda answer: NOTHING, "step returned"),
    "info None": (1, set_to(4, None), "old Gym's interface"),
    "flags in words": (1, set_to(2, "no"), "step returned"),
    "raises": (3, lambda answer: 1 / 0, "the environment raised ZeroDivisionError: division by zero"),
    "raises without a word": (3, lambda answer: failing(""), r"the environment raised AssertionError\.( With|$)"),
    "raises many lines": (3, lambda answer: failing("one\n\n  two.\n"), "raised AssertionError: one two\\."),
    "raises at reset": (0, lambda answer: {}["x"], "the environment raised KeyError: 'x'"),
}


@pytest.mark.parametrize("kind", WRONG)
def test_what_is_wrong_is_told_with_seed_and_step(kind: str, play: Play) -> None:
    at, spoil, words = WRONG[kind]
    with pytest.raises(TransferError, match=rf"'hopper', episode of seed 10002, step {at}: .*{words}"):
        play(spoiled(at, 10_002, spoil))


def test_all_environments_are_closed_after_an_error(built: Any, make_model: MakeModel) -> None:
    closed: list[int] = []
    kind = spoiled(2, 10_007, lambda answer: 1 / 0)
    kind.close = lambda self: closed.append(1) if len(closed) % 2 else closed.append(1) or 1 / 0  # type: ignore[assignment]
    built(kind)
    with pytest.raises(TransferError, match=r"seed 10007, step 2: .*ZeroDivisionError.*With num_envs=1"):
        evaluate(make_model(), num_episodes=10)
    assert len(closed) == 10


def test_a_close_that_raises_costs_no_episode(play: Play, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "transfer"):
        result = play(changed(close=lambda self: 1 / 0))
    assert result.returns.tolist() == [STEPS] * 10
    assert "'hopper' could not be closed: ZeroDivisionError" in caplog.text


def test_a_state_behind_the_end_is_not_looked_at(play: Play) -> None:
    """Simulators that blow up end the episode with what they became."""
    assert play(spoiled(STEPS, 10_002, set_to(0, np.nan))).returns.tolist() == [STEPS] * 10


def test_an_environment_that_takes_no_seed_is_told_of(play: Play) -> None:
    with pytest.raises(TransferError, match=r"step 0: .*TypeError.*seed.*reset\(seed=...\) returns"):
        play(changed(reset=lambda self: (np.zeros(11), {})))


def test_old_gym_inside_the_wrappers_of_gymnasium_is_named(play: Play) -> None:
    def step(self: Plain, action: Any) -> Any:
        observation, reward, terminated, _, info = Plain.step(self, action)[:4]  # type: ignore[misc]

    with pytest.raises(TransferError, match=r"step 1: .*ValueError: not enough values to unpack.*old Gym's interface"):
        play(changed(step=step))


def test_an_environment_of_one_instance_says_what_to_do(built: Any, make_model: MakeModel, monkeypatch: Any) -> None:
    made = built(Plain)
    plain = EnvironmentSpec.make

    def make(self: EnvironmentSpec, **options: Any) -> Any:
        if made:
            raise TransferError("the port is taken")
        return plain(self)

    monkeypatch.setattr(EnvironmentSpec, "make", make)
    with pytest.raises(TransferError, match="the port is taken 1 were built before.*num_envs=1"):
        evaluate(make_model(), num_episodes=2)
    made.clear()
    assert evaluate(make_model(), num_episodes=2, num_envs=1).returns.tolist() == [STEPS] * 2


def test_with_one_environment_everything_happens_in_the_calling_thread(built: Any, make_model: MakeModel) -> None:
    """Simulators with a window, a database or an event loop belong to the thread that made them."""
    threads: set[str] = set()

    def note(name: str) -> Callable[..., Any]:
        return lambda self, *args, **options: (
            threads.add(threading.current_thread().name) or getattr(Plain, name)(self, *args, **options)
        )

    built(changed(reset=note("reset"), step=note("step"), close=note("close")))
    evaluate(make_model(), num_episodes=9, num_envs=1)
    assert threads == {threading.current_thread().name}


def test_an_environment_of_other_actions_is_refused_before_it_is_played(built: Any, make_model: MakeModel) -> None:
    built(changed(action_space=spaces.Box(-1, 1, (2,))))
    with pytest.raises(TransferError, match=r"'hopper' takes Box\(-1.0, 1.0, \(2,\).*the policy makes 3 numbers"):
        evaluate(make_model(), num_episodes=1)


@pytest.mark.parametrize("name", ["success", "is_success", "goal_achieved"])
def test_success_of_any_name_is_counted(name: str, play: Play) -> None:
    def spoil(answer: list[Any]) -> None:
        answer[4] = {name: np.float32(1)}

    result = play(spoiled(2, 10_002, spoil))
    assert result.success_rate == 0.1 and result.successes is not None and result.successes[2]


def test_no_success_where_the_environment_has_told_of_it_before_is_a_rate_of_zero(
    built: Any, make_model: MakeModel
) -> None:
    model = make_model()
    built(Plain)
    assert evaluate(model, num_episodes=2).success_rate is None

    def spoil(answer: list[Any]) -> None:
        answer[4] = {"success": True}

    built(spoiled(2, 20_000, spoil))
    assert calibrate(model, [1.0], 2).success == (0.5,)
    assert evaluate(model, num_episodes=2).success_rate == 0.0


def test_an_environment_of_the_table_that_tells_of_success_has_a_rate(built: Any, make_model: MakeModel) -> None:
    model = make_model()
    own = ReferenceScores("own", 0.0, 1.0)
    model.adapter.env_spec = replace(model.env_spec, gym_spec='{"id": "AdroitHandDoor-v1"}', reference=own)
    built(Plain)
    assert evaluate(model, num_episodes=2).success_rate == 0.0


def test_a_policy_that_is_not_finite_is_told_of(play: Play, make_model: MakeModel, monkeypatch: Any) -> None:
    for planner in ("transfer.decoding.direct.DirectPlanner", "transfer.decoding.planner.TokenPlanner"):
        monkeypatch.setattr(f"{planner}.act", lambda self, step: torch.full((len(step.states), 3), torch.nan))
    with pytest.raises(TransferError, match="step 0: the policy's action is not finite: number 0 of 3 is nan"):
        play(Plain)


def test_a_calibration_never_keeps_what_is_no_number(built: Any, make_model: MakeModel) -> None:
    model = make_model()
    built(spoiled(2, 20_001, set_to(1, np.nan)))
    with pytest.raises(TransferError, match="seed 20001, step 2: the reward is nan"):
        calibrate(model, [1.0, 2.0], 3)
    assert model.statistics.calibration is None
