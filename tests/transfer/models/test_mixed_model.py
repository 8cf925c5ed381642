"""A batch that mixes environments gives each what it gets alone, from few forwards of the trunk."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.forcing import hidden_of
from transfer.adapters.methods.dt import DT
from transfer.data.batch import Batch
from transfer.errors import TransferError
from transfer.models.adapter import Adapter
from transfer.models.mixed_model import MixedModel, passes
from transfer.models.sequence_model import TransferModel
from transfer.models.steps.group import Loss
from transfer.models.trunk import Trunk
from transfer.storage.fingerprints import fingerprint

MakeTrunk = Callable[..., Trunk]
MakeAdapter = Callable[..., Adapter]
MakeBatch = Callable[..., Batch]
KINDS = ("ActionEmbedding", "ActionTokenizedSpreadEmbedding")


@pytest.fixture
def mixed(make_trunk: MakeTrunk, make_adapter: MakeAdapter) -> MixedModel:
    """Spread and whole actions, with and without IA3 and conditioning, two adapters of one environment."""
    trunk = make_trunk()
    adapters = {
        "hopper": make_adapter("Hopper-v5", 0, trunk, ia3=True),
        "walker2d": make_adapter("Walker2d-v5", 1, trunk, readout="categorical", conditioning=True),
        "runs/a.b/walker2d": make_adapter("Walker2d-v5", 2, trunk, ia3=True, action="ActionEmbedding"),
    }
    return MixedModel(trunk, adapters).eval()


@pytest.fixture
def batches(mixed: MixedModel, make_batch: MakeBatch) -> dict[str, Batch]:
    """Windows of other numbers of rows and steps for each adapter."""
    shapes = {"walker2d": (2, 6), "hopper": (4, 5), "runs/a.b/walker2d": (3, 9)}
    return {name: make_batch(mixed[name], *shape, seed=shape[0]) for name, shape in shapes.items()}


def hidden_of_all(
    mixed: MixedModel, batches: dict[str, Batch], precision: torch.dtype = torch.float32
) -> dict[str, Tensor]:
    """What the action readouts of all adapters read, (B, T, n, D) each, by name."""
    values = {name: mixed[name].values(batch) for name, batch in batches.items()}
    hidden = mixed._hidden(batches, values, precision)
    return {name: groups["action"] for name, groups in hidden.items()}


def close(one: Tensor, other: Tensor) -> None:
    torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-5)


def test_each_adapter_gets_what_it_gets_alone(mixed: MixedModel, batches: dict[str, Batch]) -> None:
    losses, hidden = mixed.loss(batches), hidden_of_all(mixed, batches)
    assert list(losses) == [f"{name}/action" for name in batches]
    for name, batch in batches.items():
        alone = TransferModel(mixed.trunk, mixed[name].adapter)
        close(hidden[name], hidden_of(alone, batch)["action"])
        for got, wanted in zip(losses[f"{name}/action"][:2], alone.loss(batch)["action"][:2], strict=True):
            close(got, wanted)


def test_sequences_of_about_one_length_share_a_forward_of_the_trunk(
    mixed: MixedModel, batches: dict[str, Batch]
) -> None:
    shapes: list[tuple[int, ...]] = []
    mixed.trunk.register_forward_pre_hook(lambda trunk, inputs: shapes.append(tuple(inputs[0].shape)))
    mixed.loss(batches)
    assert shapes == [(2, 6 * 8, 16), (4 + 3, 9 * 3, 16)]


def test_lengths_in_a_pass_differ_by_less_than_a_quarter_of_the_longest() -> None:
    assert passes({"a": 76, "b": 100, "c": 75, "d": 57, "e": 56, "f": 100}) == [["b", "f", "a"], ["c", "d"], ["e"]]
    assert passes({"one": 1}) == [["one"]] and passes({}) == []


def test_an_adapter_with_a_loss_of_its_own_has_a_pass_of_its_own(mixed: MixedModel, batches: dict[str, Batch]) -> None:
    class Twice(DT):
        def loss(self, *given: Any) -> dict[str, Loss]:
            term = super().loss(*given)["action"]
            return {"twice": Loss(2 * term.sum, term.count)}

    wanted = mixed.loss(batches)
    mixed["hopper"].method = Twice()
    shapes: list[int] = []
    mixed.trunk.register_forward_pre_hook(lambda trunk, inputs: shapes.append(len(inputs[0])))
    losses = mixed.loss(batches)
    assert list(losses) == ["walker2d/action", "hopper/twice", "runs/a.b/walker2d/action"]
    assert sorted(shapes) == [2, 3, 4]
    close(losses["hopper/twice"].sum, 2 * wanted["hopper/action"].sum)
    close(losses["runs/a.b/walker2d/action"].sum, wanted["runs/a.b/walker2d/action"].sum)


def test_a_batch_of_some_of_the_adapters(mixed: MixedModel, batches: dict[str, Batch]) -> None:
    one = mixed.loss({"walker2d": batches["walker2d"]})
    assert list(one) == ["walker2d/action"]
    close(one["walker2d/action"].sum, mixed["walker2d"].loss(batches["walker2d"])["action"].sum)


def test_without_a_tuning_no_window_is_changed(mixed: MixedModel) -> None:
    """Windows of an adapter without one lie between those of others."""
    counts = {"hopper": 1, "walker2d": 2, "runs/a.b/walker2d": 1}
    assert mixed._tuning({"walker2d": 2}) is None
    tuning = mixed._tuning(counts)
    assert tuning is not None and set(tuning.sites) == {"k", "v", "proj"}
    for layer in (0, 1):
        x = torch.randn(4, 3, 64)
        changed = tuning.before(layer, "proj", x), tuning.after(layer, "k", x[..., :16], x[..., 16:32])
        for now, was in zip(changed, (x, x[..., 16:32]), strict=True):
            assert torch.equal(now[1:3], was[1:3])
            for row, name in ((0, "hopper"), (3, "runs/a.b/walker2d")):
                own = mixed[name].adapter.tuning
                wanted = own.before(layer, "proj", x[row]) if now is changed[0] else x[row, :, 16:32] * own.keys[layer]
                close(now[row], wanted)
                assert (now[row] - was[row]).abs().max() > 1e-3


def test_adapters_learn_from_a_mixed_batch_what_they_learn_alone(mixed: MixedModel, batches: dict[str, Batch]) -> None:
    mixed.trunk.requires_grad_(False)
    before = fingerprint(mixed.trunk)
    together = sum(term.sum / term.count for term in mixed.loss(batches).values())
    assert isinstance(together, Tensor)
    together.backward()
    for name, batch in batches.items():
        adapter = mixed[name].adapter
        got = {key: p.grad.clone() for key, p in adapter.named_parameters() if p.grad is not None}
        adapter.zero_grad()
        term = mixed[name].loss(batch)["action"]
        (term.sum / term.count).backward()
        wanted = {key: p.grad for key, p in adapter.named_parameters() if p.grad is not None}
        assert set(got) == set(wanted)
        for key, gradient in wanted.items():
            assert gradient is not None
            close(got[key], gradient)
    assert all(p.grad is None for p in mixed.trunk.parameters()) and fingerprint(mixed.trunk) == before


@pytest.mark.parametrize("kind", KINDS)
def test_bfloat16_is_as_close_as_one_adapter_alone(
    kind: str, make_trunk: MakeTrunk, make_adapter: MakeAdapter, make_batch: MakeBatch
) -> None:
    trunk = make_trunk()
    mixed = MixedModel(
        trunk, {name: make_adapter(name, 0, trunk, action=kind) for name in ("Hopper-v5", "Walker2d-v5")}
    )
    batches = {name: make_batch(model) for name, model in mixed.models.items()}
    hidden = hidden_of_all(mixed, batches, torch.bfloat16)
    for name, batch in batches.items():
        exact = hidden_of(mixed[name], batch)["action"]
        assert hidden[name].dtype == torch.float32
        assert 0 < (hidden[name] - exact).abs().max() < 0.3


def test_weights_are_held_once_and_move_together(mixed: MixedModel) -> None:
    def numbers(module: nn.Module) -> int:
        return sum(tensor.numel() for tensor in module.state_dict().values())

    adapters = sum(numbers(model.adapter) for model in mixed.models.values())
    assert numbers(mixed) == numbers(mixed.trunk) + adapters
    mixed.double()
    assert all(p.dtype == torch.float64 for model in mixed.models.values() for p in model.parameters())


def test_mistakes_are_refused(
    mixed: MixedModel, batches: dict[str, Batch], make_trunk: MakeTrunk, make_adapter: MakeAdapter
) -> None:
    with pytest.raises(TransferError, match="at least one adapter"):
        MixedModel(mixed.trunk, {})
    with pytest.raises(TransferError, match="width 32 and depth 2 does not fit a trunk of width 16"):
        MixedModel(mixed.trunk, {"hopper": make_adapter("Hopper-v5", 0, make_trunk(width=32))})
    with pytest.raises(TransferError, match="no batch was given. Known adapters: hopper, walker2d"):
        mixed.loss({})
    with pytest.raises(TransferError, match="batches is of type Batch; Mapping is needed. Give {name: batch}"):
        mixed.loss(batches["hopper"])  # type: ignore[arg-type]
    with pytest.raises(TransferError, match="unknown adapter 'walker'. Did you mean 'walker2d'"):
        mixed.loss({"walker": batches["walker2d"]})
    with pytest.raises(TransferError, match="states have 17 numbers, the adapter for 'hopper' takes 11"):
        mixed.loss({"hopper": batches["walker2d"]})
