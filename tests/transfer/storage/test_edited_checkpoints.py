"""Checkpoints whose JSON was edited and signed again: every value of a wrong type or size is refused by its name."""

import copy
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from transfer.data.calibration_table import Calibration
from transfer.data.episodes import Episodes
from transfer.errors import TransferError
from transfer.models.adapter import Adapter
from transfer.models.mlp import MLPPolicy
from transfer.models.sequence_model import TransferModel
from transfer.models.trunk import Trunk
from transfer.storage.pairs import checksum

LOADS: dict[str, Callable[[Path], Any]] = {"trunk": Trunk.load, "adapter": Adapter.load, "mlp": MLPPolicy.load}
UNBOUNDED = ("action_low", "action_high")
FREE = ("record",)  # any number of entries may be right
POSITIVE = {
    *("width", "depth", "heads", "dropout", "hidden", "context", "bins", "size", "state_size", "action_size"),
    *("max_episode_steps", "episodes", "state_std", "return_span", "return_every"),
}
DEEP = "a place that is written as 5,000 levels"
Edit = tuple[tuple[Any, ...], str, Callable[[Any], None]]


@pytest.fixture
def saved(make_model: Callable[..., TransferModel], make_episodes: Callable[..., Episodes], tmp_path: Path) -> Path:
    """A folder with a trunk, an adapter with every option, and a policy without a trunk."""
    model = make_model(readout="categorical", ia3=True, conditioning=True)
    model.keep_calibration(Calibration((1.0, 2.0), (1.5, 1.0), (0.5, 0.25), 3))
    known = {"training": {"steps": 3}, "inherited": (), "datasets": ("a",), "content_hash": "0"}
    model.adapter.provenance = replace(model.adapter.provenance, **known)
    model.trunk.save(tmp_path)
    model.adapter.save(tmp_path)
    MLPPolicy(model.env_spec, model.statistics, 8).save(tmp_path)
    return tmp_path


def wrong(name: Any, value: Any) -> Iterator[Any]:
    """Values that must not stand where a value stands that is called `name`."""
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
    """Every place in parsed JSON, with what may not stand there."""
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
    """What a message may call a place: by one of its names, as the tensor that holds it too, or that it is too deep."""
    for name in filter(lambda name: isinstance(name, str), path):
        yield from (name, name.replace("_", " ").removesuffix("s"))
    yield from ("scales._extra_state", "maximum recursion depth", "action 0 of")


@pytest.mark.parametrize("name", LOADS)
def test_every_edit_is_refused_by_the_name_of_the_file_and_of_the_field(name: str, saved: Path) -> None:
    file = saved / f"{name}.json"
    whole, tried, accepted, unnamed = json.loads(file.read_text()), 0, [], []
    LOADS[name](saved)
    for path, what, edit in edits(whole):
        content = outer = copy.deepcopy(whole)
        for key in path[:-1]:
            outer = outer[key]
        edit(outer)
        content["checksum"] = checksum(content)
        file.write_text(json.dumps(content).replace(f'"{DEEP}"', "[" * 5000 + "]" * 5000))
        tried += 1
        try:
            LOADS[name](saved)
            accepted.append((path, what))
        except TransferError as error:
            if file.name not in str(error) or not any(name in str(error) for name in called(path)):
                unnamed.append((path, what, str(error)[:300]))
    assert not accepted, accepted
    assert not unnamed, "\n".join(map(str, unnamed))
    assert tried > {"trunk": 70, "adapter": 400, "mlp": 200}[name]
