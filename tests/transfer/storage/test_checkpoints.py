"""Trunks and adapters on disk: exact and small, and an adapter is bound to its trunk."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from tests.transfer.storage.saved_model import SavedModel, act, load, save
from transfer.data.environment.spec import EnvironmentSpec
from transfer.errors import TransferError
from transfer.evaluation.evaluate import evaluate
from transfer.models.adapter import Adapter
from transfer.models.sequence_model import TransferModel
from transfer.models.trunk import Trunk
from transfer.storage.fingerprints import fingerprint

MakeModel = Callable[..., TransferModel]
KINDS = {
    "tokenized": {},
    "categorical": {"readout": "categorical", "tokenizer": "uniform"},
    "eq. 4": {"ranges": "per-dimension"},
    "whole": {"action": "ActionEmbedding", "state": "linear"},
    "extras": {"ia3": True, "conditioning": True},
}


@pytest.fixture(params=KINDS.values(), ids=KINDS.keys())
def saved(request: pytest.FixtureRequest, make_model: MakeModel, tmp_path: Path) -> SavedModel:
    """A model of each kind, and the folder that its trunk and adapter were saved in."""
    return save(make_model(**request.param), tmp_path)


def test_a_loaded_model_acts_as_the_saved_one_to_the_bit(saved: SavedModel) -> None:
    model, folder = saved
    np.testing.assert_array_equal(act(load(folder)), act(model))


def test_a_loaded_model_scores_as_the_saved_one_to_the_bit(
    saved: SavedModel, short: Callable[..., EnvironmentSpec]
) -> None:
    model, folder = saved
    first, second = (evaluate(m, short("hopper", 15), 2) for m in (model, load(folder)))
    assert first.to_json() == second.to_json()
    np.testing.assert_array_equal(first.actions, second.actions)


def test_another_default_device_is_no_matter(make_model: MakeModel, tmp_path: Path) -> None:
    model = make_model()
    with torch.device("meta"):
        save(model, tmp_path)
        loaded = load(tmp_path)
        loaded.load_state_dict(model.state_dict())
        assert fingerprint(loaded) == fingerprint(model)
    np.testing.assert_array_equal(act(loaded), act(model))


def test_loading_is_what_makes_a_fresh_adapter_act_so(one: SavedModel, make_adapter: Callable[..., Adapter]) -> None:
    model, folder = one
    fresh = TransferModel(model.trunk, make_adapter(trunk=model.trunk, lively=False))
    assert np.abs(act(fresh) - act(load(folder))).max() > 1e-2


def test_everything_about_the_adapter_comes_back(saved: SavedModel) -> None:
    model, folder = saved
    mine, loaded = model.adapter, load(folder).adapter
    assert fingerprint(loaded) == fingerprint(mine)
    for name in ("config", "method", "env_spec", "statistics", "width", "depth", "provenance"):
        assert getattr(loaded, name) == getattr(mine, name), name
    assert loaded.arguments() == mine.arguments()  # with the tables of a tokenizer
    assert list(loaded.parts()) == list(mine.parts())
    for buffer, other in zip(mine.buffers(), loaded.buffers(), strict=True):
        assert torch.equal(buffer, other) and buffer.dtype == other.dtype


def test_a_trunk_comes_back_with_its_record(one: SavedModel) -> None:
    model, folder = one
    trunk = Trunk.load(folder / "trunk")
    assert (trunk.config, trunk.provenance) == (model.trunk.config, model.trunk.provenance)
    assert fingerprint(trunk) == fingerprint(model.trunk) and not trunk.training


def test_saving_twice_gives_the_same_bytes(one: SavedModel) -> None:
    model, folder = one
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    before = [path.read_bytes() for path in files]
    save(load(folder), folder)
    assert [path.read_bytes() for path in files] == before


def test_an_adapter_holds_no_tensor_of_the_trunk(make_model: MakeModel, tmp_path: Path) -> None:
    save(make_model(ia3=True, conditioning=True), tmp_path)
    layers = [f"tuning.{kind}.{layer}" for kind in ("keys", "values", "feed_forward") for layer in range(2)]
    linear = [f"{name}.{kind}" for name in ("state.fc_1", "state.fc_2", "state.proj") for kind in ("weight", "bias")]
    action = ["index", "table.rows.weight", "readout.weight", "readout.bias", "readout.rows"]
    found = load_file(tmp_path / "adapter" / "adapter.safetensors")
    bins, numbers = ("edges", "centers"), ("state_mean", "state_std", "action_low", "action_high")
    scales = [*numbers, "return_span", "return_means", "return_every", "_extra_state"]
    expected = {*layers, *linear, *(f"action.{name}" for name in action), "return.weight", "return.bias"}
    expected |= {*(f"action.bins.{name}" for name in bins), *(f"scales.{name}" for name in scales)}
    assert set(found) == expected
    assert set(json.loads((tmp_path / "adapter" / "adapter.json").read_text())) == {
        *("format", "library", "method", "config", "arguments", "environment", "statistics", "width", "depth"),
        *("context", "fingerprint", "trunk", "record", "tensors", "checksum"),
    }
    assert sorted(path.name for path in (tmp_path / "adapter").iterdir()) == ["adapter.json", "adapter.safetensors"]


def test_an_adapter_of_the_usual_size_stays_below_a_megabyte(
    make_trunk: Callable[..., Trunk], make_adapter: Callable[..., Adapter], tmp_path: Path
) -> None:
    trunk = make_trunk(width=128, depth=3, heads=4)
    adapter = make_adapter("Walker2d-v5", trunk=trunk, ia3=True, conditioning=True, bins=64)
    adapter.save(tmp_path / "adapter")
    assert sum(path.stat().st_size for path in (tmp_path / "adapter").iterdir()) < 1_000_000


def test_another_trunk_is_refused_with_both_fingerprints(one: SavedModel, make_trunk: Callable[..., Trunk]) -> None:
    model, folder = one
    other = make_trunk(seed=1)
    with pytest.raises(TransferError, match="any_trunk=True") as error:
        Adapter.load(folder / "adapter", other)
    assert fingerprint(model.trunk) in str(error.value) and fingerprint(other) in str(error.value)


def test_another_trunk_can_be_insisted_on(one: SavedModel, make_trunk: Callable[..., Trunk]) -> None:
    model, folder = one
    other = make_trunk(seed=1)
    swapped = TransferModel(other, Adapter.load(folder / "adapter", other, any_trunk=True))
    assert np.abs(act(swapped) - act(model)).max() > 1e-3


def test_one_bit_of_the_trunk_makes_it_another_trunk(one: SavedModel) -> None:
    model, folder = one
    model.trunk.ln_out.bias.data.view(torch.int32)[0] ^= 1
    with pytest.raises(TransferError, match="was made on the trunk"):
        Adapter.load(folder / "adapter", model.trunk)


def test_an_adapter_that_belongs_to_no_trunk_is_not_saved(make_adapter: Callable[..., Adapter], tmp_path: Path) -> None:
    with pytest.raises(TransferError, match="belongs to no trunk"):
        make_adapter().save(tmp_path / "adapter")
    assert not list(tmp_path.iterdir())


def test_a_path_is_taken_as_it_is_typed(make_model: MakeModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = make_model()
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "thesis.tex").write_text("mine")
    monkeypatch.chdir(tmp_path / "work")
    for folder in ("~/x", ".", tmp_path / "y"):
        model.trunk.save(folder)
        model.adapter.save(folder)
        assert fingerprint(Adapter.load(folder, Trunk.load(folder))) == fingerprint(model.adapter)
    assert (tmp_path / "work" / "thesis.tex").read_text() == "mine" and (tmp_path / "x" / "trunk.json").is_file()
    for wrong in (3, None, "", b"x"):
        for call in (model.trunk.save, model.adapter.save, Trunk.load, Adapter.load):
            with pytest.raises(TransferError, match="folder="):
                call(wrong)  # type: ignore[operator]


def test_numbers_of_numpy_in_a_record_are_written_as_numbers(make_model: MakeModel, tmp_path: Path) -> None:
    model = make_model()
    more = {"losses": (np.float32(0.5), torch.tensor(1.5)), "array": np.arange(2)}
    model.adapter.provenance = given = replace(model.adapter.provenance, seed=np.int64(3), more=more)
    loaded = Adapter.load(model.adapter.save(tmp_path)).provenance
    assert loaded == replace(given, more={"losses": [0.5, 1.5], "array": [0, 1]}) and type(loaded.seed) is int
    for value in (float("nan"), object(), {"a": {1, 2}}):
        model.adapter.provenance = replace(given, more={"mine": value})
        with pytest.raises(TransferError, match=r"adapter.json cannot be written as JSON"):
            model.adapter.save(tmp_path)
    assert Adapter.load(tmp_path).provenance == loaded
