"""What the training loop takes, and what it refuses by name before the first step or between two."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from tests.hooks import Hooks
from transfer.data.episodes import Episodes
from transfer.data.windows import WindowSampler
from transfer.errors import TransferError
from transfer.models.adapter import Adapter
from transfer.models.freezing import train_only
from transfer.models.mixed_model import MixedModel
from transfer.models.sequence_model import TransferModel
from transfer.storage.fingerprints import fingerprint
from transfer.training.fit import fit
from transfer.training.train_config import TrainConfig

CONFIG = TrainConfig(steps=4, batch_size=2, context=3, log_every=1, save_every=1)
Make = Callable[..., Any]


@pytest.fixture
def model(make_model: Callable[..., TransferModel]) -> TransferModel:
    """A model that acts on three steps."""
    return make_model(context=3)


@pytest.fixture
def sampler(make_episodes: Callable[..., Episodes]) -> WindowSampler:
    """Windows of three steps."""
    return WindowSampler(make_episodes(), 3, 2)


OTHERS: dict[str, tuple[Callable[[TransferModel], Any], str]] = {
    "mixed": (
        lambda m: MixedModel(m.trunk, {"a": m.adapter}),
        "the batches are for one policy, the model holds a. Give a MixedModel MixedWindows",
    ),
    "data parallel": (nn.DataParallel, "got DataParallel: its attribute module is one"),
    "trunk": (lambda m: m.trunk, "got Trunk: adapt.. and TransferModel"),
    "adapter": (lambda m: m.adapter, "got Adapter: put it on its trunk"),
    "text": (lambda m: "model", r"got 'model' \(str\)"),
    "nothing": (lambda m: None, "got None"),
    "no values": (lambda m: m.to("meta"), "is on the device 'meta'"),
}


@pytest.mark.parametrize(("other", "message"), OTHERS.values(), ids=OTHERS)
def test_what_is_no_policy_is_refused_by_its_type(
    other: Callable[[TransferModel], Any], message: str, model: TransferModel, sampler: WindowSampler
) -> None:
    with pytest.raises(TransferError, match=message):
        fit(other(model), sampler, CONFIG, ["state"])


class Never(Hooks):
    every = 0


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"sampler": "windows"}, "sampler is of type str; WindowSampler or MixedWindows is needed. Make one with"),
        ({"config": {"steps": 1}}, "config is of type dict; TrainConfig is needed"),
        ({"compile": "yes"}, "compile='yes' is text: True or False is needed"),
        ({"callbacks": "print"}, "callbacks is of type str; a list of Callback is needed"),
        ({"callbacks": Hooks()}, "callbacks is of type Hooks; a list of Callback is needed"),
        ({"callbacks": [print]}, "a callback is of type builtin_function_or_method; Callback is needed. Inherit"),
        ({"callbacks": [Hooks]}, "a callback is of type type; Callback is needed. Inherit .*give an instance"),
        ({"callbacks": [Never()]}, "Never.every=0 is too small: at least 1"),
    ],
    ids=str,
)
def test_other_arguments_are_refused_by_name(
    wrong: dict[str, Any], message: str, model: TransferModel, sampler: WindowSampler
) -> None:
    before = fingerprint(model)
    with pytest.raises(TransferError, match=message):
        fit(**{"model": model, "sampler": sampler, "config": CONFIG, "parts": ["state"], **wrong})
    assert fingerprint(model) == before and all(p.requires_grad for p in model.parameters())


def test_a_model_that_torch_has_compiled_trains(model: TransferModel, sampler: WindowSampler) -> None:
    before = fingerprint(model.adapter)
    fit(torch.compile(model, backend="eager"), sampler, CONFIG, ["state"])
    assert fingerprint(model.adapter) != before


CHANGES: dict[str, Callable[[TransferModel, Adapter], Any]] = {
    "another adapter": lambda model, other: model.swap(other),
    "a frozen adapter": lambda model, other: model.swap(other.requires_grad_(False)),
    "another part": lambda model, other: train_only(model, ["state", "trunk"]),
    "nothing": lambda model, other: model.requires_grad_(False),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_what_a_callback_puts_in_the_place_of_what_trains_does_not_silently_stay_as_it_is(
    change: Callable[[TransferModel, Adapter], Any], model: TransferModel, sampler: WindowSampler, make_adapter: Make
) -> None:
    other = make_adapter(seed=1, trunk=model.trunk, context=3)
    with pytest.raises(TransferError, match="trains before step 3.*a callback exchanged, froze or unfroze"):
        fit(
            model,
            sampler,
            CONFIG,
            ["state"],
            callbacks=[Hooks(step=lambda step: change(model, other) if step == 2 else None)],
        )


def test_a_callback_may_freeze_some_of_what_trains(model: TransferModel, sampler: WindowSampler) -> None:
    kept: list[str] = []

    def freeze(step: int) -> None:
        if step == 2:
            train_only(model, ["state"])
            kept.append(fingerprint(model.adapter.action))

    fit(model, sampler, CONFIG, ["state", "action"], callbacks=[Hooks(step=freeze)])
    assert kept == [fingerprint(model.adapter.action)]
