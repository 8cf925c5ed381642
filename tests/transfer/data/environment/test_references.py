"""Reference scores: returns to scores and back, scales of a dataset's own returns."""

import numpy as np
import pytest

from transfer.data.environment.spec import (
    ReferenceScores,
)
from transfer.errors import TransferError
from transfer.runtime.logs import warn_once


def test_score_and_returns_are_inverse_on_arrays() -> None:
    reference = ReferenceScores("mine", -5.0, 15.0)
    returns = np.array([-5.0, 0.0, 5.0, 40.0])
    np.testing.assert_allclose(reference.score(returns), [0.0, 25.0, 50.0, 225.0])
    np.testing.assert_allclose(reference.returns(reference.score(returns)), returns)
    assert reference.span == 20.0


def test_a_scale_without_span_is_refused() -> None:
    with pytest.raises(TransferError, match="maximum > minimum"):
        ReferenceScores("mine", 3.0, 3.0)


def test_equal_returns_still_make_a_scale() -> None:
    for value in (-7.0, 0.0, 120.0):
        reference = ReferenceScores.of_returns(np.full(3, value))
        assert reference.score(value) == 100.0
        assert reference.span > 0


@pytest.mark.parametrize(
    ("returns", "minimum"),
    [
        ((1000.0, 1000.000001), -0.000999),  # equal but for noise: no scale of -98,689,406
        ((9358.9, 9359.3), -0.1),
        ((-4.0, -4.0), -8.0),
        ((0.0, 0.0), -1.0),
        ((1000.0, 1010.0), 1000.0),  # a hundredth is a span
        ((-1010.0, -1000.0), -1010.0),
    ],
)
def test_returns_that_differ_by_noise_have_no_span(
    returns: tuple[float, float], minimum: float, caplog: pytest.LogCaptureFixture
) -> None:
    warn_once.cache_clear()
    reference = ReferenceScores.of_returns(np.array(returns))
    assert reference.minimum == pytest.approx(minimum, rel=1e-3, abs=0.5)
    assert reference.score(returns[1]) == pytest.approx(100.0)
    assert abs(reference.score(returns[0])) <= 100.0 + 1e-6
    ReferenceScores.of_returns(np.array(returns))
    assert caplog.text.count("equal but for noise") == (minimum not in returns)  # said once


@pytest.mark.parametrize(("outlier", "said"), [(-1e16, True), (1e6, True), (200.0, False), (None, False)])
def test_an_episode_that_makes_all_others_equal_is_said(
    outlier: float | None, said: bool, caplog: pytest.LogCaptureFixture
) -> None:
    warn_once.cache_clear()
    ReferenceScores.of_returns(np.array([*range(10, 30), *([] if outlier is None else [outlier])], float))
    assert ("but most of them from" in caplog.text) == said


def test_rare_success_is_no_outlier(caplog: pytest.LogCaptureFixture) -> None:
    warn_once.cache_clear()
    ReferenceScores.of_returns(np.array([0.0] * 99 + [1.0]))
    assert not caplog.records


def test_a_known_lower_end_belongs_to_data_above_it(caplog: pytest.LogCaptureFixture) -> None:
    shifted = ReferenceScores.of_returns(np.array([-700.0, -312.0]), least=0.0)  # AntMaze's rewards less 1
    assert (shifted.minimum, shifted.maximum) == (-700.0, -312.0)
    assert "returns go down to -700, where 0 is known as the lowest" in caplog.text


@pytest.mark.parametrize("value", [float("nan"), float("inf"), "3", None, True])
def test_reference_scores_are_finite_numbers(value: object) -> None:
    with pytest.raises(TransferError, match="maximum of the reference scores"):
        ReferenceScores("mine", 0.0, value)  # type: ignore[arg-type]
