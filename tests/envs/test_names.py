"""From names to dataset ids, and what is on this machine."""

from pathlib import Path

import pytest

from transfer.envs.loading import at_hand, load_episodes, local_ids
from transfer.envs.names import BUNDLED, closest_bundled, command_for, resolve
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
        ("höpper/expert-v0", "unknown dataset"),
        ("bundled/hopper/simple-v0", "unknown dataset 'bundled/hopper/simple-v0'"),
        ("", "no dataset named"),
        ([], "no dataset named"),
        ("hopper/medium-expert,hopper/medium", "'bundled/hopper/medium-v0' is named twice"),
    ],
)
def test_what_is_no_dataset_is_refused_by_name(source: str, message: str) -> None:
    for function in (resolve, at_hand, load_episodes):
        with pytest.raises(TransferError, match=message):
            function(source)


def test_at_hand_tells_what_is_on_this_machine(datasets: Path) -> None:
    assert local_ids() == ["bundled/hopper/expert-v0", "bundled/hopper/medium-v0", "bundled/walker2d/medium-v0"]
    assert at_hand("hopper/medium-expert")
    assert at_hand(["hopper/medium", "walker2d/medium"])
    assert not at_hand("walker2d/medium-expert")
    assert not at_hand(["hopper/medium", "mujoco/hopper/expert-v0"])


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
