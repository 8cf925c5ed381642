"""Checkpoints that were damaged or edited are refused, with the names of the file and of the field."""

import copy
import json
import shutil
from collections.abc import Callable, Collection, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.transfer.storage.saved_model import SavedModel, load
from transfer.adapters.tokenizers.tables import Tables
from transfer.data.episodes import Episodes
from transfer.data.measured.calibration_table import Calibration
from transfer.errors import TransferError
from transfer.models.adapter import Adapter
from transfer.models.mlp import MLPPolicy
from transfer.models.sequence_model import TransferModel
from transfer.models.trunk import Trunk
from transfer.storage.pairs import checksum

FIXTURES = Path(__file__).resolve().parents[2] / "fixtures"
LOADS: dict[str, Callable[[Path], Any]] = {"trunk": Trunk.load, "adapter": Adapter.load, "mlp": MLPPolicy.load}
UNBOUNDED = ("action_low", "action_high")
FREE = ("record",)  # any number of entries may be right
POSITIVE = {
    *("width", "depth", "heads", "dropout", "hidden", "context", "bins", "size", "state_size", "action_size"),
    *("max_episode_steps", "episodes", "state_std", "return_span", "return_every"),
}
DEEP = "a place that is written as 5,000 levels"
Edit = tuple[tuple[Any, ...], str, Callable[[Any], None]]


def edit_json(path: Path, seal: bool, **changes: Any) -> None:
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
        content["checksum"] = checksum(content)
    path.write_text(json.dumps(content))


@pytest.mark.parametrize("name", ["trunk.json", "trunk.safetensors", "adapter.json", "adapter.safetensors"])
@pytest.mark.parametrize("damage", ["missing", "empty", "truncated", "garbage"])
def test_a_damaged_file_is_named(one: SavedModel, name: str, damage: str) -> None:
    _, folder = one
    path = folder / name.split(".")[0] / name
    whole = path.read_bytes()
    if damage == "missing":
        path.unlink()
    else:
        path.write_bytes({"empty": b"", "truncated": whole[:-100], "garbage": b"\xff" * len(whole)}[damage])
    with pytest.raises(TransferError, match=name):
        load(folder)


UNSEALED = "was edited after it was saved"  # edits that only the checksum reveals
EDITS: dict[str, tuple[dict[str, Any], str]] = {
    "a missing key": ({"statistics": None}, "lacks statistics"),
    "a key too many": ({"widht": 16}, "'widht'. Did you mean 'width'"),
    "an older format": ({"format": 1}, "has format 1; this version reads 3 and 2: train"),
    "an unknown format": ({"format": "2"}, "has format '2'"),
    "another width": ({"width": 32}, "the state part has width=16, the adapter's is 32"),
    "another width everywhere": (
        {"width": 32, "arguments__state__width": 32, "arguments__action__width": 32},
        "tensor '.*' is",
    ),
    "a width that is no number": ({"width": "wide"}, "was edited"),
    "a width below zero": ({"width": -16}, "was edited"),
    "another state kind": (
        {"config__state": {"kind": "linear"}, "arguments__state": {"state_size": 11, "width": 16}},
        "missing tensors",
    ),
    "an unknown state kind": ({"config__state__kind": "mpl"}, "Did you mean 'mlp'"),
    "a setting too few": ({"config__out_of_bounds": None}, "config lacks out_of_bounds"),
    "an option too few": ({"config__action__bins": None}, "the action part has bins=8, the config says 64"),
    "an option of its default": ({"config__state__hidden": None}, "config.state is .*, not "),
    "an option too many": ({"config__state__bins": 3}, "unknown option of state 'mlp' 'bins'"),
    "an option as other data": ({"config__state": "mlp"}, "config.state is 'mlp', not "),
    "another option": ({"config__action__ranges": "shared"}, "the action part has ranges='shared.index', the config"),
    "no settings at all": ({"config": 3}, "config is of type int; dict is needed"),
    "another method": ({"method__kind": "tt"}, "unknown method kind 'tt'. Did you mean 'dt'"),
    "an option of no method": ({"method__depth": 3}, "unknown option of method 'dt' 'depth'"),
    "no method": ({"method": 3}, "method is 3; the name of a kind is needed"),
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
    "another kind of bins": ({"arguments__action__tokenizer__kind": "uniform"}, UNSEALED),
    "another kind of bins everywhere": (
        {"arguments__action__tokenizer__kind": "uniform", "config__action__tokenizer": "uniform"},
        "was edited: fingerprint is",
    ),
    "bins of other sizes": ({"arguments__action__tokenizer__edges": [[0.0]] * 3}, "has tables of other sizes"),
    "bins that are none": (
        {"arguments__action__tokenizer": {}},
        "adapter.json was edited: the action part has tokenizer={}, the config",
    ),
    "no bins": ({"arguments__action__tokenizer": None}, "adapter.json was edited: .*missing .*argument: 'tokenizer'"),
    "no state": ({"arguments__state": None}, "an adapter of the method 'dt' lacks its state part"),
    "no IA3": ({"arguments__tuning": None}, "unexpected tensors"),
    "a return embedding more": ({"arguments__return": {}}, "missing tensors"),
    "an unknown part": ({"arguments__lora": {}}, "unknown part in the arguments of an adapter.*'lora'"),
    "another fingerprint": ({"fingerprint": "0" * 64}, "was edited: fingerprint is '0000"),
    "another trunk in the record": ({"record__trunk": "mine"}, UNSEALED),
    "a depth without end": ({"depth": 10**7}, "depth=10000000 is too large: at least 1, at most"),
    "a record that is none": ({"record": "mine"}, "was edited"),
}


@pytest.mark.parametrize(("changes", "message"), EDITS.values(), ids=EDITS.keys())
def test_an_edited_adapter_is_refused(one: SavedModel, changes: dict[str, Any], message: str) -> None:
    _, folder = one
    edit_json(folder / "adapter" / "adapter.json", message != UNSEALED, **changes)
    with pytest.raises(TransferError, match=message):
        load(folder)


def test_edited_bin_edges_are_refused(one: SavedModel) -> None:
    model, folder = one
    edges = model.adapter.action.tokenizer.to_json()["edges"]
    edges[1][2] = float(np.nextafter(np.float32(edges[1][2]), np.float32(9)))
    edit_json(folder / "adapter" / "adapter.json", False, arguments__action__tokenizer__edges=edges)
    with pytest.raises(TransferError, match=UNSEALED):
        load(folder)


def test_tables_of_a_tokenizer_are_as_large_as_the_tensors_before_they_are_built(
    one: SavedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """32,768 bins for 16,384 action numbers would take 17 GB."""
    _, folder = one
    stored = {"kind": "quantile", "bins": 2**15, "edges": [[]] * 2**14, "centers": [[0.0]] * 2**14}
    edit_json(folder / "adapter" / "adapter.json", True, arguments__action__tokenizer=stored)
    monkeypatch.setattr(Tables, "of", lambda *given: pytest.fail("the tables are built"))
    message = r"adapter.json was edited: tokenizer has 32768 bins for 16384 action numbers, its tensor is \(3, 7\)"
    with pytest.raises(TransferError, match=message):
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
def test_an_edited_trunk_is_refused(one: SavedModel, changes: dict[str, Any], message: str) -> None:
    _, folder = one
    edit_json(folder / "trunk" / "trunk.json", message != UNSEALED, **changes)
    with pytest.raises(TransferError, match=message):
        load(folder)


@pytest.mark.parametrize("name", ["trunk", "adapter"])
@pytest.mark.parametrize("change", ["one bit", "dtype", "a tensor more", "a tensor less"])
def test_edited_tensors_are_refused(one: SavedModel, name: str, change: str) -> None:
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


@pytest.fixture
def saved(make_model: Callable[..., TransferModel], make_episodes: Callable[..., Episodes], tmp_path: Path) -> Path:
    """A folder with a trunk, an adapter with every option, and an MLP."""
    model = make_model(readout="categorical", ia3=True, conditioning=True)
    model.keep_calibration(Calibration((1.0, 2.0), (1.5, 1.0), (0.5, 0.25), 3))
    known = {"training": {"steps": 3}, "inherited": (), "datasets": ("a",), "content_hash": "0"}
    model.adapter.provenance = replace(model.adapter.provenance, **known)
    model.trunk.save(tmp_path)
    model.adapter.save(tmp_path)
    MLPPolicy(model.env_spec, model.statistics, 8).save(tmp_path)
    return tmp_path


def wrong(name: Any, value: Any) -> Iterator[Any]:
    """Wrong replacements of a value called `name`."""
    yield from (None, {"a": 1}, [value], json.loads("[" * 60 + "]" * 60), DEEP)
    if isinstance(value, bool):
        yield from (1, 0, "true")
    elif isinstance(value, int | float):
        yield from (True, str(value), float("nan"), float("inf"), 10**400)
        if isinstance(value, int):
            yield from (value + 0.5, 10**18)
        if name in POSITIVE:
            yield -1
    elif isinstance(value, str):
        yield from (3, True, "\ud800", "a\0b")
    else:
        yield from (3, True, "x")


def edits(content: Any, path: tuple[Any, ...] = ()) -> Iterator[Edit]:
    """Every place in parsed JSON, with wrong values for it."""
    name = next((key for key in reversed(path) if isinstance(key, str)), "")
    if path and content is not None and path[:1] != ("checksum",) and not (path[0] == "record" and len(path) > 2):
        for value in wrong(name, content):
            if (path[0] == "record" and type(value) is type(content)) or (value is None and name in UNBOUNDED):
                continue  # its owner's, and no bound
            yield path, f"{value!r:.30}", lambda outer, value=value: outer.__setitem__(path[-1], value)
    if isinstance(content, dict) and path[:1] != ("record",):
        if path:
            yield path, "a key more", lambda outer: outer[path[-1]].__setitem__("more", 1)
        for key in content:
            if key != "checksum":  # is made anew below
                yield (*path, key), "removed", lambda outer, key=key: outer.__delitem__(key)
    if isinstance(content, list) and content and not set(FREE) & set(path):
        yield path, "an entry more", lambda outer: outer[path[-1]].append(content[-1])
        yield path, "an entry less", lambda outer: outer[path[-1]].pop()
    inner = (
        content.items() if isinstance(content, dict) else enumerate(content[:1]) if isinstance(content, list) else ()
    )
    for key, value in inner:
        yield from edits(value, (*path, key))


def called(path: tuple[Any, ...]) -> Iterator[str]:
    """Words for a place in a message: one of its names, the tensor that holds it, or the depth."""
    for name in filter(lambda name: isinstance(name, str), path):
        yield from (name, name.replace("_", " ").removesuffix("s"))
    yield from ("scales._extra_state", "maximum recursion depth", "action 0 of")


@pytest.mark.parametrize("name", LOADS)
def test_every_edit_is_refused_by_the_name_of_the_file_and_of_the_field(name: str, saved: Path) -> None:
    assert try_all(saved, name) > {"trunk": 70, "adapter": 400, "mlp": 200}[name]


@pytest.mark.parametrize("stored", ["trunk", "reach", "walk", "mlp"])
def test_so_is_every_edit_of_an_older_format(stored: str, tmp_path: Path) -> None:
    folder = shutil.copytree(FIXTURES / "format2" / stored, tmp_path / stored)
    name = stored if stored in LOADS else "adapter"
    assert try_all(folder, name, ignored=("target_returns",)) > {"trunk": 70, "adapter": 400, "mlp": 200}[name]


def try_all(folder: Path, name: str, ignored: Collection[str] = ()) -> int:
    """Load a checkpoint with every edit of its JSON, besides those of ignored keys; returns their number."""
    file = folder / f"{name}.json"
    whole, tried, accepted, unnamed = json.loads(file.read_text()), 0, [], []
    LOADS[name](folder)
    for path, what, edit in edits(whole):
        if set(path) & set(ignored):
            continue
        content = outer = copy.deepcopy(whole)
        for key in path[:-1]:
            outer = outer[key]
        edit(outer)
        content["checksum"] = checksum(content)
        file.write_text(json.dumps(content).replace(f'"{DEEP}"', "[" * 5000 + "]" * 5000))
        tried += 1
        try:
            LOADS[name](folder)
            accepted.append((path, what))
        except TransferError as error:
            if file.name not in str(error) or not any(name in str(error) for name in called(path)):
                unnamed.append((path, what, str(error)[:300]))
    assert not accepted, accepted
    assert not unnamed, "\n".join(map(str, unnamed))
    return tried
