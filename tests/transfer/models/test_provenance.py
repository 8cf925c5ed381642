"""Provenance: what is known of weights, and the checks wherever an adapter is put on a trunk or on another body."""

import copy
import json
import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch

from transfer.adapters.inherit import inherit
from transfer.data.episodes import Episodes
from transfer.errors import TransferError
from transfer.models.adapter import Adapter
from transfer.models.mixed_model import MixedModel
from transfer.models.provenance import GENERATIONS, Provenance
from transfer.models.sequence_model import TransferModel
from transfer.models.steps.adapter_config import AdapterConfig
from transfer.models.trunk import Trunk
from transfer.recipes.programs.adapt import adapt
from transfer.recipes.programs.modes import shuffle, trained_last
from transfer.storage.fingerprints import fingerprint
from transfer.training.train_config import TrainConfig

MakeTrunk = Callable[..., Trunk]
MakeAdapter = Callable[..., Adapter]
MakeModel = Callable[..., TransferModel]
STILL = TrainConfig(steps=1, batch_size=2, context=4, lr=1e-9)


@pytest.fixture
def trunks(make_trunk: MakeTrunk) -> tuple[Trunk, Trunk]:
    """Two of one shape."""
    return make_trunk(seed=0), make_trunk(seed=1)


@pytest.fixture
def adapter(trunks: tuple[Trunk, Trunk], make_adapter: MakeAdapter) -> Adapter:
    """For the first trunk."""
    return make_adapter("Walker2d-v5", trunk=trunks[0])


def test_what_decides_the_computation_decides_the_fingerprint(make_trunk: MakeTrunk, make_adapter: MakeAdapter) -> None:
    trunk, adapter = make_trunk(), make_adapter()
    assert fingerprint(make_trunk(heads=1)) != fingerprint(trunk)
    assert fingerprint(make_trunk(dropout=0.5)) == fingerprint(trunk) == fingerprint(copy.deepcopy(trunk))
    others = [copy.deepcopy(adapter) for _ in range(3)]
    others[0].provenance = replace(adapter.provenance, context=7)
    others[1].scales.state_mean[3] += 1e-6
    others[2].action.bins.edges[0, 0] -= 1e-6
    assert len({fingerprint(each) for each in (adapter, *others)}) == 4


WHOLE = Provenance(
    trunk="ab",
    context=7,
    seed=3,
    start="cd",
    shuffled={"seed": 1},
    datasets=("a", "b"),
    content_hash="ef",
    training={"mode": "full", "steps": 2},
    inherited=(),
    adapter={"bins": 8},
    before=Provenance(trunk="gh", datasets=("a",)),
    more={"mine": [1, {"two": None}]},
)


@pytest.mark.parametrize("one", [WHOLE, Provenance(), replace(WHOLE, before=None, more={})])
def test_a_provenance_comes_back_from_its_json(one: Provenance) -> None:
    plain = json.loads(json.dumps(one.to_json()))
    assert Provenance.from_json(plain) == one and plain == one.to_json()


def test_what_is_not_known_is_not_written() -> None:
    assert Provenance(seed=np.int64(3), datasets=["a"]).to_json() == {"seed": 3, "datasets": ["a"]}  # type: ignore[arg-type]
    assert list(WHOLE.to_json())[-2:] == ["from", "mine"]


@pytest.mark.parametrize(
    "wrong",
    [
        *({name: 3} for name in ("trunk", "start", "content_hash", "datasets", "training", "inherited", "shuffled")),
        *({name: "three"} for name in ("datasets", "training", "seed", "context", "before", "more")),
        {"seed": -1},
        {"context": 0},
        {"datasets": ("a", 1)},
        {"more": {"seed": 3}},
        {"more": {"from": {}}},
    ],
)
def test_a_provenance_of_wrong_types_is_refused_by_name(wrong: dict[str, Any]) -> None:
    (name,) = wrong
    with pytest.raises(TransferError, match=name):
        replace(WHOLE, **wrong)


@pytest.mark.parametrize("wrong", [{"seed": None}, {"datasets": "a"}, {"inherited": {"a": 1}}, {"from": 3}, 3, None])
def test_a_record_of_wrong_types_is_refused(wrong: Any) -> None:
    with pytest.raises(TransferError, match=r"record.* needed"):
        Provenance.from_json(wrong)


@pytest.mark.parametrize("wrong", [{"trunk": "ab", "context": 3}, None, "ab"])
def test_a_trunk_and_an_adapter_take_no_other_provenance(
    wrong: Any, trunks: tuple[Trunk, Trunk], adapter: Adapter, tmp_path: Path
) -> None:
    for module in (trunks[0], adapter):
        before = module.provenance
        with pytest.raises(TransferError, match=f"provenance is of type {type(wrong).__name__}; Provenance is needed"):
            module.provenance = wrong
        assert module.provenance is before
    with pytest.raises(TransferError, match="provenance.context is None"):
        adapter.provenance = Provenance(trunk="ab")
    with pytest.raises(TransferError, match="trunk is of type TransferModel; Trunk is needed"):
        adapter.made_on(TransferModel(trunks[0], adapter))  # type: ignore[arg-type]
    assert Adapter.load(adapter.save(tmp_path)).provenance == adapter.provenance


def test_a_trunk_that_was_trained_a_hundred_times_is_saved_with_the_newest_of_them(
    trunks: tuple[Trunk, Trunk], make_episodes: Callable[..., Episodes], tmp_path: Path
) -> None:
    trunk, episodes = trunks[0], make_episodes()
    first = trunk.provenance
    for step in range(100):
        facts = {"steps": step}
        trunk.provenance = trained_last(trunk.provenance, [episodes], AdapterConfig(), facts, f"trunk {step}")
    loaded = Trunk.load(trunk.save(tmp_path))
    assert loaded.provenance == replace(trunk.provenance, seed=first.seed, start=first.start)
    one, told = loaded.provenance, []
    while one.before is not None:
        one = one.before
        told.append((one.trunk, one.training))
    assert told == [(f"trunk {step}", {"steps": step - 1}) for step in range(99, 99 - GENERATIONS, -1)]
    before = shuffle(loaded, 0).provenance.before
    assert before is not None and (before.trunk, before.training) == (fingerprint(loaded), {"steps": 99})
    shuffle(loaded, 0).save(tmp_path / "shuffled")


def test_the_context_has_one_store(trunks: tuple[Trunk, Trunk], adapter: Adapter, tmp_path: Path) -> None:
    model = TransferModel(trunks[0], adapter)
    adapter.provenance = replace(adapter.provenance, context=3)
    loaded = Adapter.load(adapter.save(tmp_path))
    assert model.context == adapter.context == loaded.context == loaded.provenance.context == 3
    assert "context" not in json.loads((tmp_path / "adapter.json").read_text())["record"]
    with pytest.raises(AttributeError):
        adapter.context = 4  # type: ignore[misc]
    with pytest.raises(TransferError, match="context is None"):
        adapter.provenance = Provenance()
    assert model.context == 3


class Given(NamedTuple):
    """A trunk, an adapter to be put on it, one that belongs to it, data, and where the first adapter is saved."""

    trunk: Trunk
    adapter: Adapter
    own: Adapter
    walker: Episodes
    folder: Path


ROADS: dict[str, Callable[[Given, bool], Any]] = {
    "TransferModel": lambda at, anyway: TransferModel(at.trunk, at.adapter, anyway),
    "swap": lambda at, anyway: TransferModel(at.trunk, at.own).swap(at.adapter, anyway),
    "MixedModel": lambda at, anyway: MixedModel(at.trunk, {"own": at.own, "other": at.adapter}, anyway),
    "swap in a mixed one": lambda at, anyway: MixedModel(at.trunk, {"a.b": at.own})["a.b"].swap(at.adapter, anyway),
    "load": lambda at, anyway: Adapter.load(at.folder, at.trunk, anyway),
    "load alone": lambda at, anyway: TransferModel(at.trunk, Adapter.load(at.folder, any_trunk=anyway)),
    "adapt": lambda at, anyway: adapt(at.trunk, at.walker, "ia3", source=at.adapter, any_trunk=anyway, config=STILL),
    "adapt and inherit": lambda at, anyway: adapt(
        at.trunk, at.walker, source=at.adapter, inherit_from_source="action", any_trunk=anyway, config=STILL
    ),
    "inherit": lambda at, anyway: inherit(at.own, at.adapter, "action", anyway),
}


@pytest.mark.parametrize("road", ROADS.values(), ids=ROADS.keys())
def test_an_adapter_of_another_trunk_is_refused_on_every_road_unless_insisted_on(
    road: Callable[[Given, bool], Any],
    trunks: tuple[Trunk, Trunk],
    adapter: Adapter,
    make_adapter: MakeAdapter,
    make_episodes: Callable[..., Episodes],
    tmp_path: Path,
) -> None:
    own, walker = make_adapter("Walker2d-v5", trunk=trunks[1]), make_episodes("Walker2d-v5")
    given = Given(trunks[1], adapter, own, walker, adapter.save(tmp_path / "adapter"))
    with pytest.raises(TransferError, match=f"{fingerprint(trunks[0])}.*any_trunk=True"):
        road(given, False)
    road(given, True)
    road(given._replace(trunk=trunks[0], own=make_adapter("Walker2d-v5", trunk=trunks[0])), False)


@pytest.mark.parametrize("road", ROADS.values(), ids=ROADS.keys())
def test_a_word_is_no_permission(
    road: Callable[..., Any],
    trunks: tuple[Trunk, Trunk],
    adapter: Adapter,
    make_adapter: MakeAdapter,
    make_episodes: Callable[..., Episodes],
    tmp_path: Path,
) -> None:
    own, walker = make_adapter("Walker2d-v5", trunk=trunks[1]), make_episodes("Walker2d-v5")
    with pytest.raises(TransferError, match="any_trunk='no' is text: True or False is needed"):
        road(Given(trunks[1], adapter, own, walker, adapter.save(tmp_path / "adapter")), "no")


def test_a_fresh_adapter_fits_every_trunk_of_its_shape_and_no_other(
    trunks: tuple[Trunk, Trunk], adapter: Adapter, make_trunk: MakeTrunk
) -> None:
    adapter.provenance = replace(adapter.provenance, trunk=None)
    for trunk in trunks:
        TransferModel(trunk, adapter)
    with pytest.raises(TransferError, match="of width 16 and depth 2 does not fit a trunk of width 16 and depth 3"):
        TransferModel(make_trunk(depth=3), adapter, any_trunk=True)
    for pair in ((adapter, trunks[0]), (trunks[0], "walker"), (None, adapter)):
        with pytest.raises(TransferError, match="is of type .*; (Trunk|Adapter) is needed"):
            TransferModel(*pair)  # type: ignore[arg-type]


def test_another_body_of_the_same_sizes_is_refused_unless_insisted_on(
    trunks: tuple[Trunk, Trunk], adapter: Adapter, make_episodes: Callable[..., Episodes]
) -> None:
    cheetah, options = make_episodes("HalfCheetah-v5"), {"source": adapter, "config": STILL}
    with pytest.raises(TransferError, match="for 'walker2d'.*is 'halfcheetah'.*another body.*any_body=True"):
        adapt(trunks[0], cheetah, "ia3", **options)
    adapt(trunks[0], cheetah, "ia3", **options, any_body=True)
    adapt(trunks[0], cheetah, "embeddings", **options)  # keeps no state embedding


def test_a_mixed_model_has_what_was_swapped_in(
    trunks: tuple[Trunk, Trunk], adapter: Adapter, make_adapter: MakeAdapter
) -> None:
    mixed = MixedModel(trunks[0], {"a": adapter, "b": make_adapter("Hopper-v5", trunk=trunks[0])})
    names, new = set(mixed.state_dict()), make_adapter("Walker2d-v5", trunk=trunks[0], seed=5)
    mixed["a"].swap(new)
    held = {id(p) for p in mixed.parameters()}
    assert {id(p) for p in new.parameters()} <= held and not {id(p) for p in adapter.parameters()} & held
    assert set(mixed.state_dict()) == names
    assert torch.equal(mixed.state_dict()["adapters.0.action.index"], new.action.index)
    assert mixed.parts()["a.state"] is new.state and mixed.parts()["trunk"] is trunks[0]
    twin = copy.deepcopy(mixed)
    twin["b"].swap(copy.deepcopy(mixed["b"].adapter))
    assert twin.adapters[1] is twin["b"].adapter is not mixed.adapters[1] is mixed["b"].adapter


def act(model: TransferModel) -> np.ndarray:
    """Actions (5, A) of a policy that sees five invented observations."""
    policy, states = model.policy(), np.random.default_rng(0).normal(size=(5, model.env_spec.state_size))
    return np.stack([policy.act(state, 0.5 if step else None) for step, state in enumerate(states)])


@pytest.mark.parametrize("again", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))], ids=["deepcopy", "pickle"])
@pytest.mark.parametrize("kinds", [{}, {"readout": "categorical", "ia3": True, "conditioning": True}])
def test_copies_of_a_model_and_of_its_parts_act_alike(
    again: Callable[[Any], Any], kinds: dict[str, Any], make_model: MakeModel
) -> None:
    model = make_model(**kinds)
    mixed = MixedModel(model.trunk, {"a": model.adapter})
    parts = TransferModel(again(model.trunk), again(model.adapter))
    for other in (again(model), parts, again(mixed)["a"]):
        np.testing.assert_array_equal(act(other), act(model))
        assert fingerprint(other.adapter) == fingerprint(model.adapter)
