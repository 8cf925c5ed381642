"""Windows: what is in them, how they are drawn, and what they depend on."""

import gc
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from transfer import registry
from transfer.data.episodes import Episodes
from transfer.data.windows import WindowSampler, WindowSpec
from transfer.errors import TransferError

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
        np.testing.assert_array_equal(batch.rewards[first, real], episodes.rewards[rows])
        np.testing.assert_array_equal(batch.column("returns")[first, real], episodes.returns_to_go[rows])
        start = episodes.offsets[np.searchsorted(episodes.offsets, first, side="right") - 1]
        np.testing.assert_array_equal(batch.times[first, real], np.array(rows) - start)
        for values in (batch.states, batch.actions, batch.rewards, batch.column("returns"), batch.times):
            assert not values[first, padding].any()


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
    for name in ("states", "actions", "rewards", "times", "mask"):
        assert torch.equal(torch.cat([getattr(block, name) for block in blocks]), getattr(whole, name))
    assert torch.equal(torch.cat([block.column("returns") for block in blocks]), whole.column("returns"))


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


def test_episodes_of_one_step_are_told_what_helps(make_episodes: MakeEpisodes) -> None:
    episodes = make_episodes(lengths=(1, 1, 1))
    with pytest.raises(TransferError, match="the longest has 1. Set context to 1, or join steps"):
        WindowSampler(episodes, context=20, batch_size=2)
    assert WindowSampler(episodes, context=1, batch_size=2).batch(0).mask.all()
    assert WindowSampler(make_episodes(lengths=(3,)), context=2, batch_size=2).batch(0).mask.any()


def test_a_window_that_no_episode_fills_is_refused(make_episodes: MakeEpisodes) -> None:
    WindowSampler(make_episodes(lengths=(3, 8, 4)), context=8, batch_size=2)
    with pytest.raises(
        TransferError, match="test/Hopper-v5: every episode is shorter.* 9 steps, the longest has 8.*context"
    ):
        WindowSampler(make_episodes(lengths=(3, 8, 4)), context=9, batch_size=2)


@pytest.mark.parametrize(
    "settings",
    [
        {"context": 0}, {"batch_size": 0}, {"context": 2.5}, {"batch_size": "4"}, {"batch_size": 10**15},
        {"seed": -1}, {"context": True}, {"context": float("nan")},
    ],
)  # fmt: skip
def test_settings_that_are_no_sizes_are_refused(make_episodes: MakeEpisodes, settings: dict[str, Any]) -> None:
    (name,) = settings
    with pytest.raises(TransferError, match=f"{name}="):
        WindowSampler(make_episodes(), **{"context": 5, "batch_size": 4, **settings})


def test_numbers_of_numpy_are_numbers(make_episodes: MakeEpisodes) -> None:
    plain = WindowSampler(make_episodes(), 5, 4, 3)
    sampler = WindowSampler(make_episodes(), np.int64(5), np.int32(4), np.uint8(3))  # type: ignore[arg-type]
    assert (type(sampler.context), type(sampler.batch_size), type(sampler.seed)) == (int, int, int)
    assert torch.equal(sampler.batch(2).states, plain.batch(np.int64(2)).states)  # type: ignore[arg-type]


@pytest.mark.parametrize(("block", "blocks"), [(0, 3), (2, 2), (-1, 2), (0, 16)])
def test_blocks_that_would_lose_rows_are_refused(make_episodes: MakeEpisodes, block: int, blocks: int) -> None:
    with pytest.raises(TransferError, match=f"a batch of 8 windows has no block {block} of {blocks} equal ones"):
        WindowSampler(make_episodes(), context=5, batch_size=8).batch(0, block, blocks)


@pytest.mark.parametrize(("block", "blocks"), [(0, 0), ("a", 2), (0, None), (0.5, 2), (True, 2)])
def test_blocks_that_are_no_numbers_are_refused(make_episodes: MakeEpisodes, block: Any, blocks: Any) -> None:
    with pytest.raises(TransferError, match="blocks?="):
        WindowSampler(make_episodes(), context=5, batch_size=8).batch(0, block, blocks)


@pytest.mark.parametrize("starts", [torch.tensor([30]), torch.tensor([-1]), torch.tensor([0.5]), [[0]], "a", None])
def test_windows_from_outside_the_data_are_refused(make_episodes: MakeEpisodes, starts: Any) -> None:
    with pytest.raises(TransferError, match="starts"):
        WindowSampler(make_episodes(), context=5, batch_size=8).windows(starts)


def test_no_starts_make_a_batch_of_no_windows(make_episodes: MakeEpisodes) -> None:
    batch = WindowSampler(make_episodes(), 4, 2, seed=0).windows(torch.zeros(0, dtype=torch.int64))
    assert batch.states.shape == (0, 4, 11) and batch.actions.shape == (0, 4, 3)
    assert batch.rewards.shape == batch.column("returns").shape == (0, 4)


def test_one_reward_beyond_all_others_leaves_other_episodes_alone(make_episodes: MakeEpisodes) -> None:
    one, lengths = make_episodes(lengths=(6, 9)), [6, 9]
    rewards = one.rewards.copy()
    rewards[2] = -1e16
    huge = Episodes.from_arrays(one.states, one.actions, rewards, lengths, one.env_spec)
    windows = [WindowSampler(data, context=3, batch_size=1).windows(torch.arange(6, 15)) for data in (one, huge)]
    assert torch.equal(windows[0].column("returns"), windows[1].column("returns"))


@pytest.mark.parametrize("device", [None, 0.5, np.array([1.0]), "gpu", 5])
def test_a_device_that_is_none_is_refused(make_episodes: MakeEpisodes, device: Any) -> None:
    with pytest.raises(TransferError, match="unknown device"):
        WindowSampler(make_episodes(), 5, 2, device=device)


def test_read_only_data_outlive_their_episodes_and_no_filter_of_warnings_is_touched(
    make_episodes: MakeEpisodes,
) -> None:
    filters, seen = warnings.filters, list(warnings.filters)
    episodes = make_episodes()
    for array in (episodes.states, episodes.actions):
        array.flags.writeable = False
    wanted = episodes.states.copy()
    sampler = WindowSampler(episodes, context=5, batch_size=16)
    del episodes, array
    gc.collect()
    assert warnings.filters is filters and warnings.filters == seen
    first = sampler.starts(0)
    for row, start in zip(sampler.windows(first).states, first.tolist(), strict=True):
        np.testing.assert_array_equal(row[0], wanted[start])


@pytest.mark.parametrize(
    ("column", "said"),
    [
        (lambda episodes, seed: [1.0], "what the column 'mine' returns is of type list; ndarray is needed"),
        (lambda episodes, seed: np.ones(3), "the column 'mine' is float64"),
    ],
)
def test_a_column_of_a_stranger_s_that_is_none_is_refused(
    column: Any, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(registry._table()["column"], "mine", column)
    data = Episodes.from_arrays(np.zeros((8, 11)), np.zeros((8, 3)), np.ones(8), [4, 4], "Hopper-v5")
    with pytest.raises(TransferError, match=said):
        WindowSampler(data, 2, 3, spec=WindowSpec(columns=("mine",)))
