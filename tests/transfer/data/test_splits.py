"""Which episodes are held out, and parts of episodes."""

from collections.abc import Callable

import numpy as np
import pytest

from transfer.data.episodes import Episodes
from transfer.data.splits import held_out
from transfer.data.windows import WindowSampler
from transfer.errors import TransferError

MakeEpisodes = Callable[..., Episodes]


def starts(episodes: Episodes) -> list[float]:
    """The first number of each episode, by which the test data tell them apart."""
    return [float(one.states[0, 0]) for one in episodes]


@pytest.mark.parametrize("count", [10, 25, 61])
def test_every_tenth_of_many_episodes_is_held_out(make_episodes: MakeEpisodes, count: int) -> None:
    data = make_episodes(lengths=(3,) * count)
    train, held = held_out(data)
    assert sorted(starts(train) + starts(held)) == sorted(starts(data))
    numbers = [starts(data).index(one) for one in starts(held)]
    assert len(set(np.diff(numbers)) - {10}) == 0 and count // 10 <= len(held) <= count // 10 + 1
    assert starts(held_out(data)[1]) == starts(held)


def test_the_first_that_is_held_out_depends_on_the_content(make_episodes: MakeEpisodes) -> None:
    firsts = set()
    for seed in range(12):
        data = make_episodes(lengths=(3,) * 20, seed=seed)
        firsts.add(starts(data).index(starts(held_out(data)[1])[0]))
    assert len(firsts) > 3


def test_of_few_episodes_the_last_fifth_of_each_is_held_out(make_episodes: MakeEpisodes) -> None:
    data = make_episodes(lengths=(9, 5, 15))
    train, held = held_out(data)
    assert (train.lengths.tolist(), held.lengths.tolist()) == ([8, 4, 12], [1, 1, 3])
    rows = [*range(8), *range(9, 13), *range(14, 26)], [8, 13, 26, 27, 28]
    for part, taken in zip((train, held), rows, strict=True):
        for name in ("states", "actions", "rewards", "returns_to_go", "times", "steps_left"):
            assert np.array_equal(getattr(part, name), getattr(data, name)[list(taken)]), name
        assert part.env_spec is data.env_spec


def test_windows_of_a_tail_have_the_times_and_returns_of_the_whole(make_episodes: MakeEpisodes) -> None:
    data = make_episodes(lengths=(15,))
    _, held = held_out(data)
    batch = WindowSampler(held, 3, 1).windows([0])
    assert batch.times.tolist() == [[12, 13, 14]]
    assert np.array_equal(batch.column("returns")[0].numpy(), data.returns_to_go[12:])


def test_episodes_too_short_to_hold_out_a_fifth_are_refused(make_episodes: MakeEpisodes) -> None:
    with pytest.raises(TransferError, match="an episode of 2 steps has no fifth to hold out"):
        held_out(make_episodes(lengths=(9, 2)))


def test_samples_are_nested_and_in_order(make_episodes: MakeEpisodes) -> None:
    data = make_episodes(lengths=(3,) * 30)
    sizes = {n: starts(data.sample(n, seed=4)) for n in (1, 5, 20, 30)}
    assert all(set(sizes[small]) < set(sizes[large]) for small, large in ((1, 5), (5, 20), (20, 30)))
    assert all([starts(data).index(one) for one in found] == sorted(starts(data).index(one) for one in found)
               for found in sizes.values())  # fmt: skip
    assert starts(data.sample(5, seed=5)) != sizes[5] == starts(data.sample(5, seed=4))
    for count in (0, 31, -1, 2.5):
        with pytest.raises(TransferError, match="the number of episodes"):
            data.sample(count)  # type: ignore[arg-type]


def test_episodes_are_picked_by_number(make_episodes: MakeEpisodes) -> None:
    data = make_episodes()
    assert starts(data.pick([2, 0])) == [starts(data)[2], starts(data)[0]]
    assert data.pick([1]).content_hash == data[1:2].content_hash
    for numbers in ([], [4], [-1]):
        with pytest.raises(TransferError, match="one or more, counted from 0"):
            data.pick(numbers)
