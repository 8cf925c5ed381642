"""Whatever the type, the strides and the numbers of an array: episodes hold what float32 makes of them, or refuse."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from transfer import Episodes, TransferError
from transfer.data.environment.spec import EnvironmentSpec
from transfer.envs.catalog import environment

REAL = st.one_of(arrays.floating_dtypes(sizes=(16, 32, 64)), arrays.integer_dtypes(), arrays.unsigned_integer_dtypes())
DATES = st.one_of(arrays.datetime64_dtypes(), arrays.timedelta64_dtypes())
OTHER = st.one_of(arrays.complex_number_dtypes(), DATES, arrays.unicode_string_dtypes())


@pytest.fixture(scope="module")
def hopper() -> EnvironmentSpec:
    return environment("hopper")


def given_states(data: st.DataObject, dtype: Any, finite: bool) -> np.ndarray:
    """States (N, 11) of a type, some of them turned or read backwards."""
    steps, options = data.draw(st.integers(1, 6)), {}
    if np.dtype(dtype).kind == "f":
        options["elements"] = arrays.from_dtype(np.dtype(dtype), allow_nan=not finite, allow_infinity=not finite)
    states = data.draw(arrays.arrays(dtype, (steps, 11), **options))
    return data.draw(st.sampled_from([states, np.asfortranarray(states), states[::-1], states[:, ::-1]]))


def episodes(states: np.ndarray, spec: EnvironmentSpec) -> Episodes:
    return Episodes.from_arrays(states, np.zeros((len(states), 3)), np.zeros(len(states)), [len(states)], spec)


@settings(max_examples=60, deadline=None)
@given(data=st.data(), dtype=REAL)
def test_states_of_any_real_type_are_what_float32_makes_of_them(
    data: st.DataObject, dtype: Any, hopper: EnvironmentSpec
) -> None:
    states = given_states(data, dtype, finite=True)
    with np.errstate(over="ignore"):
        wanted = states.astype(np.float32)
    if np.isfinite(wanted).all():
        np.testing.assert_array_equal(episodes(states, hopper).states, wanted)
    else:
        with pytest.raises(TransferError, match="not finite"):
            episodes(states, hopper)


@settings(max_examples=40, deadline=None)
@given(data=st.data(), dtype=OTHER)
def test_states_of_any_other_type_are_refused(data: st.DataObject, dtype: Any, hopper: EnvironmentSpec) -> None:
    with pytest.raises(TransferError, match="states"):
        episodes(given_states(data, dtype, finite=False), hopper)
