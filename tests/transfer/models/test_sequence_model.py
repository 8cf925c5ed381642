"""Trunk and adapter together: loss, causality, swapping, and what is refused."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from tests.forcing import hidden_of, part_of
from transfer.data.batch import Batch
from transfer.errors import TransferError
from transfer.models.adapter import Adapter
from transfer.models.mlp import MLPPolicy
from transfer.models.sequence_model import TransferModel
from transfer.models.trunk import Trunk

MakeModel = Callable[..., TransferModel]
MakeBatch = Callable[..., Batch]


def predict(model: TransferModel, batch: Batch) -> Tensor:
    """Predicted actions (B, T, A)."""
    return model.adapter.action.predict(hidden_of(model, batch)["action"], model.shared)


def padded(batch: Batch, extra: int) -> Batch:
    """The batch with `extra` steps of nonsense behind it."""

    def longer(values: Tensor) -> Tensor:
        return torch.cat([values, torch.full_like(values[:, :1], 3).repeat_interleave(extra, 1)], 1)

    tensors = {name: longer(getattr(batch, name)) for name in ("states", "actions", "rewards", "times")}
    columns = {name: longer(column) for name, column in batch.columns.items()}
    return Batch(**tensors, columns=columns, mask=F.pad(batch.mask, (0, extra), value=False))


def test_padding_never_changes_the_loss(action: str, make_model: MakeModel, make_batch: MakeBatch) -> None:
    check_padding(make_model(action=action, ia3=True), make_batch)


def test_padding_never_changes_the_loss_over_bins(make_model: MakeModel, make_batch: MakeBatch) -> None:
    check_padding(make_model(readout="categorical"), make_batch)


def check_padding(model: TransferModel, make_batch: MakeBatch) -> None:
    batch = make_batch(model)
    total, count, _ = model.loss(batch)["action"]
    for extra in (1, 6):
        more, same, _ = model.loss(padded(batch, extra))["action"]
        assert same == count
        torch.testing.assert_close(more, total, atol=1e-5, rtol=1e-5)


def test_the_loss_is_a_sum_over_real_numbers_and_their_count(
    action: str, make_model: MakeModel, make_batch: MakeBatch
) -> None:
    model = make_model(action=action)
    batch = make_batch(model)
    batch.mask[1, 2:] = False
    error = (predict(model, batch) - batch.actions).square()
    total, count, _ = model.loss(batch)["action"]
    torch.testing.assert_close(total, error[0].sum() + error[1, :2].sum() + error[2].sum())
    assert count == (5 + 2 + 5) * 3


def test_losses_of_the_rows_of_a_batch_add_up(make_model: MakeModel, make_batch: MakeBatch) -> None:
    model = make_model()
    batch = make_batch(model)
    parts = [model.loss(part_of(batch, slice(i, i + 1)))["action"] for i in range(3)]
    total, count, _ = model.loss(batch)["action"]
    torch.testing.assert_close(sum(part.sum for part in parts), total, atol=1e-5, rtol=1e-5)
    assert sum(int(part.count) for part in parts) == count


@pytest.mark.parametrize("name", ["states", "actions", "returns", "times"])
def test_an_edited_step_changes_no_prediction_before_it(
    action: str, name: str, make_model: MakeModel, make_batch: MakeBatch
) -> None:
    model = make_model(action=action)
    batch = make_batch(model)
    values = (batch.column(name) if name == "returns" else getattr(batch, name)).clone()
    values[:, 3] = -values[:, 3] if name == "actions" else values[:, 3] * 2 + 1
    changed = {"columns": {name: values}} if name == "returns" else {name: values}
    before, after = predict(model, batch), predict(model, replace(batch, **changed))
    torch.testing.assert_close(after[:, :3], before[:, :3], atol=1e-6, rtol=0)
    assert ((after - before)[:, 4].abs().amax(-1) > 1e-4).all()
    if name != "actions":
        assert ((after - before)[:, 3].abs().amax(-1) > 1e-4).all()


@pytest.mark.parametrize("kind", ["ActionSpreadEmbedding", "ActionTokenizedSpreadEmbedding"])
def test_a_dimension_is_predicted_from_those_before_it(kind: str, make_model: MakeModel, make_batch: MakeBatch) -> None:
    model = make_model(action=kind)
    batch = make_batch(model)
    actions = batch.actions.clone()
    actions[:, 3, 1] = -actions[:, 3, 1]
    before, after = predict(model, batch), predict(model, replace(batch, actions=actions))
    torch.testing.assert_close(after[:, 3, :2], before[:, 3, :2], atol=1e-6, rtol=0)
    assert ((after - before)[:, 3, 2].abs() > 1e-4).all()


@pytest.mark.parametrize("kind", ["ActionEmbedding", "ActionTokenizedEmbedding"])
def test_a_whole_action_is_predicted_without_being_seen(
    kind: str, make_model: MakeModel, make_batch: MakeBatch
) -> None:
    model = make_model(action=kind)
    batch = make_batch(model)
    actions = batch.actions.clone()
    actions[:, 3] = -actions[:, 3]
    before, after = predict(model, batch), predict(model, replace(batch, actions=actions))
    torch.testing.assert_close(after[:, 3], before[:, 3], atol=1e-6, rtol=0)


def test_bfloat16_gives_nearly_the_same_loss(action: str, make_model: MakeModel, make_batch: MakeBatch) -> None:
    model = make_model(action=action)
    batch = make_batch(model, steps=20)
    exact, narrow = model.loss(batch)["action"].sum, model.loss(batch, torch.bfloat16)["action"].sum
    assert narrow.dtype == torch.float32 and narrow != exact
    torch.testing.assert_close(narrow, exact, atol=0, rtol=0.02)


def test_fresh_ia3_changes_nothing_to_the_bit(action: str, make_model: MakeModel, make_batch: MakeBatch) -> None:
    plain = make_model(action=action, lively=False)
    scaled = make_model(action=action, lively=False, ia3=True)
    assert scaled.tuning is scaled.adapter.tuning and plain.tuning is None
    batch = make_batch(plain)
    assert torch.equal(predict(scaled, batch), predict(plain, batch))
    assert torch.equal(*(each.loss(batch, torch.bfloat16)["action"].sum for each in (scaled, plain)))


def test_trained_ia3_changes_predictions(make_model: MakeModel, make_batch: MakeBatch) -> None:
    model = make_model(ia3=True)
    batch = make_batch(model)
    before = predict(model, batch)
    ia3 = model.adapter.tuning
    for vectors in (ia3.keys, ia3.values, ia3.feed_forward):
        with torch.no_grad():
            vectors[0].mul_(1.5)
        after = predict(model, batch)
        assert (after - before).abs().max() > 1e-4
        before = after


def test_a_return_embedding_of_its_own_takes_the_place_of_the_trunks(
    make_model: MakeModel, make_batch: MakeBatch
) -> None:
    model = make_model(conditioning=True)
    batch = make_batch(model)
    before = predict(model, batch)
    with torch.no_grad():
        model.trunk.returns.weight.mul_(2)
    assert torch.equal(predict(model, batch), before)
    with torch.no_grad():
        getattr(model.adapter, "return").weight.mul_(2)
    assert (predict(model, batch) - before).abs().max() > 1e-4


def test_returns_are_conditioned_as_shares_of_the_reference_span(make_model: MakeModel, make_batch: MakeBatch) -> None:
    model = make_model()
    span = model.env_spec.reference.span
    expected = model.trunk.returns(torch.tensor([[[0.0], [0.5], [1.0]]]))
    returns, times = torch.tensor([[0.0, 0.5, 1.0]]) * span, torch.tensor([[0, 7, 900]])
    batch = replace(make_batch(model, rows=1, steps=3), columns={"returns": returns}, times=times)
    tokens = model.groups["return"](model.values(batch)["return"], model.shared)
    torch.testing.assert_close(tokens[:, :, 0], expected)


def test_states_are_normalised_by_the_statistics_of_their_dataset(make_model: MakeModel, make_batch: MakeBatch) -> None:
    model = make_model(state="linear")

    def embedded(state: Tensor) -> Tensor:
        batch = replace(make_batch(model, rows=1, steps=1), states=state.view(1, 1, -1))
        return model.adapter.state(model.values(batch)["state"], model.shared)[0, 0, 0]

    mean, std = (torch.tensor(model.statistics.__dict__[name]) for name in ("state_mean", "state_std"))
    linear = model.adapter.state.linear
    torch.testing.assert_close(embedded(mean), linear.bias, atol=1e-5, rtol=0)
    torch.testing.assert_close(embedded(mean + std), linear.weight.sum(1) + linear.bias, atol=1e-5, rtol=1e-5)


def test_another_body_is_swapped_in_and_out_again(
    make_model: MakeModel, make_adapter: Callable[..., Adapter], make_batch: MakeBatch
) -> None:
    model = make_model("Hopper-v5")
    hopper, batch = model.adapter, make_batch(model)
    before = predict(model, batch)
    trunk = {name: tensor.clone() for name, tensor in model.trunk.state_dict().items()}

    model.swap(make_adapter("Walker2d-v5"))
    assert model.layout.tokens == 8 and model.env_spec.name == "walker2d"
    assert predict(model, make_batch(model)).shape == (3, 5, 6)

    model.swap(hopper)
    assert model.layout.tokens == 5
    assert torch.equal(predict(model, batch), before)
    assert all(torch.equal(model.trunk.state_dict()[name], tensor) for name, tensor in trunk.items())


@pytest.mark.parametrize("sizes", [{"width": 32}, {"depth": 3}])
def test_an_adapter_for_another_trunk_shape_is_refused(
    sizes: dict[str, int], make_model: MakeModel, make_trunk: Callable[..., Trunk], make_adapter: Callable[..., Adapter]
) -> None:
    model, other = make_model(), make_adapter("Walker2d-v5", trunk=make_trunk(**sizes))
    with pytest.raises(TransferError, match="does not fit a trunk of width 16 and depth 2"):
        model.swap(other)
    assert model.env_spec.name == "hopper"


def test_states_and_actions_of_another_size_are_refused(make_model: MakeModel, make_batch: MakeBatch) -> None:
    model = make_model("Hopper-v5")
    hopper, walker = make_batch(model), make_batch(make_model("Walker2d-v5"))
    with pytest.raises(TransferError, match="states have 17 numbers, the adapter for 'hopper' takes 11"):
        model.loss(replace(hopper, states=walker.states))
    with pytest.raises(TransferError, match="actions have 6 numbers, the adapter for 'hopper' takes 3"):
        model.loss(replace(hopper, actions=walker.actions))


def test_parts_are_those_that_the_adapter_has(make_model: MakeModel) -> None:
    assert list(make_model().parts()) == ["trunk", "state", "action"]
    assert set(make_model(ia3=True, conditioning=True).parts()) == {"trunk", "state", "action", "tuning", "return"}


def test_calling_a_model_is_its_loss(make_model: MakeModel, make_batch: MakeBatch) -> None:
    model = make_model()
    batch, mlp = make_batch(model), MLPPolicy(model.env_spec, model.statistics, 8)
    for wrapped in (model, torch.nn.DataParallel(model), torch.compile(model, backend="eager")):
        torch.testing.assert_close(wrapped(batch), model.loss(batch))
    torch.testing.assert_close(mlp(batch), mlp.loss(batch))
    torch.testing.assert_close(model(batch, torch.bfloat16), model.loss(batch, torch.bfloat16))
