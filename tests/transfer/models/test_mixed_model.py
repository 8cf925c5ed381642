"""A batch that mixes environments gives each what it gets alone, from one forward of the trunk."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from transfer.data.batch import Batch
from transfer.errors import TransferError
from transfer.models.adapter import Adapter
from transfer.models.mixed_model import MixedModel
from transfer.models.sequence_model import TransferModel
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


def close(one: Tensor, other: Tensor) -> None:
    torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-5)


def test_each_adapter_gets_what_it_gets_alone(mixed: MixedModel, batches: dict[str, Batch]) -> None:
    hidden, losses = mixed.hidden(batches), mixed.loss(batches)
    assert list(hidden) == list(losses) == list(batches)
    for name, batch in batches.items():
        alone = TransferModel(mixed.trunk, mixed[name].adapter)
        close(hidden[name], alone.hidden(batch))
        for got, wanted in zip(losses[name], alone.loss(batch), strict=True):
            close(got, wanted)


def test_one_forward_of_the_trunk_serves_all(mixed: MixedModel, batches: dict[str, Batch]) -> None:
    shapes: list[tuple[int, ...]] = []
    mixed.trunk.register_forward_pre_hook(lambda trunk, inputs: shapes.append(tuple(inputs[0].shape)))
    mixed.loss(batches)
    assert shapes == [(2 + 4 + 3, 6 * 8, 16)]


def test_a_batch_of_some_of_the_adapters(mixed: MixedModel, batches: dict[str, Batch]) -> None:
    one = mixed.hidden({"walker2d": batches["walker2d"]})
    close(one["walker2d"], mixed["walker2d"].hidden(batches["walker2d"]))


def test_adapters_learn_from_a_mixed_batch_what_they_learn_alone(mixed: MixedModel, batches: dict[str, Batch]) -> None:
    mixed.trunk.requires_grad_(False)
    before = fingerprint(mixed.trunk)
    together = sum(loss / count for loss, count in mixed.loss(batches).values())
    assert isinstance(together, Tensor)
    together.backward()
    for name, batch in batches.items():
        adapter = mixed[name].adapter
        got = {key: p.grad.clone() for key, p in adapter.named_parameters() if p.grad is not None}
        adapter.zero_grad()
        loss, count = mixed[name].loss(batch)
        (loss / count).backward()
        wanted = {key: p.grad for key, p in adapter.named_parameters() if p.grad is not None}
        assert set(got) == set(wanted)
        for key, gradient in wanted.items():
            assert gradient is not None
            close(got[key], gradient)
    assert all(p.grad is None for p in mixed.trunk.parameters()) and fingerprint(mixed.trunk) == before


def test_without_ia3_nothing_is_scaled(mixed: MixedModel) -> None:
    assert mixed.gains({"walker2d": 2}) is None
    scales = mixed.gains({"walker2d": 2, "hopper": 1})
    assert scales is not None and len(scales) == 2
    for gains in scales:
        assert [tuple(part.shape) for part in gains] == [(3, 16), (3, 16), (3, 64)]
        assert all((part[:2] == 1).all() and (part[2] != 1).any() for part in gains)


@pytest.mark.parametrize("kind", KINDS)
def test_bfloat16_is_as_close_as_one_adapter_alone(
    kind: str, make_trunk: MakeTrunk, make_adapter: MakeAdapter, make_batch: MakeBatch
) -> None:
    trunk = make_trunk()
    mixed = MixedModel(
        trunk, {name: make_adapter(name, 0, trunk, action=kind) for name in ("Hopper-v5", "Walker2d-v5")}
    )
    batches = {name: make_batch(model) for name, model in mixed.models.items()}
    hidden = mixed.hidden(batches, torch.bfloat16)
    for name, batch in batches.items():
        exact = mixed[name].hidden(batch)
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
    with pytest.raises(TransferError, match="6 numbers, the adapter for 'hopper' takes 3"):
        mixed.loss({"hopper": batches["walker2d"]})
