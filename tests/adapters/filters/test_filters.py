"""Filters keep whole episodes, in their order."""

import numpy as np
import pytest

from transfer.data.episodes import Episodes
from transfer.errors import TransferError
from transfer.registry import PartSpec, build, known


def episodes(returns: list[float], lengths: list[int]) -> Episodes:
    steps = sum(lengths)
    rewards = np.concatenate([np.full(n, total / n) for total, n in zip(returns, lengths, strict=True)])
    states = np.repeat(np.arange(len(lengths), dtype=float), lengths)[:, None] * np.ones(11)
    return Episodes.from_arrays(states, np.zeros((steps, 3)), rewards, lengths, "Hopper-v5", name="test/filters")


def kept(data: Episodes, kind: str, **options: float) -> list[int]:
    found = build("filter", PartSpec(kind, options), data)
    assert found.env_spec is data.env_spec
    return [int(one.states[0, 0]) for one in found]


def test_the_best_are_taken_until_a_share_of_the_steps_is() -> None:
    data = episodes([5.0, 9.0, 1.0, 7.0], [10, 10, 70, 10])
    assert kept(data, "best-episodes") == [1]
    assert kept(data, "best-episodes", share=0.1001) == [1, 3]
    assert kept(data, "best-episodes", share=0.3) == [0, 1, 3]
    assert kept(data, "best-episodes", share=0.31) == kept(data, "best-episodes", share=1.0) == [0, 1, 2, 3]


def test_the_best_are_told_by_their_whole_return_and_not_by_their_mean() -> None:
    assert kept(episodes([10.0, 9.0], [10, 1]), "best-episodes", share=0.05) == [0]


def test_experts_reach_a_share_of_the_best_neighbourhood() -> None:
    returns = [0.0] * 10 + [100.0, 100.0, 79.0, 81.0, 300.0] + [0.0] * 5
    data = episodes(returns, [2] * 20)  # windows of 2: the best is (81 + 300) / 2 = 190.5, four fifths of it 152.4
    assert kept(data, "expert") == [14]
    assert kept(data, "expert", share=0.5) == [10, 11, 14]


def test_negative_returns_miss_a_share_too() -> None:
    assert kept(episodes([-100.0, -110.0, -130.0], [2] * 3), "expert") == [0, 1]


@pytest.mark.parametrize("kind", known("filter"))
@pytest.mark.parametrize("share", [0.0, 1.5, -1.0, float("nan"), "half"])
def test_unsound_shares_are_refused(kind: str, share: float) -> None:
    with pytest.raises(TransferError, match=r"filter\.share"):
        build("filter", PartSpec(kind, {"share": share}), episodes([1.0], [2]))
