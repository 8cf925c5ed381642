"""docs/ARCHITECTURE.md: the files and functions that it names are there, and one evaluation walks as it says."""

import importlib
import re
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

import transfer
from transfer.data.environment.spec import EnvironmentSpec
from transfer.data.episodes import Episodes
from transfer.data.windows import WindowSampler
from transfer.evaluation.evaluate import evaluate
from transfer.models.sequence_model import TransferModel
from transfer.models.trunk import Trunk
from transfer.recipes.programs.adapt import adapt
from transfer.runtime import native
from transfer.training.train_config import TrainConfig

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "ARCHITECTURE.md").read_text(encoding="utf-8")
STEP = re.compile(r"`([\w/]+\.py)`, `([\w.]+)`")
MOST = 8  # functions of the library between the call and the simulator


def section(title: str) -> str:
    return PAGE.split(f"## {title}\n")[1].split("\n## ")[0]


def test_files_and_folders_that_the_page_names_are_there() -> None:
    paths = re.findall(r"`((?:transfer|adapters|envs|recipes|tests)(?:/[\w.]*)*)`", PAGE)
    assert len(paths) > 20
    assert [path for path in paths if not (ROOT / path).exists()] == []


def test_functions_that_the_page_names_are_there() -> None:
    named = STEP.findall(PAGE)
    assert len(named) > 15
    for path, name in named:
        top, *below = Path(path).with_suffix("").parts
        owner: Any = importlib.import_module(".".join(["transfer", *([] if top == "transfer" else [top]), *below]))
        for part in name.split("."):
            owner = getattr(owner, part)


def test_every_room_of_the_core_is_on_the_page() -> None:
    rooms = [path.parent.name for path in (ROOT / "transfer").glob("*/__init__.py")]
    assert rooms
    assert [room for room in rooms if f"`transfer/{room}`" not in PAGE] == []


def test_one_evaluation_walks_as_the_page_says(
    make_model: Callable[..., TransferModel], short: Callable[..., EnvironmentSpec]
) -> None:
    steps = re.findall(r"(?m)^\d\. `([\w/]+\.py)`, `([\w.]+)`", section("What one evaluation does"))
    assert len(steps) <= MOST
    model = make_model(width=32)  # heads of 16, which kernels for vectors of 4, 8 and 16 floats take
    if native.library() is None:
        pytest.skip("without kernels the sixth function is another one")
    spec = short("hopper", 3)
    seen = walked(steps, lambda: evaluate(model, spec, num_episodes=1, num_envs=1, target_return=1.0))
    assert seen[: len(steps)] == steps


def test_an_action_becomes_tokens_as_the_page_says(
    make_model: Callable[..., TransferModel], make_episodes: Callable[..., Episodes]
) -> None:
    steps = re.findall(r"(?m)^\d\. `([\w/]+\.py)`, `([\w.]+)`", section("How an action becomes tokens"))
    assert len(steps) == 5
    model, batch = make_model(), WindowSampler(make_episodes(), 4, 2).batch(0)
    assert walked(steps, lambda: model.loss(batch)) == steps


def test_the_trunk_is_frozen_where_the_page_says(
    make_trunk: Callable[..., Trunk], make_episodes: Callable[..., Episodes]
) -> None:
    freezing, fitting, adapting, saved = re.findall(
        r"(?m)^\d\. `([\w/]+\.py)`, `([\w.]+)`", section("Where the trunk is frozen")
    )
    trunk, episodes = make_trunk(), make_episodes()
    config = TrainConfig(steps=1, batch_size=2, context=4, log_every=1, save_every=1)
    seen = walked([freezing, fitting, adapting], lambda: adapt(trunk, episodes, "embeddings", config=config))
    assert seen == [adapting, fitting, freezing]
    assert saved[1] == "_check_saved"


def walked(steps: list[tuple[str, str]], work: Callable[[], object]) -> list[tuple[str, str]]:
    """The steps in the order in which some work calls them; a class stands for its methods."""
    seen: list[tuple[str, str]] = []
    core = str(Path(str(transfer.__file__)).parent.parent)

    def record(frame: FrameType, event: str, _: object) -> None:
        code = frame.f_code
        file, (owner, *_rest) = code.co_filename.removeprefix(core)[1:], code.co_qualname.split(".")
        for step in {(file, code.co_qualname), (file, owner)} & set(steps) if event == "call" else ():
            if step not in seen:
                seen.append(step)

    sys.setprofile(record)
    try:
        work()
    finally:
        sys.setprofile(None)
    return seen
