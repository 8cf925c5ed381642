"""The cache of keys and values: continued, branched, and selected to some environments."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from tests.lively import some_ia3
from transfer.models.trunk import Trunk
from transfer.models.tuning import Tuning
from transfer.runtime.layers.cache import Cache

MakeTrunk = Callable[..., Trunk]


def tokens(rows: int = 3, length: int = 9, seed: int = 0) -> Tensor:
    return torch.randn(rows, length, 16, generator=torch.Generator().manual_seed(seed))


def read(trunk: Trunk, pieces: list[Tensor], cache: Cache, tuning: Tuning | None = None) -> tuple[Tensor, Cache]:
    """Hidden vectors of pieces that are read one after another, and the cache behind them."""
    hidden = []
    for piece in pieces:
        part, grown = trunk(piece, tuning, cache=cache)
        assert grown is not None
        cache = grown
        hidden.append(part)
    return torch.cat(hidden, 1), cache


def close(one: Tensor, other: Tensor) -> None:
    torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("sizes", [(9,), (1,) * 9, (4, 5), (1, 3, 2, 3)])
@pytest.mark.parametrize("capacity", [1, 9, 50])
def test_reading_in_pieces_equals_reading_at_once(make_trunk: MakeTrunk, sizes: tuple[int, ...], capacity: int) -> None:
    trunk, x = make_trunk(), tokens()
    hidden, cache = read(trunk, list(x.split(sizes, 1)), trunk.empty_cache(3, capacity))
    close(hidden, trunk(x)[0])
    assert cache.length == 9


def test_reading_in_pieces_keeps_the_tuning(make_trunk: MakeTrunk) -> None:
    trunk, x = make_trunk(), tokens()
    tuning = some_ia3()
    hidden, _ = read(trunk, list(x.split((4, 5), 1)), trunk.empty_cache(3, 9), tuning)
    close(hidden, trunk(x, tuning)[0])


@pytest.mark.parametrize("capacity", [4, 20])
def test_two_branches_of_one_cache_do_not_see_each_other(make_trunk: MakeTrunk, capacity: int) -> None:
    trunk, start, left, right = make_trunk(), tokens(length=4), tokens(length=3, seed=1), tokens(length=3, seed=2)
    _, common = read(trunk, [start], trunk.empty_cache(3, capacity))
    _, one = read(trunk, [left], common)
    _, other = read(trunk, [right], common)
    end = tokens(length=2, seed=3)
    close(read(trunk, [end], one)[0], trunk(torch.cat([start, left, end], 1))[0][:, 7:])
    close(read(trunk, [end], other)[0], trunk(torch.cat([start, right, end], 1))[0][:, 7:])
    close(read(trunk, [end], common)[0], trunk(torch.cat([start, end], 1))[0][:, 4:])


def test_appending_to_the_newest_value_copies_nothing(make_trunk: MakeTrunk) -> None:
    trunk = make_trunk()
    empty = trunk.empty_cache(3, 9)
    _, first = read(trunk, [tokens(length=4)], empty)
    _, second = read(trunk, [tokens(length=5)], first)
    assert empty.storage is first.storage is second.storage
    assert (empty.length, first.length, second.length) == (0, 4, 9)


@pytest.mark.parametrize("rows", [torch.tensor([2, 0]), torch.tensor([True, False, True])], ids=["indices", "mask"])
def test_selected_rows_go_on_as_if_they_had_been_alone(make_trunk: MakeTrunk, rows: Tensor) -> None:
    trunk, start, end = make_trunk(), tokens(length=4), tokens(length=2, seed=1)
    _, cache = read(trunk, [start], trunk.empty_cache(3, 9))
    hidden, _ = read(trunk, [end[rows]], cache.select(rows))
    close(hidden, trunk(torch.cat([start, end], 1)[rows])[0][:, 4:])


def test_a_selection_shares_nothing_with_its_origin(make_trunk: MakeTrunk) -> None:
    trunk, start, end = make_trunk(), tokens(length=4), tokens(length=2, seed=1)
    _, cache = read(trunk, [start], trunk.empty_cache(3, 9))
    chosen = cache.select(torch.tensor([0, 1, 2]))
    read(trunk, [tokens(length=2, seed=2)], chosen)
    chosen.storage.keys.zero_()
    close(read(trunk, [end], cache)[0], trunk(torch.cat([start, end], 1))[0][:, 4:])


def test_a_mask_covers_the_cached_tokens_too(make_trunk: MakeTrunk) -> None:
    trunk, x = make_trunk(), tokens(length=6)
    mask = torch.ones(6, 6, dtype=torch.bool).tril()
    mask[4:, 1] = False
    _, cache = read(trunk, [x[:, :4]], trunk.empty_cache(3, 6))
    hidden, _ = trunk(x[:, 4:], mask=mask[4:], cache=cache)
    close(hidden, trunk(x, mask=mask)[0][:, 4:])
