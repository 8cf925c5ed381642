"""Training through torch.compile."""

import shutil
from collections.abc import Callable
from functools import partial

import pytest
import torch

from transfer.data.episodes import Episodes
from transfer.data.windows import WindowSampler
from transfer.models.sequence_model import TransferModel
from transfer.training.fit import fit
from transfer.training.train_config import TrainConfig

CONFIG = TrainConfig(steps=2, batch_size=4, context=5, log_every=1, save_every=1)


@pytest.fixture
def make_model(make_model: Callable[..., TransferModel]) -> Callable[..., TransferModel]:
    """Models that act on windows as these tests train on, of 5 steps."""
    return partial(make_model, context=5)


@pytest.mark.skipif(shutil.which("c++") is None, reason="torch.compile needs a C++ compiler on a CPU")
def test_compiled_steps_end_in_the_weights_of_plain_ones(
    make_model: Callable[..., TransferModel], make_episodes: Callable[..., Episodes]
) -> None:
    from torch._dynamo.utils import counters

    weights, captured = [], []
    for compile in (False, True):
        counters.clear()
        model = make_model()
        sampler = WindowSampler(make_episodes(), CONFIG.context, CONFIG.batch_size)
        fit(model, sampler, CONFIG, ["state", "action"], precision=torch.float32, compile=compile)
        weights.append(torch.cat([p.detach().flatten() for p in model.parameters()]))
        captured.append(counters["stats"]["calls_captured"])
    torch.testing.assert_close(weights[1], weights[0], atol=1e-4, rtol=0)  # two steps of 5e-4
    assert captured[0] == 0 and captured[1] > 100
