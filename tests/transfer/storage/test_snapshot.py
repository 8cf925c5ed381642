"""Policies act with copies of modules, which training and modes of the originals do not reach."""

import copy
import pickle
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from types import MethodType
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from tests.forcing import plan, shown, step_of
from transfer.data.batch import Batch
from transfer.decoding.planner import make_planner
from transfer.errors import TransferError
from transfer.evaluation.evaluate import evaluate, evaluate_together
from transfer.models.freezing import train_only
from transfer.models.mixed_model import MixedModel
from transfer.models.mlp import MLPPolicy
from transfer.models.sequence_model import TransferModel
from transfer.storage.fingerprints import fingerprint
from transfer.storage.snapshot import lent, snapshot

MakeModel = Callable[..., TransferModel]
MakeBatch = Callable[..., Batch]


def test_twins_have_tensors_of_their_own_and_share_what_is_shared(make_model: MakeModel) -> None:
    model = make_model().train()
    one, other = snapshot(nn.ModuleList([model, TransferModel(model.trunk, model.adapter)]))
    assert one.trunk is other.trunk and one.adapter is other.adapter and one is not other
    assert fingerprint(one) == fingerprint(model) and not any(m.training for m in one.modules())
    assert all(m.training for m in model.modules())
    theirs = {t.data_ptr() for t in (*model.parameters(), *model.buffers()) if t.numel()}
    assert not theirs & {t.data_ptr() for t in (*one.parameters(), *one.buffers()) if t.numel()}
    assert not any(p.requires_grad for p in one.parameters())


def test_tied_weights_stay_tied_and_hooks_remember() -> None:
    seen: list[nn.Module] = []
    layer = nn.Linear(2, 2)
    both = nn.Sequential(layer, nn.Tanh(), layer)
    both[1].register_forward_hook(lambda module, *_: seen.append(module))
    twin = snapshot(both)
    assert twin[0] is twin[2] is not layer
    torch.testing.assert_close(twin(torch.ones(2)), both(torch.ones(2)))
    assert seen == [twin[1], both[1]]


def test_what_modules_keep_in_lists_is_copied_with_them() -> None:
    layer, x = nn.GRU(3, 4, num_layers=2), torch.randn(5, 1, 3)
    layer.hidden = [nn.Linear(4, 1)]  # type: ignore[assignment]
    twin, wanted = snapshot(layer), (layer(x)[0], layer.hidden[0](torch.ones(4)))
    with torch.no_grad():
        for parameter in (*layer.parameters(), *layer.hidden[0].parameters()):
            parameter.zero_()
    assert torch.equal(twin(x)[0], wanted[0]) and torch.equal(twin.hidden[0](torch.ones(4)), wanted[1])


class Outer(nn.Module):
    """Its method takes the place of a layer's `forward`."""

    def __init__(self, inner: nn.Linear) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.linear(x, self.inner.weight, self.inner.bias)


def changed(way: str) -> nn.Module:
    """A layer in a module that somebody has worked on."""
    both = nn.Sequential(nn.Linear(2, 2), nn.Tanh())
    if way == "shortened":
        del both[1]
    elif way == "compiled":
        both.compile(backend="eager")
    elif way == "own forward":
        both[0].forward = MethodType(nn.Linear.forward, both[0])  # type: ignore[method-assign]
    else:
        both[0].forward = Outer(both[0]).forward  # type: ignore[arg-type, method-assign]
    return both


@pytest.mark.parametrize("copied", [snapshot, lent])
@pytest.mark.parametrize("way", ["shortened", "compiled", "own forward", "wrapped"])
def test_twins_of_modules_that_were_changed_use_weights_of_their_own(
    way: str, copied: Callable[[nn.Module], nn.Module]
) -> None:
    both = changed(way)
    twin = copied(both)
    assert not set(both.parameters()) & set(twin.parameters())
    torch.testing.assert_close(twin(torch.ones(2)), both(torch.ones(2)))
    twin.requires_grad_(True)
    twin(torch.ones(2)).sum().backward()
    assert all(p.grad is not None for p in twin.parameters()) and all(p.grad is None for p in both.parameters())


def test_a_module_without_values_has_no_copy(make_model: MakeModel) -> None:
    with pytest.raises(TransferError, match="device 'meta'"):
        snapshot(make_model().to("meta"))


@pytest.mark.usefixtures("way")
def test_training_does_not_reach_a_planner(action: str, make_model: MakeModel, make_batch: MakeBatch) -> None:
    model = make_model(action=action, width=32, ia3=True)
    batch = make_batch(model, steps=9)
    planners = [plan(model, 3, 4) for _ in range(2)]
    seen = [shown(batch, t, torch.arange(3)) for t in range(9)]
    wanted = [planners[0].act(one) for one in seen]
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter))
    for one, actions in zip(seen, wanted, strict=True):
        assert torch.equal(planners[1].act(one), actions)


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("copied", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))], ids=["deepcopy", "pickle"])
def test_copies_of_policies_planners_and_models_act_alike(copied: Any, action: str, make_model: MakeModel) -> None:
    """Also within an episode, where the copy and the original go on independently."""
    model, rng = make_model(action=action, width=32, ia3=True, context=4), np.random.default_rng(0)
    policy, shown = model.policy(target_return=100.0), rng.normal(size=(8, 11))
    for t in range(3):
        policy.act(shown[t], 1.0 if t else None)
    twin, other = copied(policy), copied(model)
    rest = [policy.act(one, 1.0) for one in shown[3:]]
    np.testing.assert_array_equal([twin.act(one, 1.0) for one in shown[3:]], rest)
    fresh = [made.policy(target_return=100.0).act(shown[0]) for made in (model, other)]
    np.testing.assert_array_equal(*fresh)
    planner, seen = make_planner(model, 2), step_of(torch.randn(2, 11), torch.ones(2), torch.zeros(2))
    planner.act(seen)
    assert torch.equal(copied(planner).act(seen), planner.act(seen))


def test_an_mlp_acts_with_copies_too(make_model: MakeModel) -> None:
    model = make_model()
    mlp = MLPPolicy(model.env_spec, model.statistics, 8)
    policy, twin = mlp.policy(), copy.deepcopy(mlp).policy()
    nn.init.zeros_(mlp.out.weight)
    np.testing.assert_array_equal(policy.act(np.ones(11)), twin.act(np.ones(11)))


def test_threads_that_evaluate_give_every_modes_back(make_model: MakeModel, countdowns: list[Any]) -> None:
    model = make_model(ia3=True)
    train_only(model, ["state", "tuning"])
    mixed = MixedModel(model.trunk, {"a": model.adapter})
    before, wanted = [m.training for m in model.modules()], evaluate(model, num_episodes=4).actions
    start = threading.Barrier(3)

    def play(number: int) -> Any:
        start.wait()
        for _ in range(3):
            assert [m.training for m in model.modules()] == before
            one = evaluate(model, num_episodes=4) if number else evaluate_together(mixed, 4)["a"]
            np.testing.assert_allclose(one.actions, wanted, atol=1e-5)

    with ThreadPoolExecutor(3) as pool:
        list(pool.map(play, range(3)))
    assert [m.training for m in model.modules()] == before


def test_a_model_trains_on_while_it_is_evaluated(
    make_model: MakeModel, make_batch: MakeBatch, countdowns: list[Any]
) -> None:
    """Dropout stays on where it trains, and off where it acts."""
    model, done = make_model(context=3), threading.Event()
    batch = make_batch(model)
    wanted = evaluate(model, num_episodes=5).actions
    model.train()
    losses: list[float] = []

    def train() -> None:
        while not done.is_set() or len(losses) < 9:
            losses.append(float(model.loss(batch)["action"].sum.detach()))

    thread = threading.Thread(target=train)
    thread.start()
    try:
        for _ in range(3):
            np.testing.assert_array_equal(evaluate(model, num_episodes=5).actions, wanted)
    finally:
        done.set()
        thread.join()
    assert len(set(losses)) > 1 and all(m.training for m in model.modules())
