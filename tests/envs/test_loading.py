"""Loading Minari files: the stored values, an equal cache, and errors that name the file."""

import json
import logging
import os
import shutil
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium
import h5py
import numpy as np
import pytest
from gymnasium import spaces

from transfer.data.episodes import Episodes
from transfer.envs.loading import load_episodes
from transfer.errors import TransferError

MEDIUM, EXPERT = "bundled/hopper/medium-v0", "bundled/hopper/expert-v0"


def data_file(datasets: Path, dataset_id: str = EXPERT) -> Path:
    return datasets / dataset_id / "data" / "main_data.hdf5"


def cache_entries(home: Path) -> list[Path]:
    return sorted(path for path in (home / "cache").glob("embedding-swap/*"))


def same(one: Episodes, two: Episodes) -> bool:
    arrays = all(
        np.array_equal(getattr(one, key), getattr(two, key)) for key in ("states", "actions", "rewards", "offsets")
    )
    return arrays and one.env_spec == two.env_spec and one.dataset_ids == two.dataset_ids


def test_numbers_are_those_that_minari_reads(datasets: Path) -> None:
    import minari

    episodes = load_episodes("hopper/medium-expert")
    stored = [one for name in (MEDIUM, EXPERT) for one in minari.load_dataset(name).iterate_episodes()]
    assert episodes.num_episodes == len(stored)
    for index, one in enumerate(stored):
        part = slice(episodes.offsets[index], episodes.offsets[index + 1])
        np.testing.assert_array_equal(episodes.states[part], one.observations[:-1].astype(np.float32))
        np.testing.assert_array_equal(episodes.actions[part], one.actions)
        np.testing.assert_array_equal(episodes.rewards[part], one.rewards.astype(np.float32))
    assert episodes.env_spec.name == "hopper"
    assert episodes.env_spec.gym_spec == gymnasium.spec("Hopper-v5").to_json()
    assert episodes.dataset_ids == (MEDIUM, EXPERT)


def test_the_cached_load_equals_the_first_one_and_reads_no_hdf5(
    datasets: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = load_episodes("hopper/medium-expert")
    fresh = Episodes.join([load_episodes(MEDIUM), load_episodes(EXPERT)])
    assert same(first, fresh) and first.content_hash == fresh.content_hash

    def fail(*args: Any) -> None:
        raise AssertionError("read the HDF5 file again")

    monkeypatch.setattr("transfer.envs.minari.packing.scan", fail)
    monkeypatch.setattr("transfer.envs.minari.packing.blocks_of", fail)
    started = time.perf_counter()
    again = load_episodes("hopper/medium-expert")
    assert time.perf_counter() - started < 0.5
    assert same(first, again) and first.content_hash == again.content_hash
    for key in ("states", "actions", "rewards"):
        array = getattr(again, key)
        assert isinstance(array.base, np.memmap) and not array.flags.writeable
        assert array.flags.c_contiguous


def test_a_changed_file_is_read_again_and_its_old_entry_goes(datasets: Path, home: Path) -> None:
    before = load_episodes("hopper/expert")
    (entry,) = cache_entries(home)
    with h5py.File(data_file(datasets), "a") as file:
        file["episode_0/rewards"][0] = 123.0
    os.utime(data_file(datasets), ns=(1, 1))
    after = load_episodes("hopper/expert")
    assert after.rewards[0] == 123.0 and after.content_hash != before.content_hash
    assert cache_entries(home) == [entry]
    assert before.rewards[0] != 123.0  # an open map keeps the old values


@pytest.mark.parametrize("damage", ["cut", "no index", "bad index"])
def test_a_damaged_entry_is_made_again(datasets: Path, home: Path, damage: str) -> None:
    before = load_episodes("hopper/expert")
    (entry,) = cache_entries(home)
    expected = before.content_hash, before.states.copy()
    if damage == "cut":
        (entry / "states.npy").write_bytes((entry / "states.npy").read_bytes()[:1000])
    elif damage == "no index":
        (entry / "index.json").unlink()
    else:
        (entry / "index.json").write_text("{}")
    after = load_episodes("hopper/expert")
    assert after.content_hash == expected[0]
    np.testing.assert_array_equal(after.states, expected[1])
    assert sorted(path.name for path in cache_entries(home)[0].iterdir()) == [
        "actions.npy", "index.json", "offsets.npy", "rewards.npy", "states.npy",
    ]  # fmt: skip


def test_a_cache_that_cannot_be_written_is_no_error(
    datasets: Path, home: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (home / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(home / "file"))
    assert load_episodes("hopper/expert").num_steps >= 600
    assert "no cache for bundled/hopper/expert-v0" in caplog.text


def truncate(file: Path) -> None:
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def edit(change: Callable[[Any], None]) -> Callable[[Path], None]:
    def damage(path: Path) -> None:
        with h5py.File(path, "a") as file:
            change(file)

    return damage


def drop_episodes(file: Any) -> None:
    for key in list(file):
        del file[key]


def drop_observation(file: Any) -> None:
    values = file["episode_0/observations"][:-1]
    del file["episode_0/observations"]
    file["episode_0/observations"] = values


def put_nan(file: Any) -> None:
    file["episode_0/rewards"][3] = np.nan


def group_observations(file: Any) -> None:
    del file["episode_0/observations"]
    file.create_group("episode_0/observations/achieved_goal")


def drop_rewards(file: Any) -> None:
    del file["episode_0/rewards"]


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (
            Path.unlink,
            "'bundled/hopper/expert-v0' lacks its data file .*main_data.hdf5.*transfer data make hopper/expert",
        ),
        (truncate, "'bundled/hopper/expert-v0': .*main_data.hdf5 is damaged, cut short or no HDF5 file"),
        (lambda path: path.write_text("no HDF5"), "main_data.hdf5 is damaged, cut short or no HDF5 file"),
        (edit(drop_episodes), "'bundled/hopper/expert-v0' has no episodes in .*main_data.hdf5"),
        (edit(drop_observation), "'bundled/hopper/expert-v0', episode_0 of .* observations.*wanted T.1, T, T"),
        (edit(put_nan), "bundled/hopper/expert-v0: rewards of episode 0, step 3, are not finite"),
        (edit(group_observations), "episode_0.*only flat vectors"),
        (edit(drop_rewards), "episode_0 of .* lacks rewards"),
        (lambda path: path.with_name("metadata.json").write_text("{"), "expert-v0.*metadata.json"),
        (lambda path: path.with_name("metadata.json").write_text("{}"), "expert-v0.*metadata.json"),
    ],
)
def test_a_damaged_dataset_is_named_and_not_cached(
    datasets: Path, home: Path, damage: Callable[[Path], Any], message: str
) -> None:
    damage(data_file(datasets))
    for source in ("hopper/expert", "hopper/medium-expert"):
        with pytest.raises(TransferError, match=message):
            load_episodes(source)
    assert not (home / "cache").exists()


def test_bodies_of_other_sizes_are_not_joined(datasets: Path, home: Path) -> None:
    with pytest.raises(TransferError, match=r"hopper/expert-v0.*walker2d/medium-v0.*\(11, 3\) and \(17, 6\)"):
        load_episodes("hopper/expert,walker2d/medium")
    assert not (home / "cache").exists()


def one_episode(observations: Any, actions: Any) -> list[Any]:
    from minari.data_collector import EpisodeBuffer

    flags = np.zeros(3, dtype=bool)
    rest = {"rewards": np.zeros(3), "terminations": flags, "truncations": flags}
    return [EpisodeBuffer(observations=observations, actions=actions, **rest)]


BOX = spaces.Box(-1, 1, (4,), np.float32)
FLOATS, INTEGERS = np.zeros((4, 4), np.float32), np.zeros(3, np.int64)


@pytest.mark.parametrize(
    ("observation_space", "action_space", "observations", "actions", "message"),
    [
        (BOX, spaces.Discrete(2), FLOATS, INTEGERS, "'mine-v0' has actions in Discrete"),
        (
            spaces.Dict(a=BOX, b=spaces.Discrete(2)), BOX, {"a": FLOATS, "b": np.zeros(4, np.int64)}, FLOATS[:3],
            r"'mine-v0' has observations in Discrete\(2\) under 'b'",
        ),
        (
            spaces.Box(0, 255, (32, 32, 3), np.uint8), BOX, np.zeros((4, 32, 32, 3), np.uint8), FLOATS[:3],
            "'mine-v0' has observations in Box.*32, 32, 3.*only vectors of real numbers.*images have to be encoded",
        ),
    ],
)  # fmt: skip
def test_spaces_that_are_not_vectors_are_refused(
    home: Path, minari_dataset: Callable[..., str], observation_space: Any, action_space: Any, observations: Any,
    actions: Any, message: str,
) -> None:  # fmt: skip
    buffer = one_episode(observations, actions)
    minari_dataset("mine-v0", buffer=buffer, observation_space=observation_space, action_space=action_space)
    with pytest.raises(TransferError, match=message):
        load_episodes("mine-v0")
    assert not (home / "cache").exists()


def test_a_dataset_without_environment_is_refused(minari_dataset: Callable[..., str]) -> None:
    minari_dataset("mine-v0", buffer=one_episode(FLOATS, FLOATS[:3]), observation_space=BOX, action_space=BOX)
    with pytest.raises(TransferError, match="'mine-v0'.*metadata.json.*names no environment. Name it where you load"):
        load_episodes("mine-v0")


def test_the_environment_is_the_one_for_evaluation(minari_dataset: Callable[..., str]) -> None:
    other = gymnasium.spec("InvertedPendulum-v5")
    other.max_episode_steps = 77
    buffer = one_episode(np.zeros((4, 4)), np.zeros((3, 1), np.float32))
    minari_dataset("mine-v0", buffer=buffer, env="InvertedPendulum-v5", eval_env=other)
    episodes = load_episodes("mine-v0")
    assert episodes.env_spec.max_episode_steps == 77
    assert episodes.env_spec.reference.table == "dataset"
    assert load_episodes("mine-v0").env_spec == episodes.env_spec  # and from the cache


def test_data_of_another_size_than_its_environment_is_refused(minari_dataset: Callable[..., str]) -> None:
    box = spaces.Box(-np.inf, np.inf, (9,), np.float64)
    buffer = one_episode(np.zeros((4, 9)), np.zeros((3, 3), np.float32))
    minari_dataset("mine-v0", buffer=buffer, env="Hopper-v5", observation_space=box)
    with pytest.raises(
        TransferError,
        match="'mine-v0': the data have states of 9 state numbers and actions of 3.*Hopper-v5 has 11",
    ):
        load_episodes("mine-v0")


def test_other_versions_of_the_physics_are_said_in_our_words(datasets: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = data_file(datasets).with_name("metadata.json")
    path.write_text(json.dumps({**json.loads(path.read_text()), "requirements": ["mujoco==3.2.3", "not-installed"]}))
    for _ in range(2):  # fresh and from the cache
        caplog.clear()
        with warnings.catch_warnings(), caplog.at_level(logging.WARNING):
            warnings.simplefilter("error")
            load_episodes("hopper/expert")
        (record,) = caplog.records
        assert "bundled/hopper/expert-v0 was recorded with mujoco==3.2.3, here is mujoco" in record.getMessage()


def test_infos_are_not_read(datasets: Path) -> None:
    expected = load_episodes("hopper/expert").content_hash
    with h5py.File(data_file(datasets), "a") as file:
        file["episode_0/infos/qpos"] = "not even an array"
    assert load_episodes("hopper/expert").content_hash == expected


def test_moving_the_datasets_makes_an_own_entry(datasets: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = load_episodes("hopper/expert")
    shutil.copytree(datasets, home / "elsewhere")
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(home / "elsewhere"))
    assert same(first, load_episodes("hopper/expert"))
    assert len(cache_entries(home)) == 2
