"""The environments of the catalog: sizes, reference scores, step limits."""

import json

import numpy as np
import pytest

from transfer.data.environment.building.make import Spaces
from transfer.data.environment.observations import flat
from transfer.data.environment.spec import (
    EnvironmentSpec,
    ReferenceScores,
    gym_spec_json,
    spec_of_data,
)
from transfer.envs.catalog import ENVIRONMENTS, environment, find, known_environment
from transfer.errors import TransferError


@pytest.mark.parametrize(
    ("name", "returns", "score"),
    # Returns and scores as the README of the bundled behaviours has them, and the two ends of D4RL's scale.
    [
        ("hopper", 1258.0, 39.3),
        ("hopper", -20.272305, 0.0),
        ("walker2d", 4196.0, 91.4),
        ("walker2d", 4592.3, 100.0),
        ("halfcheetah", 12135.0, 100.0),
        ("halfcheetah", -280.178953, 0.0),
    ],
)
def test_scores_are_on_the_d4rl_scale(name: str, returns: float, score: float) -> None:
    reference = environment(name).reference
    assert reference.table == "D4RL"
    assert reference.score(returns) == pytest.approx(score, abs=0.06)


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_known_environments_have_the_sizes_of_gymnasium(name: str) -> None:
    spec = environment(name)
    env = spec.make()
    assert env.observation_space.shape == (spec.state_size,)
    assert env.action_space.shape == (spec.action_size,)
    assert env.spec is not None and env.spec.max_episode_steps >= spec.max_episode_steps
    assert env.reset(seed=0)[0].shape == (spec.state_size,)
    env.close()


def test_unknown_environment_names_the_closest() -> None:
    with pytest.raises(TransferError, match="unknown environment 'walker'. Did you mean 'walker2d'.*hopper"):
        environment("walker")


def test_every_version_of_an_environment_shares_the_reference() -> None:
    assert find("Hopper-v4") is find("Hopper-v5") is known_environment("hopper")
    assert environment("hopper").reference == known_environment("hopper").reference
    assert find("Pendulum-v1") is None and known_environment("antmaze-umaze").reference is None
    assert find("AdroitHandPenSparse-v1") is None  # other rewards, so another scale


def test_both_tables_of_a_hand_are_kept_apart() -> None:
    d4rl, minari = known_environment("door").references
    assert (d4rl.table, minari.table) == ("D4RL", "Minari")
    assert d4rl.score(2900.0) != minari.score(2900.0)
    assert [one.table for one in known_environment("hopper").references] == ["D4RL"]


def test_pen_is_cut_after_the_steps_that_its_scale_belongs_to() -> None:
    spec = environment("pen")
    assert spec.max_episode_steps == 100 and json.loads(spec.gym_spec)["max_episode_steps"] == 200


def test_a_maze_keeps_its_goal_beside_the_position_that_it_is_relative_to() -> None:
    spec = environment("antmaze-medium")
    assert [(one.name, one.size) for one in spec.slices] == [("observation", 27), ("goal", 2), ("position", 2)]
    env = spec.make()
    state = env.reset(seed=3)[0]
    seen = env.unwrapped._get_obs(env.unwrapped.ant_env._get_obs())  # type: ignore[attr-defined]
    np.testing.assert_allclose(state[27:29], seen["desired_goal"] - seen["achieved_goal"], atol=1e-6)
    np.testing.assert_allclose(state[29:], seen["achieved_goal"], atol=1e-6)
    env.close()


def test_data_without_contact_forces_do_not_go_into_an_environment_with_them() -> None:
    data = environment("antmaze-umaze").to_json()
    data["gym_spec"] = data["gym_spec"].replace("ant_maze_v4", "ant_maze_v5").replace("UMaze-v4", "UMaze-v5")
    with pytest.raises(TransferError, match="AntMaze_UMaze-v5.*105 observation.*27 observation.*-v4"):
        EnvironmentSpec.from_json(data).make()


def test_doing_nothing_never_scores_in_a_maze() -> None:
    maze = gym_spec_json("AntMaze_UMaze-v4"), Spaces.unbounded(flat(31), 8)
    spec = spec_of_data(*maze, np.zeros(3))
    assert spec.reference == ReferenceScores("dataset", 0.0, 1.0) and spec.reference.score(0.0) == 0.0
    assert spec_of_data(*maze, np.array([2.0, 300.0])).reference.maximum == 300.0
