from collections.abc import Callable
from pathlib import Path

import pytest

Write = Callable[..., str]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes settings, which have a target where they extend base; returns their path."""

    def make(text: str, name: str = "my.toml", extends: str = "base") -> str:
        target = '[target]\ndata = ["walker2d/medium"]\n' if extends == "base" else ""
        (tmp_path / name).write_text(f'extends = "{extends}"\n{target}{text}', encoding="utf-8")
        return str(tmp_path / name)

    return make
