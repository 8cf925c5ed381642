"""Selecting what trains, and fingerprints that notice one bit."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from torch import nn

from transfer.errors import TransferError
from transfer.models.freezing import train_only
from transfer.models.sequence_model import TransferModel
from transfer.storage.fingerprints import fingerprint

MakeModel = Callable[..., TransferModel]


def test_selected_parts_train_and_nothing_else(make_model: MakeModel) -> None:
    model = make_model(ia3=True)
    selection = train_only(model, ["state", "tuning"])
    chosen = {name for name, p in model.named_parameters() if p.requires_grad}
    assert chosen == {
        name for name, _ in model.named_parameters() if name.startswith(("adapter.state", "adapter.tuning"))
    }
    assert set(selection.names) == chosen


def test_a_later_selection_replaces_an_earlier_one(make_model: MakeModel) -> None:
    model = make_model(ia3=True)
    train_only(model, ["trunk", "state"])
    train_only(model, ["tuning"])
    assert {name.split(".")[1] for name, p in model.named_parameters() if p.requires_grad} == {"tuning"}
    assert not model.trunk.training and not model.adapter.state.training


def test_frozen_parts_are_in_eval_mode_and_selected_ones_are_not(make_model: MakeModel) -> None:
    model = make_model().train()
    train_only(model, ["state"])
    assert not any(module.training for module in model.trunk.modules())
    assert not any(module.training for module in model.adapter.action.modules())
    assert all(module.training for module in model.adapter.state.modules())


def test_the_selection_counts_what_trains(make_model: MakeModel) -> None:
    model = make_model(ia3=True, state="linear")
    selection = train_only(model, ["state", "tuning", "state"])
    assert selection.parts["state"].parameters == 16 * (11 + 1)
    assert (selection.parts["tuning"].tensors, selection.parts["tuning"].parameters) == (6, 2 * 6 * 16)
    assert selection.parameters == 16 * 12 + 192 and selection.bytes == 4 * selection.parameters
    json = selection.to_json()
    assert json["share"] == selection.share == selection.parameters / sum(p.numel() for p in model.parameters())
    assert json["tensors"] == 8 and json["parts"]["tuning"] == {"tensors": 6, "numbers": 192, "bytes": 768}


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ([], "nothing was selected to train. Known parts: trunk, state, action"),
        (["stat"], "unknown part 'stat'. Did you mean 'state'"),
        (["state", "tuning"], "unknown part 'tuning'.*built without cannot train"),
        ([3], "unknown part '3'"),
        ([["state"]], "unknown part"),
        ("state", "parts='state': a list of names is needed"),
        (None, "parts=None: a list of names is needed"),
    ],
)
def test_selecting_nothing_or_unknown_parts_is_refused(
    make_model: MakeModel, parts: Sequence[str], message: str
) -> None:
    with pytest.raises(TransferError, match=message):
        train_only(make_model(), parts)


@pytest.mark.parametrize("model", [{}, None, nn.Linear(2, 2)])
def test_what_has_no_parts_is_named(model: Any) -> None:
    with pytest.raises(TransferError, match=f"a {type(model).__name__} has no parts"):
        train_only(model, ["state"])


def test_a_part_without_parameters_is_an_error(make_model: MakeModel) -> None:
    model = make_model()
    model.adapter.state = nn.GELU()
    with pytest.raises(TransferError, match="unknown part 'state'. Known: trunk, action"):
        train_only(model, ["state"])

    class Bare(nn.Module):
        def parts(self) -> dict[str, nn.Module]:
            return {"state": nn.GELU()}

    with pytest.raises(TransferError, match="'state' has no parameters"):
        train_only(Bare(), ["state"])


def test_equal_weights_have_equal_fingerprints(make_model: MakeModel) -> None:
    assert fingerprint(make_model(seed=1).trunk) == fingerprint(make_model(seed=1).trunk)
    assert fingerprint(make_model(seed=1).trunk) != fingerprint(make_model(seed=2).trunk)


@pytest.mark.parametrize("bit", [0, 9, 20, 30])
def test_one_flipped_bit_changes_the_fingerprint(bit: int, make_model: MakeModel) -> None:
    trunk = make_model().trunk
    before = fingerprint(trunk)
    for parameter in trunk.parameters():
        last = parameter.data.view(-1)[-1:].view(torch.int32)
        last ^= 1 << bit
        assert fingerprint(trunk) != before
        last ^= 1 << bit
    assert fingerprint(trunk) == before


def test_name_dtype_and_shape_count() -> None:
    tensors = {
        "plain": {"a": torch.zeros(4)},
        "name": {"b": torch.zeros(4)},
        "dtype": {"a": torch.zeros(4, dtype=torch.int32)},
        "shape": {"a": torch.zeros(2, 2)},
        "more": {"a": torch.zeros(4), "b": torch.zeros(4)},
    }
    prints = set()
    for content in tensors.values():
        module = nn.Module()
        for name, tensor in content.items():
            module.register_buffer(name, tensor)
        prints.add(fingerprint(module))
    assert len(prints) == len(tensors)


def test_fingerprints_take_any_dtype_and_layout() -> None:
    module = nn.Module()
    module.register_buffer("narrow", torch.arange(6).to(torch.bfloat16).view(2, 3).T)
    module.register_buffer("flag", torch.tensor(True))
    assert len(fingerprint(module)) == 64


def test_names_of_parts_may_come_from_a_generator(make_model: MakeModel) -> None:
    assert set(train_only(make_model(), (name for name in ("state", "action"))).parts) == {"state", "action"}  # type: ignore[arg-type]


def test_what_has_no_values_has_no_fingerprint(make_model: MakeModel) -> None:
    with pytest.raises(TransferError, match="blocks.0.attn.k.bias is on the device 'meta'"):
        fingerprint(make_model().trunk.to("meta"))
    with pytest.raises(TransferError, match="module is of type str; Module is needed"):
        fingerprint("trunk")  # type: ignore[arg-type]
