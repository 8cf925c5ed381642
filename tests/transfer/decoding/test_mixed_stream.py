"""Decoding for several adapters in lockstep gives each what its own stream gives."""

from collections.abc import Callable, Iterator

import pytest
import torch
from torch import Tensor

from transfer.data.batch import Batch
from transfer.errors import TransferError
from transfer.models.adapter import Adapter
from transfer.models.mixed_model import MixedModel
from transfer.models.trunk import Trunk

MakeTrunk = Callable[..., Trunk]
MakeAdapter = Callable[..., Adapter]
MakeBatch = Callable[..., Batch]
STEPS, CONTEXT = 17, 6  # the window restarts at steps 6, 9, 12 and 15
SPREAD, WHOLE = "ActionTokenizedSpreadEmbedding", "ActionEmbedding"
# For each name the environment and what its adapter is made of.
MIXES = {
    "spread": {"hopper": ("Hopper-v5", {"ia3": True}), "walker2d": ("Walker2d-v5", {"readout": "categorical"})},
    "spread and whole": {
        "hopper": ("Hopper-v5", {"action": WHOLE, "ia3": True}),
        "walker2d": ("Walker2d-v5", {"conditioning": True}),
    },
    "whole and spread": {
        "hopper": ("Hopper-v5", {"action": "ActionSpreadEmbedding"}),
        "walker2d": ("Walker2d-v5", {"action": "ActionTokenizedEmbedding"}),
    },
    "one environment": {"a": ("Hopper-v5", {}), "b": ("Hopper-v5", {"ia3": True})},
}
# Which rows leave after a step: one row, all of an environment, one row of what is left.
LEAVING = {4: ("first", [1]), 8: ("second", [0, 2]), 11: ("second", [1, 3]), 13: ("first", [0])}


@pytest.fixture(autouse=True)
def no_gradients() -> Iterator[None]:
    with torch.no_grad():
        yield


@pytest.fixture(params=MIXES)
def mixed(request: pytest.FixtureRequest, make_trunk: MakeTrunk, make_adapter: MakeAdapter) -> MixedModel:
    trunk = make_trunk(width=32)
    kinds = MIXES[request.param]
    adapters = {name: make_adapter(env, i, trunk, **kind) for i, (name, (env, kind)) in enumerate(kinds.items())}
    return MixedModel(trunk, adapters).eval()


@pytest.fixture
def batches(mixed: MixedModel, make_batch: MakeBatch) -> dict[str, Batch]:
    """What 3 environments of the first adapter and 4 of the second show."""
    return {name: make_batch(model, i + 3, STEPS, i) for i, (name, model) in enumerate(mixed.models.items())}


def seen(batch: Batch, rows: Tensor, t: int) -> tuple[Tensor, Tensor, Tensor]:
    return batch.states[rows, t], batch.returns[rows, t], batch.times[rows, t]


def close(one: Tensor, other: Tensor) -> None:
    torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-5)


@pytest.fixture(params=["a decoder each", "one forward"], autouse=True)
def reader(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both ways of reading: through the kernels, and without them."""
    if request.param == "one forward":
        monkeypatch.setattr("transfer.runtime.native.fits", lambda size: False)
    else:
        request.getfixturevalue("kernels")


@pytest.mark.parametrize("decode", ["autoregressive", "parallel"])
def test_each_adapter_acts_as_in_a_stream_of_its_own(decode: str, mixed: MixedModel, batches: dict[str, Batch]) -> None:
    names = dict(zip(("first", "second"), mixed.models, strict=True))
    rows = {name: torch.arange(len(batch.mask)) for name, batch in batches.items()}
    alone = {name: mixed[name].stream(len(rows[name]), CONTEXT, decode) for name in batches}
    together = mixed.stream({name: len(index) for name, index in rows.items()}, CONTEXT, decode)
    for t in range(STEPS):
        actions = together.step({name: seen(batches[name], index, t) for name, index in rows.items()})
        assert set(actions) == set(rows)
        for name, index in rows.items():
            close(actions[name], alone[name].step(*seen(batches[name], index, t)))
        if t in LEAVING:
            which, leave = LEAVING[t]
            keep = {name: torch.ones(len(index), dtype=torch.bool) for name, index in rows.items()}
            keep[names[which]] = ~torch.isin(rows[names[which]], torch.tensor(leave))
            together.select(keep)
            for name in list(rows):
                alone[name].select(keep[name])
                rows[name] = rows[name][keep[name]]
            rows = {name: index for name, index in rows.items() if len(index)}
    assert {name: index.tolist() for name, index in rows.items()} == {names["first"]: [2]}


@pytest.mark.parametrize("reader", ["one forward"], indirect=True)
def test_a_step_costs_the_forwards_of_its_longest_action(mixed: MixedModel, batches: dict[str, Batch]) -> None:
    read: list[tuple[int, ...]] = []
    rows = {name: torch.arange(len(batch.mask)) for name, batch in batches.items()}
    stream = mixed.stream({name: len(index) for name, index in rows.items()}, CONTEXT)
    stream.group.trunk.register_forward_pre_hook(lambda _, inputs: read.append(tuple(inputs[0].shape[:2])))
    longest = max(
        model.adapter.action.action_size if model.adapter.action.spread else 1 for model in mixed.models.values()
    )
    for t in range(CONTEXT):
        read.clear()
        stream.step({name: seen(batches[name], index, t) for name, index in rows.items()})
        assert read == [(7, 3 if t else 2)] + [(7, 1)] * (longest - 1)


def test_mistakes_are_refused(make_trunk: MakeTrunk, make_adapter: MakeAdapter) -> None:
    trunk = make_trunk()
    mixed = MixedModel(trunk, {"hopper": make_adapter("Hopper-v5", 0, trunk)}).eval()
    with pytest.raises(TransferError, match="unknown decode 'paralel'. Did you mean 'parallel'"):
        mixed.stream({"hopper": 1}, 6, "paralel")
    with pytest.raises(TransferError, match="context=0 is too small"):
        mixed.stream({"hopper": 1}, 0)
    with pytest.raises(TransferError, match="unknown adapter 'hoper'"):
        mixed.stream({"hoper": 1}, 6)
    for rows in ({}, ["hopper"], None, {"hopper": 0}, {"hopper": 2.5}, {"hopper": "2"}):
        with pytest.raises(TransferError, match="rows"):
            mixed.stream(rows, 6)  # type: ignore[arg-type]
    with pytest.raises(TransferError, match="goes on with hopper, but was shown nothing"):
        mixed.stream({"hopper": 1}, 6).step({})
