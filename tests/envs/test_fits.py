"""Whether the reference scores of the catalog apply to an environment with other settings, wrappers or sizes."""

import json
from dataclasses import replace

import numpy as np
import pytest

from transfer.data.environment.building.make import Spaces
from transfer.data.environment.observations import flat
from transfer.data.environment.spec import (
    EnvironmentSpec,
    ReferenceScores,
    as_spec,
    gym_spec_json,
    spec_of_data,
)
from transfer.envs.catalog import environment, find
from transfer.errors import TransferError
from transfer.runtime.logs import warn_once


def with_settings(gym_id: str, *around: tuple[str, dict[str, object]], **changes: object) -> EnvironmentSpec:
    """The spec of data in an environment with other settings and wrappers; returns from 1 to 5."""
    spec = json.loads(gym_spec_json(gym_id))
    wrappers = [{"name": name, "entry_point": f"gymnasium.wrappers:{name}", "kwargs": kw} for name, kw in around]
    spec["kwargs"] |= changes.pop("kwargs", {})
    text = json.dumps({**spec, "additional_wrappers": wrappers, **changes})
    return spec_of_data(text, as_spec(gym_id).spaces, np.array([1.0, 5.0]))


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
    # A file or a caller that names the table does not make it apply.
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
    spec = of_sizes("Hopper-v5", 11, 1)
    assert spec.reference.table == "dataset" and "it takes 1 action numbers, the table's 3" in caplog.text
    assert of_sizes("Hopper-v5", 9, 3).reference.table == "dataset"
    assert [of_sizes("Ant-v4", size, 8).reference.table for size in (27, 105)] == ["D4RL"] * 2


def of_sizes(gym_id: str, state_size: int, action_size: int) -> EnvironmentSpec:
    """The spec of data of these sizes; returns from 1 to 5."""
    return spec_of_data(gym_spec_json(gym_id), Spaces.unbounded(flat(state_size), action_size), np.array([1.0, 5.0]))


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
