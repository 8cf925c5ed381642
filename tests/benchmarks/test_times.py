"""Two commits are timed in turns, and compared within a turn."""

from collections.abc import Callable

from benchmarks.commits.times import NAMES, table, take_turns


def test_two_commits_are_compared_pair_by_pair() -> None:
    """A machine that becomes ten times slower in the middle moves no ratio."""
    pairs = [(1.0, 1.01), (1.0, 1.02), (10.0, 10.3), (10.0, 10.4), (10.0, 10.5)]
    assert table({"act": pairs}, "abc", "def").splitlines() == [
        "| | abc, ms | def, ms | ratio | quartiles |",
        "|---|---:|---:|---:|---:|",
        "| act | 10000.000 | 10300.000 | 1.030 | 1.020 to 1.040 |",
    ]


def test_two_commits_take_turns_and_the_first_round_is_thrown_away() -> None:
    asked: list[int] = []

    def timer(which: int) -> Callable[[str], float]:
        return lambda name: asked.append(which) or float(which + len(asked) / 1000)

    found = take_turns([timer(0), timer(1)], rounds=2)
    once = len(NAMES)
    assert asked == [1, 0] * once + [0, 1] * once + [1, 0] * once
    assert list(found) == list(NAMES)
    assert all(len(pairs) == 2 and all(old < 1 < new for old, new in pairs) for pairs in found.values())
