"""Environment specs: scores, JSON, and environments that are built from the dataset's own description."""

import contextlib
import json
import subprocess
import sys
from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace

import gymnasium
import numpy as np
import pytest

from tests import toys
from tests.toys import toy
from transfer.data.environment.spec import (
    EnvironmentSpec,
    ReferenceScores,
    as_spec,
    describe,
    gym_spec_json,
    without_targets,
)
from transfer.data.episodes import Episodes
from transfer.envs.catalog import ENVIRONMENTS, environment, find, known_environment
from transfer.errors import TransferError
from transfer.runtime.logs import warn_once


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


def test_score_and_returns_are_inverse_on_arrays() -> None:
    reference = ReferenceScores("mine", -5.0, 15.0)
    returns = np.array([-5.0, 0.0, 5.0, 40.0])
    np.testing.assert_allclose(reference.score(returns), [0.0, 25.0, 50.0, 225.0])
    np.testing.assert_allclose(reference.returns(reference.score(returns)), returns)
    assert reference.span == 20.0


def test_a_scale_without_span_is_refused() -> None:
    with pytest.raises(TransferError, match="maximum > minimum"):
        ReferenceScores("mine", 3.0, 3.0)


def test_equal_returns_still_make_a_scale() -> None:
    for value in (-7.0, 0.0, 120.0):
        reference = ReferenceScores.of_returns(np.full(3, value))
        assert reference.score(value) == 100.0
        assert reference.span > 0


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_known_environments_have_the_sizes_of_gymnasium(name: str) -> None:
    spec = environment(name)
    env = spec.make()
    assert env.observation_space.shape == (spec.state_size,)
    assert env.action_space.shape == (spec.action_size,)
    assert env.spec is not None and env.spec.max_episode_steps >= spec.max_episode_steps
    assert env.reset(seed=0)[0].shape == (spec.state_size,)
    env.close()


def test_json_round_trip_is_exact() -> None:
    spec = environment("walker2d")
    restored = EnvironmentSpec.from_json(json.loads(json.dumps(spec.to_json())))
    assert restored == spec


def test_the_targets_that_earlier_versions_wrote_are_passed_over() -> None:
    spec = environment("walker2d")
    content = {"environment": {**spec.to_json(), "target_returns": [5000.0]}, "hidden": 3}
    assert without_targets(content) == {"environment": spec.to_json(), "hidden": 3}
    assert without_targets({"environment": "edited"}) == {"environment": "edited"}


@pytest.mark.parametrize("part", ["spec", "reference"])
def test_json_with_other_keys_is_refused(part: str) -> None:
    data = environment("hopper").to_json()
    inner = data if part == "spec" else data["reference"]
    key = "state_size" if part == "spec" else "minimum"
    inner[key + "s"] = 1
    with pytest.raises(TransferError, match=f"'{key}s'.*Did you mean '{key}'"):
        EnvironmentSpec.from_json(data)
    del inner[key + "s"], inner[key]
    with pytest.raises(TransferError, match=f"lacks {key}"):
        EnvironmentSpec.from_json(data)


@pytest.mark.parametrize(
    ("returns", "minimum"),
    [
        ((1000.0, 1000.000001), -0.000999),  # equal but for noise: no scale of -98,689,406
        ((9358.9, 9359.3), -0.1),
        ((-4.0, -4.0), -8.0),
        ((0.0, 0.0), -1.0),
        ((1000.0, 1010.0), 1000.0),  # a hundredth is a span
        ((-1010.0, -1000.0), -1010.0),
    ],
)
def test_returns_that_differ_by_noise_have_no_span(
    returns: tuple[float, float], minimum: float, caplog: pytest.LogCaptureFixture
) -> None:
    warn_once.cache_clear()
    reference = ReferenceScores.of_returns(np.array(returns))
    assert reference.minimum == pytest.approx(minimum, rel=1e-3, abs=0.5)
    assert reference.score(returns[1]) == pytest.approx(100.0)
    assert abs(reference.score(returns[0])) <= 100.0 + 1e-6
    ReferenceScores.of_returns(np.array(returns))
    assert caplog.text.count("equal but for noise") == (minimum not in returns)  # said once


@pytest.mark.parametrize(("outlier", "said"), [(-1e16, True), (1e6, True), (200.0, False), (None, False)])
def test_an_episode_that_makes_all_others_equal_is_said(
    outlier: float | None, said: bool, caplog: pytest.LogCaptureFixture
) -> None:
    warn_once.cache_clear()
    ReferenceScores.of_returns(np.array([*range(10, 30), *([] if outlier is None else [outlier])], float))
    assert ("but most of them from" in caplog.text) == said


def test_rare_success_is_no_outlier(caplog: pytest.LogCaptureFixture) -> None:
    warn_once.cache_clear()
    ReferenceScores.of_returns(np.array([0.0] * 99 + [1.0]))
    assert not caplog.records


def test_a_known_lower_end_belongs_to_data_above_it(caplog: pytest.LogCaptureFixture) -> None:
    shifted = ReferenceScores.of_returns(np.array([-700.0, -312.0]), least=0.0)  # AntMaze's rewards less 1
    assert (shifted.minimum, shifted.maximum) == (-700.0, -312.0)
    assert "returns go down to -700, where 0 is known as the lowest" in caplog.text


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda spec: ReferenceScores(b"x", 0, 1), "the table of the reference scores is b'x'"),  # type: ignore
        (lambda spec: ReferenceScores("mine", -1.7e308, 1.7e308), "need maximum > minimum"),
        (lambda spec: ReferenceScores.of_returns(np.zeros(0)), "finite returns, one at least"),
        (lambda spec: ReferenceScores.of_returns(np.array([1.0, np.nan])), "finite returns"),
        (lambda spec: ReferenceScores.of_returns("best"), "returns must be 1-d"),  # type: ignore
        (lambda spec: spec.reference.score("3"), "returns='3' is text"),
        (lambda spec: spec.reference.returns(None), "score=None"),
        (lambda spec: replace(spec, name=3), "the name of an environment is 3"),
        (lambda spec: replace(spec, gym_spec=None), "Gymnasium spec"),
        (lambda spec: replace(spec, reference=None), "the reference of 'hopper' is None"),
        (lambda spec: replace(spec, slices=None), "slices of 'hopper' is None"),
        (lambda spec: replace(spec, slices=("state",)), "slices of 'hopper' is"),
        (lambda spec: replace(spec, action_low=-1.0), "action_low of 'hopper'"),
        (lambda spec: spec.make(render_mode="rgb_arry"), "render_mode 'rgb_arry'.*rgb_array"),
        (lambda spec: spec.make(render_mode=3), "render_mode '3'"),
        (lambda spec: as_spec("Hopper-v5", like="hopper"), "like='hopper'"),
    ],
)
def test_wrong_types_are_named(build: Callable[[EnvironmentSpec], object], message: str) -> None:
    with pytest.raises(TransferError, match=message):
        build(environment("hopper"))


def test_numbers_of_numpy_are_taken() -> None:
    spec = replace(environment("hopper"), action_low=np.full(3, -0.5))  # type: ignore
    assert spec.action_low == (-0.5,) * 3 and type(spec.action_low[0]) is float
    assert spec.reference.score(np.float32(3234.3)) == pytest.approx(100.0)
    assert ReferenceScores.of_returns([1, 2]) == ReferenceScores("dataset", 1.0, 2.0)  # type: ignore[arg-type]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), "3", None, True])
def test_reference_scores_are_finite_numbers(value: object) -> None:
    with pytest.raises(TransferError, match="maximum of the reference scores"):
        ReferenceScores("mine", 0.0, value)  # type: ignore[arg-type]


def with_settings(gym_id: str, *around: tuple[str, dict[str, object]], **changes: object) -> EnvironmentSpec:
    """The spec of data in an environment with other settings and wrappers; returns from 1 to 5."""
    spec = json.loads(gym_spec_json(gym_id))
    wrappers = [{"name": name, "entry_point": f"gymnasium.wrappers:{name}", "kwargs": kw} for name, kw in around]
    spec["kwargs"] |= changes.pop("kwargs", {})
    text = json.dumps({**spec, "additional_wrappers": wrappers, **changes})
    plain = as_spec(gym_id)
    bounds = (plain.action_low, plain.action_high)
    return describe(text, plain.state_size, plain.action_size, np.array([1.0, 5.0]), plain.slices, bounds)


@pytest.mark.parametrize(
    ("gym_id", "around", "changes", "why"),
    [
        ("Hopper-v5", [("NormalizeReward", {})], {}, "the wrapper 'NormalizeReward' may change rewards"),
        ("Hopper-v5", [("ClipReward", {"min_reward": 0})], {}, "the wrapper 'ClipReward'"),
        ("Hopper-v5", [("ClipAction", {}), ("TransformReward", {})], {}, "the wrapper 'TransformReward'"),
        ("Hopper-v5", [("StickyAction", {"repeat_action_probability": 0.1})], {}, "the wrapper 'StickyAction'"),
        ("Hopper-v5", [("Mine", {})], {}, "the wrapper 'Mine'"),
        ("Hopper-v5", [], {"kwargs": {"healthy_reward": 0}}, "its argument 'healthy_reward'"),
        ("Walker2d-v5", [], {"kwargs": {"forward_reward_weight": 2.0}}, "its argument 'forward_reward_weight'"),
        ("Hopper-v4", [], {"kwargs": {"terminate_when_unhealthy": False}}, "its argument 'terminate_when_unhealthy'"),
        ("Ant-v4", [], {"kwargs": {"use_contact_forces": True}}, "its argument 'use_contact_forces'"),
        ("HalfCheetah-v5", [], {"kwargs": {"frame_skip": 1}}, "its argument 'frame_skip'"),
        ("Hopper-v5", [], {"kwargs": {"xml_file": "mine.xml"}}, "its argument 'xml_file'"),
        ("Hopper-v5", [], {"kwargs": {"reset_noise_scale": 0.1}}, "its argument 'reset_noise_scale'"),
        ("AdroitHandDoor-v1", [], {"kwargs": {"reward_type": "sparse"}}, "its argument 'reward_type'"),
        ("Hopper-v5", [], {"max_episode_steps": 3000}, "its episodes last up to 3000 steps, the table's 1000"),
        ("AdroitHandPen-v1", [], {"max_episode_steps": 300}, "its episodes last up to 300 steps, the table's 100"),
    ],
)
def test_a_table_holds_only_where_rewards_and_task_are_left_alone(
    gym_id: str, around: list[tuple[str, dict[str, object]]], changes: dict[str, object], why: str,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    warn_once.cache_clear()
    spec = with_settings(gym_id, *around, **changes)
    assert spec.reference == ReferenceScores("dataset", 1.0, 5.0)
    assert spec.name == gym_id and why in caplog.text
    assert spec.max_episode_steps == json.loads(spec.gym_spec)["max_episode_steps"]
    # Nor does it hold because a file, or whoever plays in it, calls it so.
    edited = replace(spec, reference=environment(find(gym_id).name).reference)  # type: ignore[union-attr, arg-type]
    for road in (as_spec, lambda spec: EnvironmentSpec.from_json(spec.to_json())):
        with pytest.raises(TransferError, match=f"of {gym_id} is called 'D4RL', and that table does not hold.*{why}"):
            road(edited)


@pytest.mark.parametrize(
    ("gym_id", "around", "changes", "steps"),
    [
        ("Hopper-v4", [], {}, 1000),
        ("Hopper-v5", [("RescaleAction", {"min_action": -1, "max_action": 1}), ("FlattenObservation", {})], {}, 1000),
        ("Hopper-v5", [], {"kwargs": {"healthy_reward": 1.0, "xml_file": "hopper.xml", "frame_skip": 4}}, 1000),
        ("Hopper-v5", [], {"kwargs": {"exclude_current_positions_from_observation": False}}, 1000),
        ("Hopper-v5", [("TimeLimit", {"max_episode_steps": 50})], {}, 50),
        ("Hopper-v5", [("RecordVideo", {"video_folder": "/x"}), ("RecordEpisodeStatistics", {})], {}, 1000),
        ("Hopper-v5", [], {"max_episode_steps": 20}, 20),
        ("Hopper-v5", [("TimeLimit", {"max_episode_steps": 1000})], {"max_episode_steps": 3000}, 1000),
        ("Hopper-v5", [], {"max_episode_steps": None}, 1000),
        ("AdroitHandPen-v1", [], {}, 100),
    ],
)
def test_a_table_holds_where_only_what_is_seen_differs(
    gym_id: str, around: list[tuple[str, dict[str, object]]], changes: dict[str, object], steps: int
) -> None:
    spec = with_settings(gym_id, *around, **changes)
    assert spec.reference.table == "D4RL" and spec.max_episode_steps == steps
    assert as_spec(spec) is spec and EnvironmentSpec.from_json(spec.to_json()) == spec


def test_a_table_does_not_hold_for_longer_episodes_than_its_own_wherever_they_are_written() -> None:
    data = with_settings("Hopper-v5", max_episode_steps=None).to_json()
    with pytest.raises(TransferError, match="'D4RL', and that table does not hold.*up to 5000 steps"):
        EnvironmentSpec.from_json({**data, "max_episode_steps": 5000})


def test_a_table_does_not_hold_for_the_sparse_variant_of_its_environment() -> None:
    data = environment("pen").to_json()
    data["gym_spec"] = data["gym_spec"].replace("AdroitHandPen-v1", "AdroitHandPenSparse-v1")
    with pytest.raises(TransferError, match="of AdroitHandPenSparse-v1 is called 'D4RL', and.* it pays other rewards"):
        EnvironmentSpec.from_json(data)


def test_what_is_not_registered_here_is_loaded_on_the_scale_it_was_made_on() -> None:
    data = environment("pen").to_json()
    text = data["gym_spec"].replace("AdroitHandPen-v1", "AdroitHandPen-v77")
    assert EnvironmentSpec.from_json({**data, "gym_spec": text}).reference.table == "D4RL"


def test_a_table_does_not_hold_for_other_sizes(caplog: pytest.LogCaptureFixture) -> None:
    warn_once.cache_clear()
    spec = describe(gym_spec_json("Hopper-v5"), 11, 1, np.array([1.0, 5.0]))
    assert spec.reference.table == "dataset" and "it takes 1 action numbers, the table's 3" in caplog.text
    assert describe(gym_spec_json("Hopper-v5"), 9, 3, np.array([1.0, 5.0])).reference.table == "dataset"
    assert [describe(gym_spec_json("Ant-v4"), s, 8, np.ones(1)).reference.table for s in (27, 105)] == ["D4RL"] * 2


def test_other_mazes_keep_the_lower_end_of_their_scale() -> None:
    maze = [[1, 1, 1], [1, "r", 1], [1, 1, 1]]
    spec = with_settings("AntMaze_UMaze-v4", kwargs={"maze_map": maze, "continuing_task": False})
    assert spec.name == "antmaze-umaze" and spec.reference == ReferenceScores("dataset", 0.0, 5.0)
    assert with_settings("AntMaze_UMaze-v4", max_episode_steps=900).max_episode_steps == 900


def test_a_scale_called_after_a_table_has_its_numbers() -> None:
    data = environment("hopper").to_json()
    data["reference"] = {"table": "D4RL", "minimum": 0.0, "maximum": 100.0}
    with pytest.raises(TransferError, match="0 to 100 of Hopper-v5 is called 'D4RL'; that table has -20.2723 to 3234"):
        EnvironmentSpec.from_json(data)
    data["reference"]["table"] = "mine"
    assert EnvironmentSpec.from_json(data).reference.score(50.0) == 50.0


def test_the_bounds_of_actions_are_those_of_the_environment() -> None:
    assert environment("hopper").action_low == (-1.0,) * 3
    assert as_spec("Pendulum-v1").action_high == (2.0,) and as_spec("InvertedPendulum-v5").action_low == (-3.0,)
    uneven = as_spec(toy(3, 2, low=[-1.0, 0.0], high=[1.0, 0.5]))
    assert (uneven.action_low, uneven.action_high) == ((-1.0, 0.0), (1.0, 0.5))
    free = as_spec(toy(3, 1, low=-np.inf, high=np.inf))
    assert free.to_json()["action_low"] == [None]
    assert EnvironmentSpec.from_json(json.loads(json.dumps(free.to_json(), allow_nan=False))) == free


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"action_low": [-1.0, -1.0]}, "action_low of 'hopper' has 2 numbers; it takes 3"),
        ({"action_low": [-1.0, 1.0, -1.0]}, "action 1 of 'hopper' lies between 1.0 and 1.0"),
        ({"action_high": [1.0, float("nan"), 1.0]}, "action_high of 'hopper'=nan"),
        ({"action_high": [1.0, "1", 1.0]}, "action_high of 'hopper' are not.*text"),
        ({"action_high": 1.0}, "action_high is 1.0"),
        ({"max_episode_steps": 10**18}, "max_episode_steps of 'hopper'.*too large"),
        ({"max_episode_steps": "7"}, "max_episode_steps"),
        ({"max_episode_steps": 0}, "max_episode_steps"),
        ({"state_size": 11.5}, "state_size"),
        ({"action_size": True}, "action_size"),
        ({"name": ["hopper"]}, "name is "),
        ({"gym_spec": {"id": "Hopper-v5"}}, "gym_spec is "),
        ({"reference": 3}, "the reference scores is 3"),
        ({"slices": {"state": 11}}, "slices is "),
        ({"slices": [{"name": "state", "size": "11", "key": "", "minus": ""}]}, "size of a slice"),
        ({"slices": [3]}, "a slice of the observation is 3"),
    ],
)
def test_values_of_other_types_or_sizes_in_json_are_named(changes: dict[str, object], message: str) -> None:
    with pytest.raises(TransferError, match=message):
        EnvironmentSpec.from_json({**environment("hopper").to_json(), **changes})


@pytest.mark.parametrize(
    ("gym_id", "body"),
    [
        ("Hopper-v4", "Hopper"),
        ("Hopper-v5", "Hopper"),
        ("AntMaze_UMaze-v4", "AntMaze"),
        ("AntMaze_Large_Diverse_GR-v5", "AntMaze"),
        ("AdroitHandPenDense-v1", "AdroitHandPen"),
        ("Ant-v5", "Ant"),
        ("mine/Two_Legs-v0", "mine/Two_Legs"),
    ],
)
def test_versions_and_tasks_of_a_robot_share_a_body(gym_id: str, body: str) -> None:
    spec = environment("hopper")
    assert replace(spec, gym_spec=json.dumps({**json.loads(spec.gym_spec), "id": gym_id})).body == body


def test_whatever_a_user_calls_an_environment_by_is_the_same_spec() -> None:
    spec = environment("hopper")
    with contextlib.closing(gymnasium.make("Hopper-v5")) as env:
        for given in ("Hopper-v5", "gymnasium:Hopper-v5", gymnasium.spec("Hopper-v5"), env, spec):
            assert as_spec(given) == spec, given


def test_where_nothing_gives_a_scale_a_score_is_the_return() -> None:
    mine = describe(gym_spec_json(toy(3, 2)), 3, 2, np.array([5.0, 9.0]))
    assert as_spec(toy(3, 2), like=mine).reference == mine.reference  # the data of the same body
    other = as_spec("Pendulum-v1", like=environment("hopper"))
    assert other.reference.table == "raw return" and other.reference.score(-150.0) == -150.0


@pytest.mark.parametrize(
    ("env", "message"),
    [
        ("CartPole-v1", "CartPole-v1 has actions in Discrete.*Discrete actions are not"),
        ("CliffWalking-v1", "has observations in Discrete"),
        ("Hoper-v5", "no environment for 'Hoper-v5'.*Did you mean 'Hopper-v5'"),
        ("no_such_module:Mine-v0", "no environment for 'no_such_module:Mine-v0'.*no module named 'no_such_module'"),
        ("", "no environment for ''"),
        ("Hopper", "no environment for 'Hopper'.*Did you mean 'Hopper-v5'"),
        ("my env-v0", "no environment for 'my env-v0': Malformed"),
        (gymnasium.Env, "it has no Gymnasium spec"),
        (toys.Toy(2, 1), "it has no Gymnasium spec; register it"),
        (gymnasium.make_vec("Pendulum-v1", 2, vectorization_mode="sync"), "it is many environments in one"),
        (3, "no environment for 3"),
        (None, "no environment for None"),
    ],
)
def test_environments_that_cannot_be_used_are_refused(env: object, message: str) -> None:
    with pytest.raises(TransferError, match=message):
        as_spec(env)


def test_data_of_other_sizes_than_their_environment_are_refused() -> None:
    with pytest.raises(TransferError, match="actions of 1, but the environment Hopper-v5 has 11 state numbers and 3"):
        Episodes.from_arrays(np.zeros((4, 11)), np.zeros((4, 1)), np.zeros(4), [4], "Hopper-v5")
    with pytest.raises(TransferError, match="but the environment AntMaze_UMaze-v4 has 27 observation"):
        Episodes.from_arrays(np.zeros((4, 31)), np.zeros((4, 8)), np.zeros(4), [4], "AntMaze_UMaze-v4")


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


def test_an_environment_is_built_from_its_spec_and_never_from_its_name() -> None:
    gym_spec = deepcopy(gymnasium.spec("Hopper-v5"))  # the registered one is everybody's
    gym_spec.kwargs["exclude_current_positions_from_observation"] = False
    gym_spec.max_episode_steps = 7
    spec = describe(gym_spec.to_json(), 12, 3, np.zeros(1))
    env = EnvironmentSpec.from_json({**spec.to_json(), "name": "walker2d"}).make()
    assert env.observation_space.shape == (12,)  # 11 without the position that the dataset kept
    env.reset(seed=0)
    steps = [env.step(np.zeros(3, dtype=np.float32)) for _ in range(7)]
    assert [truncated for _, _, _, truncated, _ in steps] == [False] * 6 + [True]
    env.close()


def test_unknown_environments_use_the_scale_of_their_data() -> None:
    spec = describe(gym_spec_json("InvertedPendulum-v5"), 4, 1, np.array([3.0, 90.0, 11.0]))
    assert spec.name == spec.gym_id == "InvertedPendulum-v5"
    assert spec.reference == ReferenceScores("dataset", 3.0, 90.0)


def test_doing_nothing_never_scores_in_a_maze() -> None:
    spec = describe(gym_spec_json("AntMaze_UMaze-v4"), 31, 8, np.zeros(3))
    assert spec.reference == ReferenceScores("dataset", 0.0, 1.0) and spec.reference.score(0.0) == 0.0
    assert describe(gym_spec_json("AntMaze_UMaze-v4"), 31, 8, np.array([2.0, 300.0])).reference.maximum == 300.0


def test_an_environment_that_cannot_be_built_says_what_to_install() -> None:
    data = environment("hopper").to_json()
    data["gym_spec"] = data["gym_spec"].replace("gymnasium.envs.mujoco.hopper_v5", "no_such_package.hopper")
    with pytest.raises(TransferError, match="Hopper-v5.*no_such_package.*transfer --import no_such_package"):
        EnvironmentSpec.from_json(data).make(trust=True)


def test_building_environments_prints_nothing_and_writes_no_log(tmp_path: object) -> None:
    # A process of its own: the notice of gymnasium_robotics comes once, at its import, and MuJoCo's from C.
    program = (
        "from transfer.envs.catalog import environment\n"
        "environment('halfcheetah').make().reset(seed=0)\n"
        "environment('pen').make().reset(seed=0)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, env=_env())
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert list(tmp_path.iterdir()) == []  # type: ignore[attr-defined]


def _env() -> dict[str, str]:
    import os
    from pathlib import Path

    return {**os.environ, "PYTHONPATH": str(Path(__file__).parents[4])}
