"""Names of datasets, their ids, and the datasets on this machine."""

import shutil
import unicodedata
from pathlib import Path
from typing import Any

import pytest

from transfer.envs.catalog import ENVIRONMENTS
from transfer.envs.dataset_ids import (
    BUNDLED,
    at_hand,
    check_known,
    closest_bundled,
    command_for,
    data_path,
    local_ids,
    resolve,
)
from transfer.envs.loading import load_episodes
from transfer.envs.minari.remote import REMOTE
from transfer.errors import TransferError


def test_names_ids_and_lists_resolve_in_order() -> None:
    both = ("bundled/hopper/medium-v0", "bundled/hopper/expert-v0")
    assert resolve("hopper/medium-expert") == both
    assert resolve("hopper/medium, hopper/expert,") == both
    assert resolve(["hopper/medium", "mujoco/hopper/expert-v0"]) == (both[0], "mujoco/hopper/expert-v0")
    assert resolve("my-own-data-v3") == ("my-own-data-v3",)
    assert all(one.startswith("bundled/") for ids in BUNDLED.values() for one in ids)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("hopper/medum", "unknown dataset 'hopper/medum'. Did you mean 'hopper/medium'?.*walker2d/expert"),
        ("mujoco/hopper/expert", "unknown dataset 'mujoco/hopper/expert'.*ends in its version"),
        ("../../etc/passwd-v0", "unknown dataset"),
        ("/etc/data-v0", "unknown dataset"),
        ("hf://someone/data-v0", "unknown dataset"),
        ("hopper expert-v0", "unknown dataset"),
        ("mine//expert-v0", "unknown dataset"),
        ("mine/../expert-v0", "unknown dataset"),
        ("mine/exp\0ert-v0", "unknown dataset"),
        ("x" * 300 + "-v0", "unknown dataset"),
        (3, "datasets are named by text"),
        (None, "datasets are named by text"),
        ([3], "datasets are named by text"),
        (b"hopper/expert-v0", "datasets are named by text"),
        ("bundled/hopper/simple-v0", "unknown dataset 'bundled/hopper/simple-v0'"),
        ("", "no dataset named"),
        ([], "no dataset named"),
        ("hopper/medium-expert,hopper/medium", "'bundled/hopper/medium-v0' is named twice"),
    ],
)
def test_what_is_no_dataset_is_refused_by_name(source: Any, message: str) -> None:
    for function in (resolve, at_hand, check_known):
        with pytest.raises(TransferError, match=message):
            function(source)


def test_at_hand_tells_what_is_on_this_machine(datasets: Path) -> None:
    assert local_ids() == ["bundled/hopper/expert-v0", "bundled/hopper/medium-v0", "bundled/walker2d/medium-v0"]
    assert at_hand("hopper/medium-expert")
    assert at_hand(["hopper/medium", "walker2d/medium"])
    assert not at_hand("walker2d/medium-expert")
    assert not at_hand(["hopper/medium", "mujoco/hopper/expert-v0"])


def test_datasets_behind_links_are_at_hand_and_listed(datasets: Path, tmp_path: Path) -> None:
    whole = datasets / "bundled/hopper/expert-v0"
    shutil.move(whole, tmp_path / "expert")
    whole.symlink_to(tmp_path / "expert")  # one dataset
    shutil.move(datasets / "bundled/walker2d", tmp_path / "walker2d")
    (datasets / "bundled/walker2d").symlink_to(tmp_path / "walker2d")  # a whole namespace
    (datasets / "again").symlink_to(datasets)  # a loop
    test_at_hand_tells_what_is_on_this_machine(datasets)


def test_looking_creates_nothing(home: Path) -> None:
    assert local_ids() == []
    assert not at_hand("hopper/medium")
    assert list(home.iterdir()) == []


def test_a_broken_off_download_is_not_at_hand(datasets: Path) -> None:
    (datasets / "bundled/hopper/expert-v0/data/metadata.json").unlink()
    assert not at_hand("hopper/expert")
    assert "bundled/hopper/expert-v0" not in local_ids()


@pytest.mark.parametrize(
    ("ids", "name"),
    [
        (["mujoco/hopper/medium-v0"], "hopper/medium"),
        (["mujoco/walker2d/medium-v0", "mujoco/walker2d/expert-v0"], "walker2d/medium-expert"),
        (["mujoco/walker2d/simple-v0"], "walker2d/medium-expert"),
    ],
)
def test_the_closest_bundled_data_exists(ids: list[str], name: str) -> None:
    assert closest_bundled(ids) == name
    assert name in BUNDLED


def test_there_is_no_closest_bundled_data_of_another_environment() -> None:
    assert closest_bundled(["D4RL/pen/human-v2"]) == ""


@pytest.mark.parametrize(
    ("dataset_id", "command"),
    [
        ("bundled/hopper/expert-v0", "transfer data make hopper/expert"),
        ("imported/hopper_medium-v2", "transfer data import FILE --env NAME --id imported/hopper_medium-v2"),
        ("D4RL/pen/human-v2", "minari download D4RL/pen/human-v2"),
    ],
)
def test_every_dataset_has_a_command_that_brings_it(dataset_id: str, command: str) -> None:
    assert command_for(dataset_id) == command


@pytest.mark.parametrize("spelling", ["NFC", "NFD"])
def test_an_id_with_an_accent_is_an_id(spelling: str, datasets: Path) -> None:
    shutil.copytree(datasets / "bundled/hopper/expert-v0", datasets / "mine/höpper-v0")
    assert load_episodes(unicodedata.normalize(spelling, "mine/höpper-v0")).num_steps >= 600
    assert "mine/höpper-v0" in local_ids()


def test_the_list_of_remote_datasets_is_that_of_the_environments() -> None:
    assert {name for name in REMOTE.values() if name} == set(ENVIRONMENTS)
    assert all(resolve(one) == (one,) for one in REMOTE)


@pytest.mark.parametrize("network", [True, False])
@pytest.mark.parametrize(
    ("asked", "closest"),
    [
        ("mujoco/hoper/expert-v0", "mujoco/hopper/expert-v0"),
        ("D4RL/pen/human-v1", "D4RL/pen/human-v2"),
        ("mine/hoper-v0", "mine/hopper-v0"),
    ],
)
def test_an_id_that_nobody_knows_is_refused_with_the_closest_one(
    asked: str, closest: str, network: bool, datasets: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(datasets / "bundled/hopper/expert-v0", datasets / "mine/hopper-v0")
    monkeypatch.setattr("minari.download_dataset", lambda *args, **options: pytest.fail("asked the remote"))
    monkeypatch.setattr("transfer.envs.minari.download.remote_reachable", lambda: network)
    with pytest.raises(TransferError, match=f"unknown dataset '{asked}'. Did you mean '{closest}'"):
        load_episodes(f"{asked},mujoco/hopper/medium-v0")


def test_images_and_discrete_actions_are_said_to_be_unsupported() -> None:
    with pytest.raises(TransferError, match="'atari/pong/expert-v0' holds images and discrete actions"):
        check_known("atari/pong/expert-v0")


def test_another_remote_may_have_any_dataset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINARI_REMOTE", "hf://somebody")
    check_known("somebodys/data-v0")
    monkeypatch.setenv("MINARI_REMOTE", "hf://farama-minari/")
    with pytest.raises(TransferError, match="unknown dataset"):
        check_known("somebodys/data-v0")


def test_a_user_without_a_home_is_told_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_home() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", no_home)
    monkeypatch.delenv("MINARI_DATASETS_PATH")
    assert local_ids() == []
    with pytest.raises(TransferError, match="no home folder.*Set MINARI_DATASETS_PATH"):
        data_path("mine/data-v0")
