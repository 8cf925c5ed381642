"""Parts of somebody's own with buffers that training moves: resumed, saved and inherited with them."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from tests.hooks import Hooks
from tests.kinds import config_of
from transfer import registry
from transfer.adapters.states.state import StateGroup
from transfer.data.episodes import Episodes
from transfer.models.adapter import Adapter
from transfer.models.steps.group import Shared
from transfer.models.trunk import Trunk
from transfer.recipes.programs.adapt import adapt
from transfer.storage.fingerprints import fingerprint
from transfer.training.train_config import TrainConfig

CONFIG = TrainConfig(steps=4, batch_size=2, context=3, log_every=1, save_every=1)


class RunningMean(StateGroup):
    """A state part that normalises by what it has seen."""

    def __init__(self, state_size: int, width: int) -> None:
        super().__init__()
        self._arguments = {"state_size": state_size, "width": width}
        self.norm, self.linear = nn.BatchNorm1d(state_size), nn.Linear(state_size, width)

    def embed(self, values: Tensor, shared: Shared, first: int = 0) -> Tensor:
        """(B, T, S) -> (B, T, 1, D)."""
        return self.linear(self.norm(values.flatten(0, 1)).view_as(values))[:, :, None]


@pytest.fixture
def train(
    monkeypatch: pytest.MonkeyPatch, make_trunk: Callable[..., Trunk], make_episodes: Callable[..., Episodes]
) -> Callable[..., Adapter]:
    """train("embeddings", **options): an adapter with such a part."""
    monkeypatch.setitem(registry._table(), "state", dict(registry._table()["state"]))
    registry.register("state", "running", f"{__name__}:RunningMean")
    trunk, episodes, kinds = make_trunk(), make_episodes(), config_of(state="running", bins=8)
    return lambda mode, **options: adapt(
        trunk, episodes, mode, config=CONFIG, adapter_config=kinds, **options
    ).adapter  # fmt: skip


class Stopped(Exception):
    """By a callback."""


def test_a_resumed_training_ends_in_the_bytes_of_an_unbroken_one(train: Callable[..., Adapter], tmp_path: Path) -> None:
    def stop(step: int) -> None:
        if step == 2:
            raise Stopped

    with pytest.raises(Stopped):
        train("embeddings", checkpoint=tmp_path, callbacks=[Hooks(step=stop)])
    resumed, whole = train("embeddings", checkpoint=tmp_path), train("embeddings")
    assert int(whole.state.norm.num_batches_tracked) == 4  # type: ignore[union-attr]
    assert fingerprint(resumed) == fingerprint(whole)
    assert fingerprint(Adapter.load(resumed.save(tmp_path / "adapter"))) == fingerprint(whole)


def test_a_part_that_is_taken_over_keeps_them(train: Callable[..., Adapter]) -> None:
    source = train("embeddings")
    heir = train("ia3", source=source)
    mine, theirs = heir.state.state_dict(), source.state.state_dict()
    assert all(torch.equal(mine[name], theirs[name]) for name in theirs) and len(mine) == len(theirs)
    assert "state.norm.running_mean" in heir.provenance.inherited  # type: ignore[operator]
