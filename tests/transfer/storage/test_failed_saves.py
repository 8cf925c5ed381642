"""A save that fails, or that would write an unsound checkpoint, leaves the old one."""

import copy
import errno
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

import transfer.storage.files
import transfer.storage.pairs
from tests.transfer.storage.saved_model import SavedModel, act, load
from transfer.errors import TransferError
from transfer.models.sequence_model import TransferModel
from transfer.models.trunk import Trunk

MakeModel = Callable[..., TransferModel]
WRITES = ["spare", "json"]


def stop(monkeypatch: pytest.MonkeyPatch, where: str, error: BaseException) -> None:
    """The write of the tensors or of the JSON ends in an error after a few bytes."""
    original = transfer.storage.files.write_bytes

    def write(path: Path, content: bytes) -> None:
        if (path.suffix == ".json") == (where == "json"):
            with transfer.storage.files.writing(path) as stream:
                stream.write(content[:50])
                raise error
        original(path, content)

    monkeypatch.setattr(transfer.storage.files, "write_bytes", write)
    monkeypatch.setattr(transfer.storage.pairs, "write_bytes", write)


@pytest.mark.parametrize("part", ["trunk", "adapter"])
@pytest.mark.parametrize("where", WRITES)
def test_a_save_that_fails_leaves_the_old_checkpoint_whole(
    one: SavedModel, part: str, where: str, monkeypatch: pytest.MonkeyPatch, make_model: MakeModel
) -> None:
    model, folder = one
    expected, files = act(model), sorted(folder.rglob("*"))
    stop(monkeypatch, where, OSError(errno.ENOSPC, "No space left on device"))
    with pytest.raises(TransferError, match="the disk is full"):
        getattr(make_model(seed=1, ia3=True), part).save(folder / part)
    assert sorted(folder.rglob("*")) == files
    np.testing.assert_array_equal(act(load(folder)), expected)


@pytest.mark.parametrize("where", WRITES)
def test_a_save_that_fails_leaves_nothing_where_nothing_was(
    make_model: MakeModel, tmp_path: Path, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop(monkeypatch, where, KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        make_model().trunk.save(tmp_path / "a" / "b" / "trunk")
    assert not list(tmp_path.iterdir())


def spoil(module: torch.nn.Module, value: float) -> None:
    with torch.no_grad():
        next(module.parameters()).view(-1)[0] = value


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("part", ["trunk", "adapter"])
def test_weights_that_are_not_finite_are_neither_saved_nor_loaded(
    one: SavedModel, part: str, value: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, folder = one
    expected = act(model)
    spoil(getattr(model, part), value)
    with pytest.raises(TransferError, match=f"{part} is not written: .* holds {value}"):
        getattr(model, part).save(folder / part)
    np.testing.assert_array_equal(act(load(folder)), expected)
    with monkeypatch.context() as patch:
        patch.setattr("transfer.storage.checkpoints.check_finite", lambda module, what: None)
        getattr(model, part).save(folder / part)
    with pytest.raises(TransferError, match=rf"{part}.safetensors is damaged: .* holds {value}"):
        load(folder)


@pytest.mark.parametrize("part", ["trunk", "adapter"])
def test_what_has_no_values_is_not_saved(one: SavedModel, part: str) -> None:
    model, folder = one
    expected = act(model)
    with pytest.raises(TransferError, match=f"{part} is not written: .* is on the device 'meta'"):
        copy.deepcopy(getattr(model, part)).to("meta").save(folder / part)
    np.testing.assert_array_equal(act(load(folder)), expected)


def half(module: torch.nn.Module) -> None:
    module.half()


def double(module: torch.nn.Module) -> None:
    module.double()


def another_part(module: torch.nn.Module) -> None:
    module.register_parameter("more", torch.nn.Parameter(torch.zeros(2)))


def another_size(module: torch.nn.Module) -> None:
    (module.ln_in if isinstance(module, Trunk) else module.tuning).register_parameter(  # type: ignore[union-attr]
        "more", torch.nn.Parameter(torch.zeros(2))
    )


@pytest.mark.parametrize("change", [half, double, another_part, another_size])
@pytest.mark.parametrize("part", ["trunk", "adapter"])
def test_what_could_not_be_read_again_is_not_written(
    one: SavedModel, part: str, change: Callable[[torch.nn.Module], None]
) -> None:
    model, folder = one
    expected = act(model)
    change(getattr(model, part))
    with pytest.raises(TransferError, match=rf"{part} is not written, as it could not be loaded again: .*{part}.json"):
        getattr(model, part).save(folder / part)
    np.testing.assert_array_equal(act(load(folder)), expected)
