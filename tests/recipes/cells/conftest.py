"""A run of several cells, as one process makes it."""

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result


@pytest.fixture(scope="module")
def options(tiny: list[str]) -> list[str]:
    """The command of the run that every test makes, without the number of jobs."""
    plain = [one for one in tiny if not one.startswith("--jobs")]
    return ["run", "hopper-to-walker2d", *plain, "--modes", "embeddings,full,mlp", "--seeds", "0,1"]


@pytest.fixture(scope="module")
def inline(workplace: Path, options: list[str], transfer: Callable[..., Result]) -> Path:
    """The folder of the run that one process made."""
    assert transfer(*options, "--jobs", "1", "--name", "inline").exit_code == 0
    return workplace / "runs" / "inline"
