import numpy as np
import pytest

from transfer.errors import TransferError
from transfer.evaluation import statistics
from transfer.evaluation.statistics import bootstrap_run_means, difference, iqm, ratio, summarise


def noise(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape)


@pytest.mark.parametrize("n", range(1, 14))
def test_iqm_drops_a_quarter_at_either_end_like_scipy(n: int) -> None:
    values = noise(n, n)
    trimmed = sorted(values)[int(0.25 * n) : n - int(0.25 * n)]  # scipy.stats.trim_mean(values, 0.25)
    assert iqm(values) == pytest.approx(np.mean(trimmed))


def test_iqm_ignores_outliers_and_works_along_the_last_axis() -> None:
    values = np.array([[1.0, 2, 3, 4, 1e9, -1e9, 2, 3], [5.0] * 8])
    assert iqm(values) == pytest.approx([2.5, 5.0])


def test_runs_weigh_the_same_however_many_episodes_they_have() -> None:
    summary = summarise({0: [0.0] * 99, 1: [10.0]})
    assert summary.mean == 5.0
    assert (summary.runs, summary.episodes, summary.run_means) == (2, 100, (0.0, 10.0))


def test_one_run_has_no_interval_and_fewer_than_five_no_iqm() -> None:
    one, four, five = (summarise([noise(i, 10) for i in range(n)]) for n in (1, 4, 5))
    assert one.interval is None and one.iqm is None
    assert four.interval is not None and four.iqm is None and four.iqm_interval is None
    assert five.interval is not None and five.iqm is not None and five.iqm_interval is not None
    assert five.iqm == pytest.approx(iqm(five.run_means))
    assert five.interval[0] < five.mean < five.interval[1]


def test_equal_input_gives_equal_output_in_any_order_of_seeds() -> None:
    runs = {seed: noise(seed, 7 + seed) for seed in range(5)}
    backwards = dict(reversed(runs.items()))
    assert summarise(runs) == summarise(backwards) == summarise(list(runs.values()))
    assert summarise(runs).interval != summarise(runs, seed=1).interval


def test_bootstrap_agrees_with_loops() -> None:
    runs = [noise(1, 3) + 1, noise(2, 8) * 2, noise(3, 5)]
    rng = np.random.default_rng(5)
    loops = np.array(
        [[rng.choice(runs[i], size=len(runs[i])).mean() for i in rng.integers(3, size=3)] for _ in range(4000)]
    )
    fast = bootstrap_run_means(runs, 4000, np.random.default_rng(6))
    assert fast.shape == (4000, 3)
    assert fast.mean() == pytest.approx(loops.mean(), abs=0.05)
    assert fast.mean(1).std() == pytest.approx(loops.mean(1).std(), rel=0.06)


def test_short_runs_never_read_the_padding() -> None:
    draws = bootstrap_run_means([np.array([7.0]), np.full(50, 7.0)], 200, np.random.default_rng(0))
    assert draws == pytest.approx(np.full((200, 2), 7.0))


def test_differences_between_runs_widen_the_interval() -> None:
    alike = summarise([noise(seed, 50) for seed in range(4)])
    apart = summarise([noise(seed, 50) + 10 * seed for seed in range(4)])
    assert alike.interval and apart.interval
    assert np.ptp(apart.interval) > 10 * np.ptp(alike.interval)


def test_the_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    hits = 0
    for trial in range(120):
        runs = rng.normal(size=(10, 1)) + rng.normal(size=(10, 20))
        low, high = summarise(runs, replicates=300, seed=trial).interval or (0, 0)
        hits += low < 0 < high
    assert 0.8 < hits / 120 <= 0.99


@pytest.mark.parametrize("runs", [[], {}, [[]], {3: [1.0], 4: []}, [[1.0, float("nan")]], [[float("inf")]]])
def test_nothing_to_summarise_is_an_error(runs: object) -> None:
    with pytest.raises(TransferError):
        summarise(runs)  # type: ignore[arg-type]


def test_a_difference_is_paired_by_seed() -> None:
    rng = np.random.default_rng(0)
    seeds = {seed: 20.0 * seed for seed in range(8)}
    one = {seed: level + 5 + rng.normal(0, 1, 100) for seed, level in seeds.items()}
    other = {seed: level + rng.normal(0, 1, 50) for seed, level in seeds.items()}
    found = difference(one, other)
    low, high = found.interval
    assert found.seeds == 8 and found.mean == pytest.approx(5, abs=0.2)
    assert 4.5 < low < found.mean < high < 5.5  # although seeds lie 140 apart
    swapped = {seed: other[7 - seed] for seed in seeds}
    assert np.diff(difference(one, swapped).interval)[0] > 50
    assert difference(one, other) == difference(dict(reversed(one.items())), other)


@pytest.mark.parametrize("other", [{0: [1.0]}, {0: [1.0], 2: [1.0]}, {}])
def test_a_difference_needs_common_seeds(other: dict[int, list[float]]) -> None:
    with pytest.raises(TransferError, match="two seeds"):
        difference({0: [1.0], 1: [2.0]} if len(other) != 1 else {0: [1.0]}, other)


@pytest.mark.parametrize(
    ("differences", "p"),
    [
        ([1, 2, 3, 4, 5], 2 / 32),
        ([-1, -2, -3, -4, -5], 2 / 32),
        ([-1, 2, 3, 4, 5], 4 / 32),
        ([0, 0, 0], 1),
        ([1, -1], 1),
    ],
)
def test_p_counts_the_signs_that_give_as_much(differences: list[float], p: float) -> None:
    one = {seed: [value, value] for seed, value in enumerate(differences)}
    assert difference(one, {seed: [0.0] for seed in one}).p == pytest.approx(p)


def test_p_of_many_seeds_is_drawn() -> None:
    rng = np.random.default_rng(1)
    same, apart = ({seed: rng.normal(shift, 1, 5) for seed in range(20)} for shift in (0, 1))
    none = {seed: [0.0] for seed in range(20)}
    assert difference(same, none).p > 0.05 and difference(apart, none).p < 0.001


def test_a_ratio_is_one_of_means_and_its_interval_is_paired_by_seed() -> None:
    found = ratio({0: [20.0] * 3, 1: [40.0]}, {0: [10.0], 1: [10.0]}, {0: [50.0], 1: [50.0, 50.0]})
    assert (found.seeds, found.gap, found.gap_interval) == (2, 40.0, (40.0, 40.0))
    assert found.value == 0.5 and found.interval == (0.25, 0.75)  # 10 of 40, and 30 of 40
    halfway = ratio(*({seed: [part * 10.0**seed] for seed in range(4)} for part in (2, 1, 3)))
    assert halfway.value == pytest.approx(0.5) and halfway.interval == pytest.approx((0.5, 0.5))


def test_a_ratio_without_a_sure_gap_has_no_value() -> None:
    for high in ({0: [0.0], 1: [90.0]}, {0: [10.0], 1: [10.0]}, {0: [-50.0], 1: [-60.0]}):
        found = ratio({0: [20.0], 1: [40.0]}, {0: [10.0], 1: [10.0]}, high)
        assert found.value is None and found.interval is None and found.gap_interval[0] <= 0


def test_a_gap_that_is_rarely_closed_leaves_a_finite_interval() -> None:
    low = {seed: noise(seed, 20) for seed in range(6)}
    high = {seed: noise(seed + 50, 20) + 1.5 * seed - 1.2 for seed in range(6)}
    one = {seed: noise(seed + 90, 20) + seed for seed in range(6)}
    found = ratio(one, low, high)
    assert found.interval is not None and found.gap_interval[0] < 1
    assert np.isfinite(found.interval).all() and found.interval[0] < (found.value or 0) < found.interval[1]


def test_the_interval_of_a_ratio_covers_the_truth_about_as_often_as_it_says() -> None:
    rng, hits = np.random.default_rng(0), 0
    for _ in range(100):
        shared = rng.normal(size=(8, 1))
        ways = [dict(enumerate(level + shared + rng.normal(size=(8, 10)))) for level in (5.0, 0.0, 10.0)]
        low, high = ratio(*ways).interval or (0, 0)
        hits += low < 0.5 < high
    assert 80 <= hits <= 100


@pytest.mark.parametrize("seeds", [((0, 1), (0, 1), (0, 2)), ((0,), (0,), (0,)), ((0, 1), (0, 1, 2), (0, 1))])
def test_a_ratio_of_other_seeds_is_refused(seeds) -> None:
    with pytest.raises(TransferError, match="two seeds or more that all three have"):
        ratio(*({seed: [1.0] for seed in each} for each in seeds))


def test_draws_that_are_kept_are_those_that_are_drawn_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    runs, others = ({seed: noise(seed + by, 3 + seed) for seed in range(4)} for by in (0, 9))
    kept = summarise(runs), difference(runs, others), ratio(others, runs, {s: v + 5 for s, v in runs.items()})
    monkeypatch.setattr(statistics, "KEPT", 0)
    anew = summarise(runs), difference(runs, others), ratio(others, runs, {s: v + 5 for s, v in runs.items()})
    assert kept == anew
