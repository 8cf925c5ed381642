"""Datasets that are not on this machine are downloaded, or refused at once with the next command."""

import shutil
import socket
import time
from pathlib import Path
from typing import Any

import pytest

from transfer.envs.loading import load_episodes
from transfer.envs.minari.download import remote_reachable
from transfer.errors import TransferError

REMOTE = "mujoco/hopper/expert-v0"


@pytest.fixture
def online(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setattr("transfer.envs.minari.download.remote_reachable", lambda: True)


@pytest.mark.parametrize("how", ["refused", "no answer"])
def test_without_network_the_error_is_quick_and_names_both_ways_on(how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def connect(*args: Any, **kwargs: Any) -> None:
        if how == "no answer":
            time.sleep(10)  # as resolving a host name may, whatever the timeout
        raise OSError

    monkeypatch.setattr("socket.create_connection", connect)
    started = time.perf_counter()
    with pytest.raises(TransferError) as caught:
        load_episodes(f"mujoco/hopper/medium-v0,{REMOTE}")
    assert time.perf_counter() - started < 2.0
    for part in (
        "'mujoco/hopper/medium-v0', 'mujoco/hopper/expert-v0' are not on this machine",
        "huggingface.co cannot be reached",
        "minari download mujoco/hopper/medium-v0 && minari download mujoco/hopper/expert-v0",
        "transfer data make hopper/medium-expert",
    ):
        assert part in str(caught.value)


@pytest.mark.parametrize("source", ["hopper/medium-expert", "bundled/hopper/expert-v0", "walker2d/medium"])
def test_bundled_data_not_made_yet_names_its_command(source: str, no_network: None) -> None:
    name = {"bundled/hopper/expert-v0": "hopper/expert"}.get(source, source)
    with pytest.raises(TransferError, match=f"not made yet. Make it: transfer data make {name}$"):
        load_episodes(source)


def test_local_data_needs_no_network(datasets: Path, no_network: None, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> bool:
        raise AssertionError("asked for the network")

    monkeypatch.setattr("transfer.envs.minari.download.remote_reachable", fail)
    assert load_episodes("hopper/medium").num_steps >= 600


def test_a_download_is_loaded_and_prints_nothing(
    made: Path, home: Path, online: None, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def download(dataset_id: str, **options: Any) -> None:
        print(f"Downloading {dataset_id}")
        shutil.copytree(made / "bundled/hopper/expert-v0", home / "datasets" / dataset_id)

    monkeypatch.setattr("minari.download_dataset", download)
    episodes = load_episodes(REMOTE)
    assert episodes.dataset_ids == (REMOTE,)
    assert episodes.num_steps >= 600
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("error", [ValueError("no such version"), KeyboardInterrupt()])
def test_a_failed_download_leaves_no_folder(
    home: Path, online: None, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    def download(dataset_id: str, **options: Any) -> None:
        (home / "datasets" / dataset_id / "data").mkdir(parents=True)
        raise error

    monkeypatch.setattr("minari.download_dataset", download)
    with pytest.raises(TransferError if isinstance(error, Exception) else KeyboardInterrupt) as caught:
        load_episodes(REMOTE)
    if isinstance(error, Exception):
        assert "no such version" in str(caught.value) and f"minari download {REMOTE}" in str(caught.value)
    assert not (home / "datasets" / REMOTE).exists()


def test_a_proxy_is_asked_instead_of_the_remote(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
        monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{server.getsockname()[1]}")
        assert remote_reachable()
        monkeypatch.setenv("HF_HUB_OFFLINE", "1")
        assert not remote_reachable()
