"""The error on data that were not trained on."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from tests.forcing import hidden_of
from transfer.data.episodes import Episodes
from transfer.data.windows import WindowSampler
from transfer.models.mlp import MLPPolicy
from transfer.models.sequence_model import TransferModel
from transfer.training.held_out import held_out_error


@pytest.mark.parametrize("context", [1, 4, 9])
def test_every_step_counts_once_in_its_own_window(
    action: str, context: int, make_model: Callable[..., TransferModel], make_episodes: Callable[..., Episodes]
) -> None:
    model, data, total = make_model(action=action, context=context), make_episodes(lengths=(9, 4)), 0.0
    for first, length in ((0, 9), (9, 4)):
        for start in range(first, first + length, context):
            steps = min(context, first + length - start)
            batch = WindowSampler(data, steps, 1).windows([start])
            values = model.values(batch)["action"]
            predicted = model.adapter.action.predict(hidden_of(model, batch)["action"], model.shared)
            total += float((predicted - values).square().sum())
    assert held_out_error(model, data) == pytest.approx(total / (13 * 3), rel=1e-5)


def test_it_is_the_loss_of_a_regression(make_model: Any, make_episodes: Callable[..., Episodes]) -> None:
    model, data = make_model(context=9), make_episodes(lengths=(9, 9))
    loss = model.loss(WindowSampler(data, 9, 2).windows([0, 9]))["action"]
    assert held_out_error(model, data) == pytest.approx(float(loss.sum / loss.count))
    mlp = MLPPolicy(model.env_spec, model.statistics, 8)
    loss = mlp.loss(WindowSampler(data, 9, 2).windows([0, 9]))["action"]
    assert held_out_error(mlp, data) == pytest.approx(float(loss.sum / loss.count))


def test_the_model_stays_as_it_is(make_model: Any, make_episodes: Callable[..., Episodes]) -> None:
    model = make_model(context=3).train()
    model.trunk.blocks[0].eval()
    modes = [module.training for module in model.modules()]
    state = {name: value.clone() for name, value in model.state_dict().items()}
    before = torch.get_rng_state()
    first, second = (held_out_error(model, make_episodes()) for _ in range(2))
    assert first == second  # no dropout
    assert [module.training for module in model.modules()] == modes
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
