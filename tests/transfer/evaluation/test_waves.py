"""Environments with usual answers play the same episodes in every kind of wave."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from tests.transfer.evaluation.plain import STEPS, Plain, changed, shown_as
from transfer.evaluation.outcome import Evaluation

Play = Callable[..., Evaluation]


def aliased() -> type[Plain]:
    """All environments of a process answer in one array."""
    shared = np.empty(11)

    def give(self: Plain, answer: Any) -> Any:
        shared[:] = answer[0]
        return (shared, *answer[1:])

    return changed(
        reset=lambda self, **options: give(self, Plain.reset(self, **options)),
        step=lambda self, action: give(self, Plain.step(self, action)),
    )


def greedy() -> type[Plain]:
    """Changes the action that it is given, after it has used it."""

    def step(self: Plain, action: Any) -> Any:
        answer = Plain.step(self, action)
        action[:] = 7.0
        return answer

    return changed(step=step)


def learning() -> type[Plain]:
    """Its state is a tensor that is changed in place, and its reward comes out of a gradient."""

    def reset(self: Any, **options: Any) -> Any:
        self.tensor = torch.from_numpy(Plain.reset(self, **options)[0])
        return self.tensor, {}

    def step(self: Any, action: Any) -> Any:
        self.time += 1
        self.tensor[:3] += torch.from_numpy(action)
        x = torch.ones(1, requires_grad=True)
        (grad,) = torch.autograd.grad((x * x).sum(), x)
        return (
            self.tensor.clone().requires_grad_(),
            grad / 2 * torch.ones(1, 1).mm(torch.ones(1, 1))[0],
            self.time == STEPS,
            False,
            {},
        )

    return changed(reset=reset, step=step)


def rewarded(convert: Callable[[float], Any]) -> type[Plain]:
    return changed(step=lambda self, action: (lambda a: (a[0], convert(a[1]), *a[2:]))(Plain.step(self, action)))


USUAL = {
    "aliased": aliased(),
    "lists": shown_as(list),
    "tensors": shown_as(torch.from_numpy),
    "greedy": greedy(),
    "learning": learning(),
    "0-d rewards": rewarded(np.array),
    "rewards of shape (1,)": rewarded(lambda x: np.array([x])),
    "whole rewards": rewarded(int),
    "lists of answers": changed(
        reset=lambda self, **options: list(Plain.reset(self, **options)),
        step=lambda self, action: list(Plain.step(self, action)),
    ),
    "ends as arrays": changed(
        step=lambda self, action: (lambda a: (a[0], a[1], np.array(a[2]), np.bool_(a[3]), {}))(Plain.step(self, action))
    ),
}


@pytest.mark.parametrize("kind", USUAL)
def test_what_is_usual_plays_the_same_episodes(kind: str, play: Play) -> None:
    expected, result = play(Plain), play(USUAL[kind])
    assert result.returns.tolist() == [STEPS] * 10 == expected.returns.tolist()
    np.testing.assert_array_equal(result.actions, expected.actions)
    assert np.abs(result.actions).max() <= 1


@pytest.mark.parametrize("mode", [torch.inference_mode, torch.no_grad, lambda: torch.autocast("cpu", torch.bfloat16)])
def test_simulators_run_outside_the_modes_of_the_caller(mode: Any, play: Play) -> None:
    expected = play(Plain)
    with mode():
        np.testing.assert_array_equal(play(USUAL["learning"]).actions, expected.actions)


def test_float32_states_are_taken_as_float64_ones(play: Play) -> None:
    np.testing.assert_allclose(play(shown_as(np.float32)).actions, play(Plain).actions, atol=1e-5)
