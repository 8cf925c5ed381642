"""Trunks and adapters on disk: exact, small, strict, and never half written."""

import errno
import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

import transfer.storage.files
import transfer.storage.pairs
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
def saved(request: pytest.FixtureRequest, make_model: MakeModel, tmp_path: Path) -> tuple[TransferModel, Path]:
    """A model of each kind, and the folder that its trunk and adapter were saved in."""
    return save(make_model(**request.param), tmp_path)


@pytest.fixture
def one(make_model: MakeModel, tmp_path: Path) -> tuple[TransferModel, Path]:
    """The default model, saved."""
    return save(make_model(ia3=True), tmp_path)


def save(model: TransferModel, folder: Path) -> tuple[TransferModel, Path]:
    model.trunk.save(folder / "trunk")
    model.adapter.save(folder / "adapter")
    return model, folder


def load(folder: Path) -> TransferModel:
    trunk = Trunk.load(folder / "trunk")
    return TransferModel(trunk, Adapter.load(folder / "adapter", trunk))


def act(model: TransferModel) -> np.ndarray:
    """Actions (8, A) of a policy that sees eight invented observations."""
    policy, rng = model.policy(), np.random.default_rng(0)
    rewards = [None, *rng.uniform(0, 3, 7).tolist()]
    return np.stack([policy.act(rng.normal(size=model.env_spec.state_size), reward) for reward in rewards])


def edit(path: Path, seal: bool, **changes: Any) -> None:
    """Change keys of a JSON file; `a__b` reaches inside, None removes; `seal` makes the checksum fit again."""
    content = json.loads(path.read_text())
    for key, value in changes.items():
        inner = content
        *outer, last = key.split("__")
        for name in outer:
            inner = inner[name]
        if value is None:
            del inner[last]
        else:
            inner[last] = value
    if seal and "checksum" in content:
        rest = {key: value for key, value in content.items() if key != "checksum"}
        content["checksum"] = hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()
    path.write_text(json.dumps(content))


def test_a_loaded_model_acts_as_the_saved_one_to_the_bit(saved: tuple[TransferModel, Path]) -> None:
    model, folder = saved
    np.testing.assert_array_equal(act(load(folder)), act(model))


def test_a_loaded_model_scores_as_the_saved_one_to_the_bit(
    saved: tuple[TransferModel, Path], short: Callable[..., EnvironmentSpec]
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


def test_loading_is_what_makes_a_fresh_adapter_act_so(
    one: tuple[TransferModel, Path], make_adapter: Callable[..., Adapter]
) -> None:
    model, folder = one
    fresh = TransferModel(model.trunk, make_adapter(trunk=model.trunk, lively=False))
    assert np.abs(act(fresh) - act(load(folder))).max() > 1e-2


def test_everything_about_the_adapter_comes_back(saved: tuple[TransferModel, Path]) -> None:
    model, folder = saved
    mine, loaded = model.adapter, load(folder).adapter
    assert fingerprint(loaded) == fingerprint(mine)
    for name in ("config", "env_spec", "statistics", "width", "depth", "provenance"):
        assert getattr(loaded, name) == getattr(mine, name), name
    if mine.tokenizer is not None:
        assert loaded.tokenizer.to_json() == mine.tokenizer.to_json()
    for buffer, other in zip(mine.buffers(), loaded.buffers(), strict=True):
        assert torch.equal(buffer, other) and buffer.dtype == other.dtype


def test_a_trunk_comes_back_with_its_record(one: tuple[TransferModel, Path]) -> None:
    model, folder = one
    trunk = Trunk.load(folder / "trunk")
    assert (trunk.config, trunk.provenance) == (model.trunk.config, model.trunk.provenance)
    assert fingerprint(trunk) == fingerprint(model.trunk) and not trunk.training


def test_saving_twice_gives_the_same_bytes(one: tuple[TransferModel, Path]) -> None:
    model, folder = one
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    before = [path.read_bytes() for path in files]
    save(load(folder), folder)
    assert [path.read_bytes() for path in files] == before


def test_an_adapter_holds_no_tensor_of_the_trunk(make_model: MakeModel, tmp_path: Path) -> None:
    save(make_model(ia3=True, conditioning=True), tmp_path)
    layers = [f"ia3.{kind}.{layer}" for kind in ("keys", "values", "feed_forward") for layer in range(2)]
    linear = [f"{name}.{kind}" for name in ("state.fc_1", "state.fc_2", "state.proj") for kind in ("weight", "bias")]
    action = ["index", "table.rows.weight", "readout.weight", "readout.bias", "readout.rows"]
    found = load_file(tmp_path / "adapter" / "adapter.safetensors")
    bins, numbers = ("edges", "centers"), ("state_mean", "state_std", "action_low", "action_high")
    scales = [*numbers, "return_span", "return_means", "return_every", "_extra_state"]
    expected = {*layers, *linear, *(f"action.{name}" for name in action), "conditioning.weight", "conditioning.bias"}
    expected |= {*(f"action.bins.{name}" for name in bins), *(f"scales.{name}" for name in scales)}
    assert set(found) == expected
    assert set(json.loads((tmp_path / "adapter" / "adapter.json").read_text())) == {
        *("format", "library", "config", "environment", "statistics", "tokenizer", "width", "depth", "extras"),
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


def test_another_trunk_is_refused_with_both_fingerprints(
    one: tuple[TransferModel, Path], make_trunk: Callable[..., Trunk]
) -> None:
    model, folder = one
    other = make_trunk(seed=1)
    with pytest.raises(TransferError, match="any_trunk=True") as error:
        Adapter.load(folder / "adapter", other)
    assert fingerprint(model.trunk) in str(error.value) and fingerprint(other) in str(error.value)


def test_another_trunk_can_be_insisted_on(one: tuple[TransferModel, Path], make_trunk: Callable[..., Trunk]) -> None:
    model, folder = one
    other = make_trunk(seed=1)
    swapped = TransferModel(other, Adapter.load(folder / "adapter", other, any_trunk=True))
    assert np.abs(act(swapped) - act(model)).max() > 1e-3


def test_one_bit_of_the_trunk_makes_it_another_trunk(one: tuple[TransferModel, Path]) -> None:
    model, folder = one
    model.trunk.ln_out.bias.data.view(torch.int32)[0] ^= 1
    with pytest.raises(TransferError, match="was made on the trunk"):
        Adapter.load(folder / "adapter", model.trunk)


def test_an_adapter_that_belongs_to_no_trunk_is_not_saved(make_adapter: Callable[..., Adapter], tmp_path: Path) -> None:
    with pytest.raises(TransferError, match="belongs to no trunk"):
        make_adapter().save(tmp_path / "adapter")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["trunk.json", "trunk.safetensors", "adapter.json", "adapter.safetensors"])
@pytest.mark.parametrize("damage", ["missing", "empty", "truncated", "garbage"])
def test_a_damaged_file_is_named(one: tuple[TransferModel, Path], name: str, damage: str) -> None:
    _, folder = one
    path = folder / name.split(".")[0] / name
    whole = path.read_bytes()
    if damage == "missing":
        path.unlink()
    else:
        path.write_bytes({"empty": b"", "truncated": whole[:-100], "garbage": b"\xff" * len(whole)}[damage])
    with pytest.raises(TransferError, match=name):
        load(folder)


UNSEALED = "was edited after it was saved"  # what nothing but the checksum can tell
EDITS: dict[str, tuple[dict[str, Any], str]] = {
    "a missing key": ({"statistics": None}, "lacks statistics"),
    "a key too many": ({"widht": 16}, "'widht'. Did you mean 'width'"),
    "an older format": ({"format": 1}, "has format 1; this version reads format 2 and no other"),
    "an unknown format": ({"format": "2"}, "has format '2'"),
    "another width": ({"width": 32}, "tensor '.*' is"),
    "a width that is no number": ({"width": "wide"}, "was edited"),
    "a width below zero": ({"width": -16}, "was edited"),
    "another state kind": ({"config__state": "linear"}, "missing tensors"),
    "an unknown state kind": ({"config__state": "mpl"}, "Did you mean 'mlp'"),
    "a setting too few": ({"config__bins": None}, "AdapterConfig needs exactly"),
    "no settings at all": ({"config": 3}, "AdapterConfig needs exactly"),
    "another mean": ({"statistics__state_mean": [0.0] * 11}, UNSEALED),
    "another number of means": ({"statistics__state_mean": [0.0] * 10}, "have 10 and 11 numbers"),
    "a mean of none of the tensors": (
        {"statistics__state_mean": [0.5] * 11},
        r"statistics.state_mean\[0\] is 0.5, not ",
    ),
    "a mean that is no number": ({"statistics__state_mean": ["x"] * 11}, "finite numbers are needed"),
    "a deviation below zero": ({"statistics__state_std": [-1.0] * 11}, "deviations are above 0"),
    "bounds that cross": ({"statistics__action_low": [2.0] * 3}, "actions from 2.0 to 1.0"),
    "another calibration": ({"statistics__return_quantiles": {"p95": 7.0}}, "scales._extra_state"),
    "another reference": ({"environment__reference__maximum": 4000.0}, UNSEALED),
    "another environment": ({"environment__gym_spec": "{}"}, UNSEALED),
    "another kind of bins": ({"tokenizer__kind": "uniform"}, UNSEALED),
    "bins of other sizes": ({"tokenizer__edges": [[0.0]] * 3}, "has tables of other sizes"),
    "no bins": ({"tokenizer": {}}, "adapter.json"),
    "no IA3": ({"extras__ia3": False}, "unexpected tensors"),
    "an unknown extra": ({"extras__lora": True}, "was edited"),
    "another fingerprint": ({"fingerprint": "0" * 64}, "was edited: fingerprint is '0000"),
    "another trunk in the record": ({"record__trunk": "mine"}, UNSEALED),
    "a depth without end": ({"depth": 10**7}, "depth=10000000 is too large: at least 1, at most"),
    "a record that is none": ({"record": "mine"}, "was edited"),
}


@pytest.mark.parametrize(("changes", "message"), EDITS.values(), ids=EDITS.keys())
def test_an_edited_adapter_is_refused(one: tuple[TransferModel, Path], changes: dict[str, Any], message: str) -> None:
    _, folder = one
    edit(folder / "adapter" / "adapter.json", message != UNSEALED, **changes)
    with pytest.raises(TransferError, match=message):
        load(folder)


def test_edited_bin_edges_are_refused(one: tuple[TransferModel, Path]) -> None:
    model, folder = one
    edges = model.adapter.tokenizer.to_json()["edges"]
    edges[1][2] = float(np.nextafter(np.float32(edges[1][2]), np.float32(9)))
    edit(folder / "adapter" / "adapter.json", False, tokenizer__edges=edges)
    with pytest.raises(TransferError, match=UNSEALED):
        load(folder)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"config__depth": 3}, "trunk.json was edited: config.depth is 3, the tensors are of 2 layers"),
        ({"config__heads": 1}, UNSEALED),
        ({"config__depth": 10**7}, "trunk.depth=10000000 is too large"),
        ({"config__depth": 1000}, "config.depth is 1000, the tensors are of 2 layers"),
        ({"config__width": 16384}, "trunk.json wants F32"),
        ({"record__seed": 7}, UNSEALED),
        ({"config__width": "wide"}, "trunk.json was edited: trunk.width='wide'"),
        ({"config__head": 2}, "TrunkConfig needs exactly"),
        ({"record": None}, "lacks record"),
        ({"record": "mine"}, "was edited"),
    ],
)
def test_an_edited_trunk_is_refused(one: tuple[TransferModel, Path], changes: dict[str, Any], message: str) -> None:
    _, folder = one
    edit(folder / "trunk" / "trunk.json", message != UNSEALED, **changes)
    with pytest.raises(TransferError, match=message):
        load(folder)


@pytest.mark.parametrize("name", ["trunk", "adapter"])
@pytest.mark.parametrize("change", ["one bit", "dtype", "a tensor more", "a tensor less"])
def test_edited_tensors_are_refused(one: tuple[TransferModel, Path], name: str, change: str) -> None:
    _, folder = one
    path = folder / name / f"{name}.safetensors"
    tensors = load_file(path)
    first = sorted(tensors)[0]
    if change == "one bit":
        tensors[first].view(-1)[:1].view(torch.int32)[0] ^= 1
    elif change == "dtype":
        tensors[first] = tensors[first].double()
    elif change == "a tensor more":
        tensors["extra"] = torch.zeros(1)
    else:
        del tensors[first]
    save_file(tensors, path)
    with pytest.raises(TransferError, match=name):
        load(folder)


WRITES = ["spare", "json"]


def stop(monkeypatch: pytest.MonkeyPatch, where: str, error: BaseException) -> None:
    """The write of the tensors or of the JSON ends in an error after a few bytes."""
    original = transfer.storage.files.write_bytes

    def write(path: Path, content: bytes, mode: int = 0o666) -> None:
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
    one: tuple[TransferModel, Path], part: str, where: str, monkeypatch: pytest.MonkeyPatch, make_model: MakeModel
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
    one: tuple[TransferModel, Path], part: str, value: float, monkeypatch: pytest.MonkeyPatch
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


def half(module: torch.nn.Module) -> None:
    module.half()


def double(module: torch.nn.Module) -> None:
    module.double()


def another_part(module: torch.nn.Module) -> None:
    module.register_parameter("more", torch.nn.Parameter(torch.zeros(2)))


def another_size(module: torch.nn.Module) -> None:
    (module.ln_in if isinstance(module, Trunk) else module.ia3).register_parameter(  # type: ignore[union-attr]
        "more", torch.nn.Parameter(torch.zeros(2))
    )


@pytest.mark.parametrize("change", [half, double, another_part, another_size])
@pytest.mark.parametrize("part", ["trunk", "adapter"])
def test_what_could_not_be_read_again_is_not_written(
    one: tuple[TransferModel, Path], part: str, change: Callable[[torch.nn.Module], None]
) -> None:
    model, folder = one
    expected = act(model)
    change(getattr(model, part))
    with pytest.raises(TransferError, match=rf"{part} is not written, as it could not be loaded again: .*{part}.json"):
        getattr(model, part).save(folder / part)
    np.testing.assert_array_equal(act(load(folder)), expected)
