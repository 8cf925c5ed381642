"""Weights of joined datasets: how often each is drawn, what keeps them, what depends on them."""

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from transfer.data.episodes import Episodes
from transfer.data.splits import held_out
from transfer.data.windows import MixedWindows, WindowSampler
from transfer.errors import TransferError
from transfer.models.sequence_model import TransferModel
from transfer.training.callbacks import Callback
from transfer.training.fit import fit
from transfer.training.train_config import TrainConfig

MakeEpisodes = Callable[..., Episodes]


class StopAfterOne(Callback):
    """Stops a training by hand after its first step, whose state is saved."""

    def step(self, done: int) -> None:
        raise KeyboardInterrupt


@pytest.fixture
def parts(make_episodes: MakeEpisodes) -> list[Episodes]:
    """A dataset of 60 steps and one of 18, in episodes of several lengths."""
    return [make_episodes(lengths=(20, 5, 5, 30)), make_episodes(lengths=(7, 5, 6), seed=1)]


def counts(episodes: Episodes, draws: int = 40_000, **options: Any) -> np.ndarray[Any, Any]:
    """(N,) how often each step opens a window."""
    sampler = WindowSampler(episodes, context=3, batch_size=1000, **options)
    starts = torch.cat([sampler.starts(step) for step in range(draws // 1000)])
    return torch.bincount(starts, minlength=episodes.num_steps).numpy()


@pytest.mark.parametrize(("weights", "share"), [([1, 3], 0.75), ([1, 0.0], 0.0), ([0, 5], 1.0), ([1e308, 1e308], 0.5)])
def test_each_dataset_gets_its_share_of_the_windows_and_its_steps_are_equally_likely(
    weights: list[float], share: float, parts: list[Episodes]
) -> None:
    found = counts(Episodes.join(parts, weights))
    assert len(found) == 78  # 8 deviations below
    assert abs(found[60:].sum() / 40_000 - share) <= 8 * (share * (1 - share) / 40_000) ** 0.5
    for steps, of_all in ((found[:60], 1 - share), (found[60:], share)):
        expected = 40_000 * of_all / len(steps)
        assert np.abs(steps - expected).max() <= 6 * expected**0.5


def test_parts_of_the_episodes_keep_the_shares(parts: list[Episodes]) -> None:
    joined = Episodes.join(parts, [1, 3])
    train, kept = held_out(joined)  # the last fifth of each of seven episodes
    for part, first in (
        (joined.pick([0, 6, 3]), np.array([1, 0, 1])),
        (joined[2:5], np.array([1, 1, 0])),
        (train, np.arange(7) < 4),
        (pickle.loads(pickle.dumps(joined)), np.arange(7) < 4),
    ):
        opened = np.add.reduceat(counts(part), part.offsets[:-1])  # (E',)
        assert abs(opened[first.astype(bool)].sum() / 40_000 - 0.25) < 0.02
    assert kept.mixture is not None


def test_joining_once_more_multiplies_shares(parts: list[Episodes], make_episodes: MakeEpisodes) -> None:
    joined = Episodes.join(parts, [1, 3])
    third = make_episodes(lengths=(7,), seed=2)
    with pytest.raises(TransferError, match="with weights of its own already"):
        Episodes.join([joined, third])
    found = counts(Episodes.join([joined, third], [1, 1]))
    np.testing.assert_allclose([found[:60].sum(), found[60:78].sum(), found[78:].sum()], [5e3, 15e3, 20e3], rtol=0.05)


def test_without_weights_draws_are_those_of_one_dataset(parts: list[Episodes]) -> None:
    joined = Episodes.join(parts)
    arrays = (joined.states, joined.actions, joined.rewards, joined.lengths)
    alone = Episodes.from_arrays(*arrays, joined.env_spec)
    assert joined.mixture is None
    assert WindowSampler(joined, 3, 64).starts(5).equal(WindowSampler(alone, 3, 64).starts(5))
    assert WindowSampler(joined, 3, 64).identity().keys() == {"seed", "data"}


def test_weights_leave_the_contents_and_decide_the_draws(parts: list[Episodes]) -> None:
    even, one, other, scaled = [Episodes.join(parts, w) for w in (None, [1, 3], [1, 2], [2, 6])]
    assert even.content_hash == one.content_hash and held_out(even)[1].content_hash == held_out(one)[1].content_hash
    samplers = [WindowSampler(each, 3, 64) for each in (even, one, other, scaled)]
    assert samplers[1].starts(0).equal(samplers[3].starts(0)) and samplers[1].identity() == samplers[3].identity()
    assert not samplers[1].starts(0).equal(samplers[2].starts(0))
    identities = [str(each.identity()) for each in samplers[:3]]
    mixed = [str(MixedWindows({"a": samplers[0], "b": each}).identity()) for each in samplers[:3]]
    assert len(set(identities)) == len(set(mixed)) == 3
    assert MixedWindows({"a": samplers[0]}).identity().keys() == {"seed", "data"}


def test_a_training_with_other_weights_does_not_go_on(
    parts: list[Episodes], make_model: Callable[..., TransferModel], tmp_path: Path
) -> None:
    config = TrainConfig(steps=2, batch_size=4, context=3, log_every=1, save_every=1)

    def train(weights: list[float] | None, *callbacks: Callback) -> float:
        sampler = WindowSampler(Episodes.join(parts, weights), 3, 4)
        model, state = make_model(context=3), tmp_path / "state"
        return fit(model, sampler, config, ["state"], checkpoint=state, callbacks=callbacks).final_loss

    with pytest.raises(KeyboardInterrupt):
        train([1, 3], StopAfterOne())
    for weights in ([1, 2], None):
        with pytest.raises(TransferError, match="mixture"):
            train(weights)
    assert train([2, 6]) > 0


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ([1], "weights: one number for each of 2 datasets is needed"),
        ([1, 2, 3], "one number for each of 2"),
        (3, "one number for each of 2"),
        ([0, 0], "all zero"),
        ([1, -1], "weights"),
        ([1, float("nan")], "weights"),
        ([1, float("inf")], "weights"),
        ([1, "2"], "weights"),
    ],
)
def test_weights_that_are_none_are_refused(weights: Any, message: str, parts: list[Episodes]) -> None:
    with pytest.raises(TransferError, match=message):
        Episodes.join(parts, weights)


def test_a_dataset_with_a_share_and_no_episode_left_is_refused_where_windows_are_drawn(parts: list[Episodes]) -> None:
    left = Episodes.join(parts, [1, 3]).pick([0, 1])
    sampler = WindowSampler(left, 3, 4)
    assert sampler.windows(torch.arange(4)).mask.any()  # as for an error on held-out episodes
    with pytest.raises(TransferError, match=r"give test/Hopper-v5 75% of the windows, and none"):
        sampler.starts(0)
    assert counts(Episodes.join(parts, [1, 0]).pick([0, 1])).min() > 0
