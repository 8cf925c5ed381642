"""Which episodes are held out, and parts of episodes."""

import pickle
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from transfer.adapters.methods.udrl import lengths_by_return
from transfer.data.episodes import Episodes
from transfer.data.measured.measure import measure
from transfer.data.packed import STEPS
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


def test_statistics_of_tails_that_were_cut_off_are_those_of_whole_episodes(make_episodes: MakeEpisodes) -> None:
    data = make_episodes(lengths=(9, 5, 15))
    parts = held_out(data)
    picked = parts[0].pick([2, 0])
    for part, whole in ((parts[0], data), (parts[1], data), (picked, data.pick([2, 0])), (parts[0][1:], data[1:])):
        assert part.returns.tolist() == whole.returns.tolist() and part.quantile(0.95) == whole.quantile(0.95)
        assert part.whole.lengths.tolist() == whole.lengths.tolist() != part.lengths.tolist()
        assert lengths_by_return(part) == lengths_by_return(whole)
        assert measure(part).return_quantiles == measure(whole).return_quantiles
    assert picked.returns_to_go[0] == data.returns_to_go[14] and parts[0].content_hash != data.content_hash
    assert data.whole is data and data.pick([2, 0]).whole.lengths.tolist() == [15, 9]


def test_the_mean_return_to_go_that_scales_returns_is_that_of_whole_episodes() -> None:
    states, rewards = np.ones((25, 3)), np.arange(25.0)
    data = Episodes.from_arrays(states, np.ones((25, 1)), rewards, [10, 15], "Pendulum-v1")
    whole, part = measure(data), measure(pickle.loads(pickle.dumps(held_out(data)[0])))
    assert whole.return_means and (part.return_means, part.return_every) == (whole.return_means, whole.return_every)


def test_parts_of_the_same_steps_but_other_whole_episodes_are_told_apart(make_episodes: MakeEpisodes) -> None:
    data = make_episodes(lengths=(10,))
    kept, _ = held_out(data)
    alone = replace(data, offsets=np.array([0, 8]), **{key: getattr(data, key)[:8] for key in STEPS})
    assert kept.actions.tobytes() == alone.actions.tobytes() and kept.content_hash != alone.content_hash


def test_joined_stretches_stay_stretches(make_episodes: MakeEpisodes) -> None:
    one, other = make_episodes(lengths=(9, 5)), make_episodes(lengths=(15,), seed=1)
    joined, whole = Episodes.join([held_out(one)[0], other]), Episodes.join([one, other])
    assert joined.lengths.tolist() == [8, 4, 15] and joined.returns.tolist() == whole.returns.tolist()
    assert joined.steps_left[:2].tolist() == [9, 8] and joined.whole.content_hash == whole.content_hash


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
