"""What all tests share: nothing is read from or written to the user's own folders, and torch uses one thread."""

import atexit
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

# At import, because modules under test may read these when they are imported.
_home = Path(tempfile.mkdtemp(prefix="transfer-tests-"))
atexit.register(shutil.rmtree, _home, ignore_errors=True)
os.environ["MINARI_DATASETS_PATH"] = str(_home / "datasets")
os.environ["XDG_CACHE_HOME"] = str(_home / "cache")
os.environ["HF_HUB_OFFLINE"] = "1"  # a machine with a network behaves as one without


@pytest.fixture(scope="session", autouse=True)
def scratch_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The working folder of the whole session: MuJoCo writes its log there, and so do commands with default paths."""
    before = Path.cwd()
    folder = tmp_path_factory.mktemp("cwd")
    os.chdir(folder)
    yield folder
    os.chdir(before)


@pytest.fixture(scope="session")
def tiny_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A datasets folder with hopper/medium-expert and walker2d/medium-expert, a few episodes of each.

    Evaluations on them are cut after 20 steps: real MuJoCo, but short. Tests only read it.
    """
    from transfer.envs.bundled.making import make_dataset

    root = tmp_path_factory.mktemp("tiny")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MINARI_DATASETS_PATH", str(root))
        for name in ("hopper/medium-expert", "walker2d/medium-expert"):
            make_dataset(name, steps=300)
    for file in root.rglob("metadata.json"):
        long = file.read_text(encoding="utf-8")
        short = long.replace(r"\"max_episode_steps\": 1000", r"\"max_episode_steps\": 20")
        assert short != long
        file.write_text(short, encoding="utf-8")
    return root


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """Results that depend on the order of sums depend on the number of threads."""
    import torch

    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def kernels() -> None:
    """The C kernels; what is about them alone is skipped where there is no C compiler."""
    from transfer.runtime import native

    if native.library() is None:
        pytest.skip("no C compiler")
