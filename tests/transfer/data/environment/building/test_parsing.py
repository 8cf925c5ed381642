"""Specs in JSON: values of other types or sizes are refused by name."""

from typing import Any

import pytest

from tests.transfer.data.environment.building.stored import around, hopper
from transfer.data.environment.spec import EnvironmentSpec
from transfer.envs.catalog import environment
from transfer.errors import TransferError


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"id": 3}, "id of the environment is 3"),
        ({"id": "Hopper-v5\n"}, "the environment's id is 'Hopper-v5"),
        ({"entry_point": ["evilmod", "Env"]}, "entry_point of the environment is"),
        ({"max_episode_steps": "7"}, "max_episode_steps of the environment='7'"),
        ({"max_episode_steps": 10**18}, "max_episode_steps.*too large"),
        ({"max_episode_steps": 0}, "max_episode_steps.*too small"),
        ({"max_episode_steps": 7.5}, "max_episode_steps"),
        ({"max_episode_steps": True}, "max_episode_steps"),
        ({"order_enforce": "yes"}, "order_enforce of the environment='yes'"),
        ({"disable_env_checker": 1}, "disable_env_checker"),
        ({"nondeterministic": None}, "nondeterministic"),
        ({"reward_threshold": "high"}, "reward_threshold"),
        ({"reward_threshold": float("nan")}, "reward_threshold"),
        ({"kwargs": [1]}, r"kwargs of the environment is \[1\]"),
        ({"additional_wrappers": {"a": 1}}, "additional_wrappers of the environment is"),
        ({"additional_wrappers": ["TimeLimit"]}, "a wrapper of the environment is 'TimeLimit'"),
        ({"additional_wrappers": around("gymnasium.wrappers:TimeLimit", max_episode_steps="9")}, "of the wrapper Time"),
        (
            {"additional_wrappers": around("gymnasium.wrappers:RepeatAction", num_repeats=10**15)},
            "repeat and stack 1,0",
        ),
        ({"apply_step_limit": True}, "unknown key in the environment's Gymnasium spec 'apply_step_limit'"),
    ],
)
def test_values_of_other_types_or_sizes_are_named(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(TransferError, match=message):
        hopper(**changes).make()


@pytest.mark.parametrize("text", ["", "{", "[]", "3", '"Hopper-v5"', "{}", "[" * 100_000])
def test_a_spec_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(TransferError, match="Gymnasium spec"):
        EnvironmentSpec.from_json({**environment("hopper").to_json(), "gym_spec": text})


@pytest.mark.parametrize("text", ["[]", "3", None])
def test_what_is_json_or_no_text_is_not_called_broken_json(text: Any) -> None:
    with pytest.raises(TransferError, match="is needed") as error:
        EnvironmentSpec.from_json({**environment("hopper").to_json(), "gym_spec": text})
    assert "no JSON" not in str(error.value)
