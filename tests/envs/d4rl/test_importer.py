"""Importing D4RL's files: every step is kept in order; faulty versions are refused; an error leaves nothing."""

import hashlib
import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from tests.envs.d4rl.conftest import arrays, load, metadata, nothing_left
from transfer.envs.d4rl.importer import episode_ends, import_d4rl
from transfer.errors import TransferError


@pytest.mark.parametrize("compression", [None, "gzip"])
def test_episodes_are_those_that_the_file_marks(
    home: Path, write: Callable[..., Path], compression: str | None
) -> None:
    contents = arrays()
    seen: list[tuple[int, int]] = []
    file = write("Hopper_Medium-v2", contents, compression=compression)
    dataset_id = import_d4rl(file, "hopper", on_progress=lambda done, total: seen.append((done, total)))

    assert dataset_id == "imported/hopper_medium-v2"
    dataset = load(dataset_id)
    assert (dataset.total_episodes, dataset.total_steps) == (3, 10)
    for episode, rows in zip(dataset.iterate_episodes(), (slice(0, 4), slice(4, 8), slice(8, 10)), strict=True):
        last = contents["next_observations"][rows][-1:]
        np.testing.assert_array_equal(
            episode.observations, np.concatenate([contents["observations"][rows], last]), strict=True
        )
        np.testing.assert_array_equal(episode.actions, contents["actions"][rows], strict=True)
        np.testing.assert_array_equal(episode.rewards, contents["rewards"][rows], strict=True)
        assert not episode.terminations[:-1].any() and not episode.truncations[:-1].any()
    # The first is terminated, the second truncated, the third ends with the file.
    assert [bool(episode.terminations[-1]) for episode in dataset.iterate_episodes()] == [True, False, False]
    assert [bool(episode.truncations[-1]) for episode in dataset.iterate_episodes()] == [False, True, True]
    assert seen == [(4, 10), (8, 10), (10, 10)]

    assert dataset.recover_environment(eval_env=True).spec.id == "Hopper-v5"
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    imported = metadata(home, dataset_id)["imported"]
    assert imported == {"file": "Hopper_Medium-v2.hdf5", "sha256": digest, "repeats_last_observation": False}
    assert not list((home / "datasets").glob(".making-*"))


def test_without_next_observations_the_last_one_is_repeated_and_that_is_said(
    home: Path, write: Callable[..., Path]
) -> None:
    contents = arrays(next_observations=None)
    dataset_id = import_d4rl(write("hopper-medium-v2", contents), "hopper")
    first = next(iter(load(dataset_id).iterate_episodes()))
    np.testing.assert_array_equal(first.observations[-2:], contents["observations"][[3, 3]])
    said = metadata(home, dataset_id)
    assert said["imported"]["repeats_last_observation"] is True
    assert "repeats the one before" in said["description"]


def test_without_timeouts_the_limit_of_the_environment_splits_too(
    home: Path, write: Callable[..., Path], caplog: pytest.LogCaptureFixture
) -> None:
    contents = arrays(45, 24, steps=250, timeouts=None, terminals=np.arange(250) == 29)
    dataset_id = import_d4rl(write("pen-human-v1", contents), "pen")  # at most 100 steps
    episodes = list(load(dataset_id).iterate_episodes())
    assert [len(episode.rewards) for episode in episodes] == [30, 100, 100, 20]
    assert [bool(episode.terminations[-1]) for episode in episodes] == [True, False, False, False]
    assert "pen-human-v1.hdf5 has no timeouts" in caplog.text and "100 steps" in caplog.text


def test_columns_of_rewards_and_flags_are_flattened(write: Callable[..., Path]) -> None:
    contents = arrays()
    columns = {key: contents[key].astype(np.float32)[:, None] for key in ("rewards", "terminals", "timeouts")}
    episodes = list(load(import_d4rl(write("hopper-v2", contents | columns), "hopper")).iterate_episodes())
    assert [episode.rewards.tolist() for episode in episodes] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]


def test_the_maze_becomes_goal_position_and_ant(home: Path, write: Callable[..., Path]) -> None:
    goals = np.repeat(np.array([[1, 2], [3, 4]], dtype=np.float32), [4, 6], axis=0)
    contents = arrays(29, 8, next_observations=None) | {"infos/goal": goals}
    name = "Ant_maze_big-maze_noisy_multistart_True_multigoal_True_sparse_fixed"
    dataset_id = import_d4rl(write(name, contents), "antmaze-medium", "imported/maze-v2")
    assert dataset_id == "imported/maze-v2"
    dataset = load(dataset_id)
    first = next(iter(dataset.iterate_episodes()))
    rows = [0, 1, 2, 3, 3]
    assert set(first.observations) == {"observation", "achieved_goal", "desired_goal"}
    np.testing.assert_array_equal(first.observations["achieved_goal"], contents["observations"][rows, :2])
    np.testing.assert_array_equal(first.observations["observation"], contents["observations"][rows, 2:])
    np.testing.assert_array_equal(first.observations["desired_goal"], np.full((5, 2), [1, 2]))
    environment = dataset.recover_environment(eval_env=True)
    assert environment.spec.id == "AntMaze_Medium-v4"
    assert {key: space.shape for key, space in environment.observation_space.spaces.items()} == {
        key: value.shape[1:] for key, value in first.observations.items()
    }
    assert "start cell" in metadata(home, dataset_id)["description"]


def test_d4rls_ant_gets_the_environment_with_its_111_numbers(write: Callable[..., Path]) -> None:
    dataset = load(import_d4rl(write("ant_expert-v2", arrays(111, 8)), "ant"))
    for eval_env in (False, True):
        environment = dataset.recover_environment(eval_env=eval_env)
        assert environment.spec.id == "Ant-v4"
        assert environment.observation_space.shape == (111,)
    assert next(iter(dataset.iterate_episodes())).observations.shape == (5, 111)


def test_a_file_of_no_version_and_other_physics_are_warned_of(
    write: Callable[..., Path], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        assert import_d4rl(write("my hopper.data", arrays()), "hopper") == "imported/my-hopper-data-v0"
    assert "my hopper.data names no version. Make sure that it is -v2" in caplog.text
    assert "mujoco_py's physics" in caplog.text and "Hopper-v5" in caplog.text


@pytest.mark.parametrize(
    ("name", "env", "message"),
    [
        ("hopper_medium_expert-v0", "hopper", r"D4RL #19.*-v2"),
        ("hopper_medium_expert_v1", "hopper", r"version 1.*D4RL #76.*-v2"),
        ("walker2d_expert-v0", "walker2d", r"version 0.*-v2"),
        ("antmaze-umaze-v0", "antmaze-umaze", r"D4RL #77.*-v2"),
        ("antmaze-large-play-v1", "antmaze-large", r"D4RL #77.*-v2"),
        ("pen-v0_demos_clipped", "pen", r"version 0.*-v1"),
        ("maze2d-umaze-sparse-v1", "maze2d-umaze", "D4RL #194"),
        ("hopper-medium-v2", "hoper", "unknown environment 'hoper'. Did you mean 'hopper'"),
    ],
)
def test_versions_with_known_errors_are_refused_by_name(home: Path, name: str, env: str, message: str) -> None:
    with pytest.raises(TransferError, match=message):
        import_d4rl(home / f"{name}.hdf5", env)  # before the file is opened
    assert nothing_left(home)


@pytest.mark.parametrize(
    ("name", "env", "named"),
    [
        ("walker2d_medium-v2", "halfcheetah", "walker2d"),
        ("Ant_maze_u-maze_noisy_multistart_False_multigoal_False_sparse_fixed", "antmaze-large", "antmaze-umaze"),
        ("antmaze-medium-play-v2", "antmaze-large", "antmaze-medium"),
    ],
)
def test_another_environment_of_the_same_size_is_noticed_by_the_name(
    home: Path, write: Callable[..., Path], name: str, env: str, named: str
) -> None:
    contents = arrays(29, 8) | {"infos/goal": np.zeros((10, 2))} if "maze" in env else arrays(17, 6)
    with pytest.raises(TransferError, match=f"named after {named}, not {env}"):
        import_d4rl(write(name, contents), env)
    assert nothing_left(home)


def test_a_path_begins_at_home_where_it_says_so(
    home: Path, write: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    write("hopper-v2", arrays())
    monkeypatch.setenv("HOME", str(home))
    assert import_d4rl("~/files/hopper-v2.hdf5", "hopper") == "imported/hopper-v2"  # type: ignore[arg-type]


def test_an_id_that_is_taken_is_kept_unless_told_otherwise(home: Path, write: Callable[..., Path]) -> None:
    dataset_id = import_d4rl(write("hopper-v2", arrays()), "hopper")
    other = write("hopper-v2", arrays(steps=20))
    with pytest.raises(TransferError, match="'imported/hopper-v2' is there already"):
        import_d4rl(other, "hopper")
    assert load(dataset_id).total_steps == 10

    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        import_d4rl(other, "hopper", overwrite=True, on_progress=stop)
    assert load(dataset_id).total_steps == 10
    assert import_d4rl(other, "hopper", overwrite=True) == dataset_id
    assert load(dataset_id).total_steps == 20
    assert not list((home / "datasets").glob(".making-*"))


def test_ctrl_c_leaves_nothing(home: Path, write: Callable[..., Path]) -> None:
    def stop(done: int, total: int) -> None:
        if done > 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        import_d4rl(write("hopper-v2", arrays()), "hopper", on_progress=stop)
    assert nothing_left(home)


@pytest.mark.parametrize("dataset_id", ["mine-v3", "my/own/hopper-v0"])
def test_any_id_of_minari_can_be_given(write: Callable[..., Path], dataset_id: str) -> None:
    assert import_d4rl(write("hopper-v2", arrays()), "hopper", dataset_id) == dataset_id
    assert load(dataset_id).total_steps == 10


@pytest.mark.parametrize(
    "dataset_id",
    ["hopper", "a/hopper-v0", "../hopper-v0", "one-v0,two-v0", "hopper/medium", "bundled/hopper/expert-v0", " x-v0"],
)
def test_ids_that_minari_or_we_could_not_keep_are_refused(
    home: Path, write: Callable[..., Path], dataset_id: str
) -> None:
    with pytest.raises(TransferError, match="is no id for a dataset"):
        import_d4rl(write("hopper-v2", arrays()), "hopper", dataset_id)
    assert nothing_left(home)


FLAGS = st.integers(1, 40).flatmap(
    lambda steps: st.tuples(hnp.arrays(bool, steps), st.none() | hnp.arrays(bool, steps), st.integers(1, 50))
)


@given(FLAGS)
@settings(max_examples=50, deadline=None)
def test_splitting_keeps_every_step_once_and_in_order(
    flags: tuple[NDArray[np.bool_], NDArray[np.bool_] | None, int],
) -> None:
    terminals, timeouts, limit = flags
    ends = episode_ends(terminals, timeouts, limit)
    parts = np.split(np.arange(len(terminals)), ends)
    assert parts.pop().size == 0 and all(part.size for part in parts)
    assert np.concatenate(parts).tolist() == list(range(len(terminals)))
    marked = terminals if timeouts is None else terminals | timeouts
    for part in parts:
        assert not marked[part[:-1]].any()
        full = timeouts is None and part.size == limit
        assert marked[part[-1]] or full or part[-1] == len(terminals) - 1
        assert timeouts is not None or part.size <= limit
