"""Tokenizers: saturation, ties, tiny data, both tails, exact storage, and scikit-learn as the oracle."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn.preprocessing import KBinsDiscretizer

from transfer import registry
from transfer.adapters.tokenizers.quantile import QuantileTokenizer
from transfer.adapters.tokenizers.quantile_edges import quantiles
from transfer.adapters.tokenizers.tokenizer import Tokenizer, make_tokenizer
from transfer.errors import TransferError

LARGEST = float(np.finfo(np.float32).max)
KINDS = sorted(registry.known("tokenizer"))


def clipped(share: float, n: int = 5000, seed: int = 0) -> np.ndarray:
    """(n, 1) float32, `share` of it saturated at +-1 and the rest uniform."""
    rng = np.random.default_rng(seed)
    values = rng.uniform(-0.98, 0.98, n)
    values[: int(share * n)] = rng.choice([-1.0, 1.0], int(share * n))
    return values.astype(np.float32)[:, None]


# Few values, some of them frequent: data on which plain quantile bins fail.
tied = st.sampled_from([-1.0, 1.0, 0.0, 0.5, float(np.nextafter(np.float32(1), np.float32(0)))])
numbers = st.one_of(tied, st.floats(-300, 300, width=32))
columns = hnp.arrays(np.float32, st.tuples(st.integers(1, 80), st.integers(1, 3)), elements=numbers)


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=60, deadline=None, derandomize=True)
@given(values=columns, bins=st.integers(2, 12))
def test_ids_are_ordered_bounded_and_stable_under_decoding(kind: str, values: np.ndarray, bins: int) -> None:
    tokenizer = make_tokenizer(kind, bins).fit(values)
    ids = tokenizer.transform(values)
    assert ids.dtype == np.int64 and ids.min() >= 0 and (ids.max(axis=0) < tokenizer.n_used_).all()
    assert (np.diff(ids[values.argsort(axis=0), np.arange(values.shape[1])], axis=0) >= 0).all()
    for dimension, used in enumerate(tokenizer.n_used_):
        every = np.zeros((used, values.shape[1]), np.int64)
        every[:, dimension] = np.arange(used)
        np.testing.assert_array_equal(tokenizer.transform(tokenizer.inverse_transform(every)), every)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(values=columns, bins=st.integers(2, 12))
def test_every_quantile_bin_holds_data_and_decodes_to_its_mean(values: np.ndarray, bins: int) -> None:
    tokenizer = QuantileTokenizer(bins).fit(values)
    ids = tokenizer.transform(values)
    for dimension in range(values.shape[1]):
        column, used = values[:, dimension].astype(np.float64), ids[:, dimension]
        assert set(used) == set(range(tokenizer.n_used_[dimension]))
        means = [column[used == i].mean() for i in range(tokenizer.n_used_[dimension])]
        np.testing.assert_allclose(tokenizer.centers_[dimension, : len(means)], means, rtol=1e-6, atol=1e-12)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(values=hnp.arrays(np.float32, st.integers(1, 80), elements=numbers), bins=st.integers(2, 12))
def test_atoms_decode_exactly_unless_they_outnumber_the_bins(values: np.ndarray, bins: int) -> None:
    distinct, counts = np.unique(values, return_counts=True)
    atoms = distinct[counts * bins > len(values)]
    if len(distinct) > bins and 2 * len(atoms) + 1 > bins:
        return
    tokenizer = QuantileTokenizer(bins).fit(values[:, None])
    np.testing.assert_array_equal(tokenizer.inverse_transform(tokenizer.transform(atoms[:, None]))[:, 0], atoms)


@pytest.mark.parametrize("share", [0.3, 0.5, 0.9, 1.0])
def test_saturated_actions_decode_to_exactly_one(share: float) -> None:
    values = clipped(share)
    tokenizer = QuantileTokenizer(64).fit(values)
    np.testing.assert_array_equal(tokenizer.inverse_transform(tokenizer.transform([[-1.0], [1.0]])), [[-1.0], [1.0]])
    assert tokenizer.n_used_ == (2 if share == 1.0 else 64)
    assert tokenizer.report(values)["mae"][0] < 0.01


def test_an_atom_keeps_its_bin_when_its_neighbours_are_one_float_away() -> None:
    one = np.float32(1)
    below, above = np.nextafter(one, np.float32(0)), np.nextafter(one, np.float32(2))
    values = np.concatenate([np.full(100, one), np.full(3, below), np.full(3, above), np.linspace(-5, 5, 100)])
    tokenizer = QuantileTokenizer(16).fit(values[:, None])
    ids = tokenizer.transform(np.array([below, one, above])[:, None])[:, 0]
    assert ids[0] < ids[1] < ids[2]
    assert tokenizer.inverse_transform([[ids[1]]]) == one


def test_an_atom_inside_the_range_splits_the_rest() -> None:
    values = np.concatenate([np.zeros(500), np.random.default_rng(0).normal(size=500)])[:, None]
    tokenizer = QuantileTokenizer(32).fit(values)
    assert tokenizer.n_used_ == 32
    assert tokenizer.inverse_transform(tokenizer.transform([[0.0]])) == 0.0


def test_atoms_that_cannot_all_have_a_bin_leave_the_heaviest_alone() -> None:
    values = np.concatenate([np.full(60, 0.0), np.full(40, 5.0), np.linspace(-9, 9, 20)])[:, None]
    tokenizer = QuantileTokenizer(3).fit(values)
    assert tokenizer.inverse_transform(tokenizer.transform([[0.0]])) == 0.0
    assert tokenizer.n_used_ == 3


@pytest.mark.parametrize("kind", KINDS)
def test_constant_and_tiny_data(kind: str) -> None:
    constant = make_tokenizer(kind, 8).fit(np.full((10, 1), 0.25))
    assert np.isfinite(constant.inverse_transform(constant.transform([[0.25], [9.0], [-9.0]]))).all()
    assert abs(float(constant.inverse_transform(constant.transform([[0.25]]))[0, 0]) - 0.25) <= 1 / 8
    single = make_tokenizer(kind, 8).fit([[0.5, -0.5]])
    np.testing.assert_allclose(single.inverse_transform(single.transform([[0.5, -0.5]])), [[0.5, -0.5]], atol=1 / 8)


def test_fewer_values_than_bins_are_exact() -> None:
    values = np.random.default_rng(1).normal(size=(7, 2)).astype(np.float32)
    tokenizer = QuantileTokenizer(64).fit(values)
    np.testing.assert_array_equal(tokenizer.n_used_, [7, 7])
    np.testing.assert_array_equal(tokenizer.inverse_transform(tokenizer.transform(values)), values)


@pytest.mark.parametrize("kind", KINDS)
def test_both_tails_clamp(kind: str) -> None:
    tokenizer = make_tokenizer(kind, 16).fit(np.random.default_rng(0).normal(size=(1000, 1)))
    np.testing.assert_array_equal(tokenizer.transform([[-1e30], [1e30]]), [[0], [15]])


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e300])
@pytest.mark.parametrize("kind", KINDS)
def test_values_that_are_not_finite_are_refused(kind: str, bad: float) -> None:
    with pytest.raises(TransferError, match=r"cannot fit .*index \(1, 0\)"):
        make_tokenizer(kind, 8).fit([[0.0], [bad]])
    with pytest.raises(TransferError, match="cannot transform"):
        make_tokenizer(kind, 8).fit([[0.0], [1.0]]).transform([[bad]])


@pytest.mark.parametrize(
    "values",
    [
        [["a"], ["b"]],
        np.ma.masked_array([[0.0], [9.0]], [[0], [1]]),
        [[1j], [0]],
        [[0.0], [0.0, 1.0]],
        [[True], [False]],
    ],
    ids=["text", "masked", "complex", "ragged", "booleans"],
)
@pytest.mark.parametrize("kind", KINDS)
def test_what_is_no_array_of_numbers_is_refused(kind: str, values: object) -> None:
    for use in (make_tokenizer(kind, 4).fit, make_tokenizer(kind, 4).fit([[0.0], [1.0]]).transform):
        with pytest.raises(TransferError):
            use(values)  # type: ignore[arg-type]


@pytest.mark.parametrize("ids", [[[0.5]], [["0"]], [[-1]], [[4]], [[None]]])
def test_what_is_no_id_is_refused(ids: object) -> None:
    with pytest.raises(TransferError):
        QuantileTokenizer(4).fit([[0.0], [1.0]]).inverse_transform(ids)  # type: ignore[arg-type]


def test_quantile_edges_equal_scikit_learn_on_data_without_ties() -> None:
    values = np.random.default_rng(0).normal(size=(2000, 3)).astype(np.float32)
    oracle = KBinsDiscretizer(64, encode="ordinal", strategy="quantile", subsample=None, quantile_method="linear").fit(
        values.astype(np.float64)
    )
    tokenizer = QuantileTokenizer(64).fit(values)
    expected = np.stack([edges[1:-1] for edges in oracle.bin_edges_]).astype(np.float32)
    np.testing.assert_array_equal(tokenizer.edges_, expected)
    np.testing.assert_array_equal(tokenizer.transform(values), oracle.transform(values.astype(np.float64)))


@pytest.mark.parametrize("kind", KINDS)
def test_torch_finds_the_same_ids(kind: str) -> None:
    torch = pytest.importorskip("torch")
    values = np.hstack([clipped(0.5), clipped(0.0), 30 * clipped(0.2, seed=1)])
    tokenizer = make_tokenizer(kind, 64).fit(values)
    asked = np.concatenate([values, tokenizer.centers_.T, tokenizer.edges_[:, :1].repeat(2, 1).T])
    edges = torch.from_numpy(tokenizer.edges_)
    found = torch.searchsorted(edges, torch.from_numpy(asked).T.contiguous(), right=True).T  # (N, A)
    np.testing.assert_array_equal(tokenizer.transform(asked), found.numpy())


@pytest.mark.parametrize("kind", KINDS)
def test_fitting_holds_one_dimension_at_a_time(kind: str) -> None:
    values = np.random.default_rng(0).normal(size=(200_000, 8)).clip(-1.5, 1.5).astype(np.float32)
    tracemalloc.start()
    make_tokenizer(kind, 64).fit(values)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 * values[:, 0].nbytes < values.nbytes


def test_percentiles_are_those_of_numpy() -> None:
    for size in (2, 3, 10, 997):
        values = np.sort(np.random.default_rng(size).normal(size=size)).astype(np.float32)
        for parts in (2, 3, 64):
            wanted = np.percentile(values.astype(np.float64), np.linspace(0, 100, parts + 1)[1:-1])
            np.testing.assert_array_equal(quantiles(values, parts), wanted.astype(np.float32))


def test_mu_law_compands_only_beyond_one() -> None:
    bounded, wide = make_tokenizer("mu-law", 8).fit(np.hstack([clipped(0.1), 100 * clipped(0.1)])).edges_
    np.testing.assert_allclose(bounded, np.linspace(-1, 1, 9)[1:-1], atol=1e-7)
    companded = np.sign(wide) * np.log(np.abs(wide) * 100 + 1) / np.log(256 * 100 + 1)
    np.testing.assert_allclose(companded, np.linspace(-1, 1, 9)[1:-1], atol=1e-6)


@pytest.mark.parametrize("kind", ["mu-law", "uniform"])
def test_one_value_a_rounding_beyond_one_uses_up_no_bins(kind: str) -> None:
    values = clipped(0.1)
    plain = make_tokenizer(kind, 64).fit(values)
    values[7] = np.float32(1.0000001)
    rounded = make_tokenizer(kind, 64).fit(values)
    np.testing.assert_allclose(rounded.edges_, plain.edges_, atol=1e-6)
    assert rounded.transform(values).max() == 63 and rounded.report(values)["mae"] == pytest.approx(
        plain.report(values)["mae"], rel=1e-3
    )


def test_gato_top_value_stays_inside_the_vocabulary() -> None:
    tokenizer = make_tokenizer("mu-law", 1024).fit([[-1.0], [1.0]])
    np.testing.assert_array_equal(tokenizer.transform([[-1.0], [1.0]]), [[0], [1023]])


@pytest.mark.parametrize("shape", [(3,), (0, 3), (2, 0), ()])
def test_fit_refuses_other_shapes(shape: tuple[int, ...]) -> None:
    with pytest.raises(TransferError, match="shape"):
        QuantileTokenizer().fit(np.zeros(shape))


def test_misuse_is_explained() -> None:
    with pytest.raises(TransferError, match="Did you mean 'quantile'"):
        make_tokenizer("quantiles")
    with pytest.raises(TransferError, match="bins=1 is too small: at least 2"):
        make_tokenizer("uniform", 1).fit([[0.0]])
    with pytest.raises(TransferError, match="not fitted"):
        QuantileTokenizer().transform([[0.0]])
    fitted: Tokenizer = QuantileTokenizer(4).fit([[0.0, 1.0], [1.0, 0.0]])
    with pytest.raises(TransferError, match="X has 1 features, but QuantileTokenizer is expecting 2 features"):
        fitted.transform([[0.0]])
    with pytest.raises(TransferError, match="ids of 1 dimensions; this tokenizer knows 2"):
        fitted.inverse_transform([[0]])
    with pytest.raises(TransferError, match=r"shape \(2,\): \(N, A\) is needed.*Reshape your data"):
        fitted.transform([0.0, 1.0])
    with pytest.raises(TransferError, match=r"0\.\.3"):
        fitted.inverse_transform([[4, 0]])


@pytest.mark.parametrize("bins", [2, 8, 64])
@pytest.mark.parametrize(
    "ends", [(-LARGEST, LARGEST), (-3e38, 1e38), (1e30, 1.001e30), (0.0, 1e-42), (1e8, 1e8 + 1024), (7.0, 7.0)]
)
def test_uniform_bins_are_equal_for_values_of_any_size(ends: tuple[float, float], bins: int) -> None:
    values = np.linspace(*ends, 999).astype(np.float32)[:, None]
    tokenizer = make_tokenizer("uniform", bins).fit(values)
    tokenizer.tables().check()
    decoded = tokenizer.inverse_transform(tokenizer.transform(values)).astype(np.float64)
    half = (float(values[-1, 0]) - float(values[0, 0])) / bins / 2
    rounding = max(float(np.abs(values).max()) * 2.0**-23, 1.5e-45)
    assert np.abs(decoded - values).max() <= half + rounding


def test_edges_that_do_not_ascend_are_refused_when_they_are_learned() -> None:
    class Equal(Tokenizer):
        kind = "uniform"

        def _fit_dimension(self, data: np.ndarray, bins: int) -> tuple[np.ndarray, np.ndarray]:
            return np.float32([0.0, 0.0]), np.zeros(3)

    with pytest.raises(TransferError, match="edges do not ascend"):
        Equal(3).fit([[1.0]])


def test_mu_law_bins_say_what_they_clip(caplog: pytest.LogCaptureFixture) -> None:
    make_tokenizer("mu-law", 8).fit([[256.0], [-256.0]])
    assert not caplog.text
    tokenizer = make_tokenizer("mu-law", 8).fit([[1e30], [0.0]])
    assert "values as far from 0 as 1e+30; mu-law bins end at 256, where they are clipped" in caplog.text
    assert np.isfinite(tokenizer.inverse_transform(tokenizer.transform([[1e30], [-1e30]]))).all()
