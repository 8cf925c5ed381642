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


@pytest.fixture(scope="session", autouse=True)
def scratch_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The working folder of the whole session: MuJoCo writes its log there, and so do commands with default paths."""
    before = Path.cwd()
    folder = tmp_path_factory.mktemp("cwd")
    os.chdir(folder)
    yield folder
    os.chdir(before)


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """Results that depend on the order of sums depend on the number of threads."""
    import torch

    torch.set_num_threads(1)
