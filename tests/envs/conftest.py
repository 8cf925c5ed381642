"""Small bundled datasets, made once in MuJoCo, and a new home folder for each test."""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

STEPS = 600


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A datasets folder with hopper/medium-expert and walker2d/medium of 600 steps each; tests only read it."""
    from transfer.envs.bundled.making import make_dataset

    root = tmp_path_factory.mktemp("made")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MINARI_DATASETS_PATH", str(root))
        make_dataset("hopper/medium-expert", steps=STEPS)
        make_dataset("walker2d/medium", steps=STEPS)
    return root


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty datasets folder and cache for each test: home/datasets and home/cache."""
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "datasets"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    yield tmp_path


@pytest.fixture
def datasets(made: Path, home: Path) -> Path:
    """A copy of the made datasets, which a test may damage."""
    shutil.copytree(made, home / "datasets")
    return home / "datasets"


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets every connection fail at once, as without a network."""

    def refuse(*args: Any, **kwargs: Any) -> None:
        raise OSError("no network")

    monkeypatch.setattr("socket.create_connection", refuse)


@pytest.fixture
def minari_dataset(home: Path) -> Callable[..., str]:
    """Writes a small Minari dataset with Minari's own writer: (id, env=None, buffers, observation_space, ...)."""
    import warnings

    import minari

    def write(dataset_id: str, **options: Any) -> str:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            minari.create_dataset_from_buffers(dataset_id, **options)
        return dataset_id

    return write


def forked(work: Callable[[], str]) -> tuple[int, str]:
    """Runs a function in its own process. Returns the exit status (0, or the signal) and the output."""
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        os.close(reader)
        try:
            os.write(writer, work().encode())
        finally:
            os._exit(0)
    os.close(writer)
    with open(reader, "rb") as stream:
        said = stream.read().decode()
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) * -1, said
