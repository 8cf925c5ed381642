"""A checkpoint of another kind is refused: the message names its kind and the one needed."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from transfer.errors import TransferError
from transfer.models.adapter import Adapter
from transfer.models.mlp import MLPPolicy
from transfer.models.sequence_model import TransferModel
from transfer.models.trunk import Trunk

KINDS: dict[str, tuple[type[Any], str]] = {
    "trunk": (Trunk, "a trunk"),
    "adapter": (Adapter, "an adapter"),
    "mlp": (MLPPolicy, "an MLP"),
}
PAIRS = [(wanted, there) for wanted in KINDS for there in KINDS]


@pytest.fixture
def saved(make_model: Callable[..., TransferModel], tmp_path: Path) -> dict[str, Path]:
    """A folder for each kind."""
    model = make_model()
    mlp = MLPPolicy(model.env_spec, model.statistics, 8)
    modules: dict[str, Any] = {"trunk": model.trunk, "adapter": model.adapter, "mlp": mlp}
    return {name: module.save(tmp_path / f"a-{name}") for name, module in modules.items()}


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize(("wanted", "there"), PAIRS)
def test_a_folder_of_another_kind_is_named(wanted: str, there: str, saved: dict[str, Path]) -> None:
    (kind, needed), before = KINDS[wanted], files(saved[there])
    if wanted == there:
        assert type(kind.load(saved[there])) is kind
    else:
        with pytest.raises(TransferError, match=f"holds {KINDS[there][1]}, and no {wanted}.json: {needed} is needed"):
            kind.load(saved[there])
    assert files(saved[there]) == before


@pytest.mark.parametrize(("wanted", "there"), PAIRS)
def test_the_files_of_another_kind_under_the_names_of_one_are_named(
    wanted: str, there: str, saved: dict[str, Path], tmp_path: Path
) -> None:
    (kind, needed), folder = KINDS[wanted], tmp_path / "renamed"
    folder.mkdir()
    for suffix in ("json", "safetensors"):
        shutil.copy(saved[there] / f"{there}.{suffix}", folder / f"{wanted}.{suffix}")
    before = files(folder)
    if wanted == there:
        assert type(kind.load(folder)) is kind
    else:
        message = rf"{wanted}.json is the JSON of {KINDS[there][1]}, {there}.json: {needed} is needed here.*transfer ls"
        with pytest.raises(TransferError, match=message):
            kind.load(folder)
    assert files(folder) == before


def test_a_folder_of_two_kinds_gives_each_what_it_asks_for(saved: dict[str, Path]) -> None:
    for name in ("trunk", "adapter"):
        for path in saved[name].iterdir():
            shutil.copy(path, saved["mlp"])
    for kind, _ in KINDS.values():
        assert type(kind.load(saved["mlp"])) is kind
    (saved["mlp"] / "adapter.json").unlink()
    with pytest.raises(TransferError, match=r"holds a trunk and an MLP, and no adapter\.json: an adapter is needed"):
        Adapter.load(saved["mlp"])


@pytest.mark.parametrize("name", KINDS)
def test_a_folder_without_a_checkpoint_is_answered_with_what_is_needed(name: str, tmp_path: Path) -> None:
    kind, needed = KINDS[name]
    message = f"{tmp_path} holds no {name}.json: {needed} is needed here"
    with pytest.raises(TransferError, match=f"{message}.*a run keeps it in .*/SEED/{name}"):
        kind.load(tmp_path)
    with pytest.raises(TransferError, match=f"none/{name}.json does not exist"):
        kind.load(tmp_path / "none")


@pytest.mark.parametrize("length", [1, 40])
def test_a_path_that_no_system_takes_is_refused(length: int) -> None:
    path = "/".join(["x" * 300] * length)
    for kind, _ in KINDS.values():
        with pytest.raises(TransferError, match="File name too long"):
            kind.load(path)
