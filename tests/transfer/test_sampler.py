"""Windows: what is in them, how they are drawn, and what they depend on."""

from collections.abc import Callable

import numpy as np
import pytest
import torch

from transfer.episodes import Episodes
from transfer.errors import TransferError
from transfer.sampler import WindowSampler

MakeEpisodes = Callable[..., Episodes]


def test_a_window_holds_the_steps_after_its_first_and_zeros_behind_its_episode(make_episodes: MakeEpisodes) -> None:
    episodes = make_episodes(lengths=(4, 1, 7))
    batch = WindowSampler(episodes, context=5, batch_size=1).windows(torch.arange(12))
    ends = np.repeat(episodes.offsets[1:], episodes.lengths)
    for first in range(12):
        rows = list(range(first, min(first + 5, ends[first])))
        real, padding = slice(0, len(rows)), slice(len(rows), 5)
        assert batch.mask[first].tolist() == [True] * len(rows) + [False] * (5 - len(rows))
        np.testing.assert_array_equal(batch.states[first, real], episodes.states[rows])
        np.testing.assert_array_equal(batch.actions[first, real], episodes.actions[rows])
        np.testing.assert_array_equal(batch.returns[first, real], episodes.returns_to_go[rows])
        start = episodes.offsets[np.searchsorted(episodes.offsets, first, side="right") - 1]
        np.testing.assert_array_equal(batch.times[first, real], np.array(rows) - start)
        for name in ("states", "actions", "returns", "times"):
            assert not getattr(batch, name)[first, padding].any()


def test_every_step_opens_a_window_equally_often(make_episodes: MakeEpisodes) -> None:
    sampler = WindowSampler(make_episodes(lengths=(30, 1, 9)), context=5, batch_size=1000)
    draws = torch.cat([sampler.starts(step) for step in range(40)])
    counts = torch.bincount(draws, minlength=40)
    assert len(counts) == 40
    # 1000 expected, with a deviation of 31; a draw by episode would give the single step 13,333
    assert counts.min() > 850 and counts.max() < 1150


def test_a_batch_is_a_function_of_seed_and_step(make_episodes: MakeEpisodes) -> None:
    episodes = make_episodes()
    sampler = WindowSampler(episodes, context=5, batch_size=16, seed=3)
    torch.manual_seed(1)
    first = [sampler.starts(step).tolist() for step in (0, 1, 7)]
    torch.manual_seed(2)
    np.random.seed(5)
    fresh = WindowSampler(episodes, context=5, batch_size=16, seed=3)
    assert [fresh.starts(step).tolist() for step in (7, 1, 0)] == first[::-1]
    assert fresh.batch(7).states.equal(sampler.batch(7).states)


def test_blocks_of_rows_make_up_the_batch(make_episodes: MakeEpisodes) -> None:
    sampler = WindowSampler(make_episodes(), context=5, batch_size=6)
    whole, blocks = sampler.batch(4), [sampler.batch(4, block, 3) for block in range(3)]
    for name in ("states", "actions", "returns", "times", "mask"):
        assert torch.equal(torch.cat([getattr(block, name) for block in blocks]), getattr(whole, name))


def test_other_steps_and_other_seeds_draw_other_windows(make_episodes: MakeEpisodes) -> None:
    episodes = make_episodes()
    drawn = {
        tuple(WindowSampler(episodes, 5, 16, seed).starts(step).tolist()) for seed in range(5) for step in range(5)
    }
    assert len(drawn) == 25


def test_read_only_data_are_left_alone(make_episodes: MakeEpisodes, recwarn: pytest.WarningsRecorder) -> None:
    episodes = make_episodes()
    before = episodes.states.copy()
    for array in (episodes.states, episodes.actions):
        array.flags.writeable = False
    batch = WindowSampler(episodes, context=5, batch_size=16).batch(0)
    batch.states.zero_()
    np.testing.assert_array_equal(episodes.states, before)
    assert not recwarn.list


def test_a_window_that_no_episode_fills_is_refused(make_episodes: MakeEpisodes) -> None:
    WindowSampler(make_episodes(lengths=(3, 8, 4)), context=8, batch_size=2)
    with pytest.raises(
        TransferError, match="test/Hopper-v5: every episode is shorter.* 9 steps, the longest has 8.*context"
    ):
        WindowSampler(make_episodes(lengths=(3, 8, 4)), context=9, batch_size=2)


@pytest.mark.parametrize(("context", "batch_size"), [(0, 4), (5, 0)])
def test_windows_without_steps_or_rows_are_refused(make_episodes: MakeEpisodes, context: int, batch_size: int) -> None:
    with pytest.raises(TransferError, match="is too small: at least 1"):
        WindowSampler(make_episodes(), context, batch_size)
