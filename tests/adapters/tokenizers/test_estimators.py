"""Tokenizers are scikit-learn estimators: its own checks, and what they leave to us."""

import pickle
from typing import Any

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from transfer import registry
from transfer.adapters.tokenizers.mu_law import MuLawTokenizer
from transfer.adapters.tokenizers.quantile import QuantileTokenizer
from transfer.adapters.tokenizers.tokenizer import Tokenizer, make_tokenizer
from transfer.adapters.tokenizers.uniform import UniformTokenizer
from transfer.errors import TransferError

KINDS = sorted(registry.known("tokenizer"))
VALUES = np.random.default_rng(0).uniform(-1, 1, (200, 3)).astype(np.float32)


def does_not_apply(estimator: Tokenizer) -> dict[str, str]:
    """The checks of scikit-learn that a tokenizer fails on purpose, and why."""
    return {"check_dtype_object": "arrays of Python objects are refused: they hide None and ragged rows"}


@parametrize_with_checks(
    [QuantileTokenizer(), UniformTokenizer(), MuLawTokenizer(), QuantileTokenizer(bins=4)],
    expected_failed_checks=does_not_apply,
)
def test_scikit_learn_s_own_checks(estimator: Tokenizer, check: Any) -> None:
    check(estimator)


def test_objects_are_refused_as_everywhere_else() -> None:
    for use in (QuantileTokenizer().fit, QuantileTokenizer().fit(VALUES).transform):
        with pytest.raises(TransferError, match="they hold Python objects"):
            use(VALUES.astype(object))


@pytest.mark.parametrize("kind", KINDS)
def test_a_clone_is_not_fitted_and_fits_to_the_same_tables(kind: str) -> None:
    fitted = make_tokenizer(kind, 16).fit(VALUES)
    other = clone(fitted)
    assert other.get_params() == fitted.get_params() == {"bins": 16}
    assert not [name for name in vars(other) if name.endswith("_")]
    with pytest.raises(TransferError, match=f"this {kind} tokenizer is not fitted"):
        other.to_json()
    assert other.fit(VALUES).to_json() == fitted.to_json() == pickle.loads(pickle.dumps(fitted)).to_json()


@pytest.mark.parametrize("bins", [1, 2.5, "8", True, None, 10**9])
def test_the_constructor_stores_and_fit_checks(bins: Any) -> None:
    tokenizer = QuantileTokenizer(bins)
    assert tokenizer.bins is bins
    with pytest.raises(TransferError, match=f"bins={bins!r}"):
        tokenizer.fit(VALUES)
    assert tokenizer.set_params(bins=4).fit(VALUES).centers_.shape == (3, 4)


def test_bins_changed_after_fit_count_from_the_next_fit_on() -> None:
    tokenizer = QuantileTokenizer(8).fit(VALUES)
    before = tokenizer.to_json()
    tokenizer.set_params(bins=4)
    assert tokenizer.to_json() == before and before["bins"] == 8
    np.testing.assert_array_equal(tokenizer.inverse_transform([[7, 7, 7]])[0], tokenizer.centers_[:, 7])
    assert tokenizer.fit(VALUES).to_json()["bins"] == 4


@pytest.mark.parametrize("kind", KINDS)
def test_columns_one_at_a_time_are_the_same_fit(kind: str) -> None:
    whole, columns = make_tokenizer(kind, 16).fit(VALUES), make_tokenizer(kind, 16).fit_columns(iter(VALUES.T))
    assert columns.to_json() == whole.to_json() and columns.n_features_in_ == 3
    np.testing.assert_array_equal(columns.transform(VALUES), whole.transform(VALUES))


def test_a_tokenizer_ends_a_pipeline_which_inverts() -> None:
    steps = make_pipeline(MinMaxScaler((-1, 1)), QuantileTokenizer(64))
    actions = 3 + 2 * VALUES
    back = steps.inverse_transform(steps.fit_transform(actions))
    assert np.abs(back - actions).max() < 0.2 and steps.transform(actions).dtype == np.int64


def test_columns_of_a_table_are_known_by_name() -> None:
    pandas = pytest.importorskip("pandas")
    table = pandas.DataFrame(VALUES, columns=["thigh", "leg", "foot"])
    tokenizer = QuantileTokenizer(8).fit(table).set_output(transform="pandas")
    assert list(tokenizer.transform(table).columns) == ["thigh", "leg", "foot"]
    with pytest.raises(TransferError, match="same order"):
        tokenizer.transform(table[["foot", "leg", "thigh"]])
