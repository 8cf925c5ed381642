"""A module that files name and nobody may import."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.transfer.data.environment.building.stored import Marks

PAYLOAD = """
from pathlib import Path
import gymnasium
Path(__file__).with_name("imported").touch()
class Env(gymnasium.Env):
    def __init__(self, **kwargs):
        Path(__file__).with_name("called").touch()
        self.observation_space = gymnasium.spaces.Box(-1, 1, (11,))
        self.action_space = gymnasium.spaces.Box(-1, 1, (3,))
class Around(gymnasium.Wrapper, gymnasium.utils.RecordConstructorArgs):
    def __init__(self, env, **kwargs):
        Path(__file__).with_name("called").touch()
        super().__init__(env)
"""


@pytest.fixture
def marks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Marks]:
    """A module `evilmod` that Python would find; which of its traces there are ("imported", "called")."""
    (tmp_path / "evilmod.py").write_text(PAYLOAD)
    monkeypatch.syspath_prepend(tmp_path)
    yield lambda: {path.name for path in tmp_path.iterdir()} & {"imported", "called"}
    sys.modules.pop("evilmod", None)
