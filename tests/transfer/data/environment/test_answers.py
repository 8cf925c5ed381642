"""What environments answer is read in the types that are in use; what is no number is refused."""

from typing import Any

import numpy as np
import pytest
import torch

from transfer.data.environment.answers import reward, success, vector
from transfer.errors import TransferError


@pytest.mark.parametrize(
    ("value", "paid"),
    [
        (1.5, 1.5),
        (3, 3.0),
        (True, 1.0),
        (np.bool_(False), 0.0),
        (np.float32(0.1), float(np.float32(0.1))),
        (np.int64(2), 2.0),
        (np.array(-4.0), -4.0),
        (np.array([7.0]), 7.0),
        (torch.tensor(2.5, requires_grad=True), 2.5),
        (torch.tensor([1.0]).bfloat16(), 1.0),
    ],
)
def test_rewards_of_every_type_in_use(value: Any, paid: float) -> None:
    assert reward(value) == paid and type(reward(value)) is float


@pytest.mark.parametrize(
    "value",
    [None, "1.0", 1j, float("nan"), float("inf"), -1e31, np.array([1.0, 2.0]), torch.tensor([]), np.float32("nan"), {}],
)
def test_what_is_no_reward_is_refused(value: Any) -> None:
    with pytest.raises(TransferError, match="reward"):
        reward(value)


@pytest.mark.parametrize(
    ("info", "said"),
    [
        ({}, -1),
        ({"success": True}, 1),
        ({"success": np.bool_(False)}, 0),
        ({"is_success": 1.0}, 1),
        ({"is_success": np.float32(0.0)}, 0),
        ({"goal_achieved": np.array(True)}, 1),
        ({"goal_reached": torch.tensor([True])}, 1),
        ({"task_success": np.array([0])}, 0),
        ({"success": 0.5}, 0),  # done in part
        ({"success": None}, -1),
        ({"success": -1}, -1),
        ({"success": float("nan")}, -1),
        ({"success": "yes"}, -1),
        ({"success": np.array([1, 0])}, -1),  # of two agents
        ({"success": {"task": True}}, -1),
        ({"success": None, "is_success": True}, 1),
        ({"success": 0.0, "goal_achieved": True}, 1),
    ],
)
def test_success_under_the_names_and_in_the_types_in_use(info: dict[str, Any], said: int) -> None:
    assert success(info) == said


@pytest.mark.parametrize(
    "observation",
    [
        [1, 2.5],
        np.array([1, 2.5])[::-1][::-1],
        np.array([2, 5], np.int64) / 2 + [0, 0],
        torch.tensor([1, 2.5], dtype=torch.float64, requires_grad=True),
    ],
)
def test_states_are_our_own_float32(observation: Any) -> None:
    state = vector(observation, 2)
    assert state.dtype == np.float32 and state.tolist() == [1.0, 2.5] and state.flags.c_contiguous
    assert not (isinstance(observation, np.ndarray) and np.shares_memory(state, observation))


@pytest.mark.parametrize(
    ("observation", "words"),
    [
        (np.zeros(3), r"shape \(3,\), 2 numbers"),
        (np.zeros((4, 2)), r"shape \(4, 2\)"),
        (0.0, r"shape \(\)"),
        ([1.0, float("nan")], "number 1 of 2 is nan"),
        (np.array([1e300, 0.0]), "number 0 of 2 is inf"),
        (["a", "b"], "text"),
        (None, "Python objects"),
    ],
)
def test_what_is_no_state_is_refused(observation: Any, words: str) -> None:
    with pytest.raises(TransferError, match=words):
        vector(observation, 2)
