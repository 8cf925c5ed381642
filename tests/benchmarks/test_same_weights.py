"""The comparison of two commits sees every byte, and takes a renamed tensor for what it was."""

from typing import Any

import numpy as np
import pytest

from benchmarks.commits import same_weights

ARRAYS = {
    "ActionEmbedding: full, trunk.ln_in.weight": np.ones(3, np.float32),
    "ActionEmbedding: full, returns, parallel": np.array([1.0, 2.0]),
    "mlp: out.bias": np.zeros(2, np.float32),
    "near: kernels off, returns": np.array([0.5]),
}


def with_one(name: str, values: Any) -> same_weights.Comparison:
    """The arrays against themselves with one of them replaced."""
    return same_weights.compare(ARRAYS, {**ARRAYS, name: np.asarray(values)})


def test_equal_arrays_are_the_same() -> None:
    assert same_weights.compare(ARRAYS, {name: values.copy() for name, values in ARRAYS.items()}) == ([], [], 4)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (np.nextafter(np.ones(3, np.float32), np.float32([2, 1, 1])), "1 of 3 numbers differ, by at most 1.19e-07"),
        (np.ones(3), "float32 (3,) became float64 (3,)"),
        (np.ones((3, 1), np.float32), "float32 (3,) became float32 (3, 1)"),
    ],
)
def test_a_tensor_of_other_bytes_differs(values: Any, said: str) -> None:
    name = "ActionEmbedding: full, trunk.ln_in.weight"
    assert with_one(name, values) == ([f"{name}: {said}"], [], 3)


def test_minus_zero_differs_and_nan_equals_itself() -> None:
    assert with_one("mlp: out.bias", np.float32([0.0, -0.0])).different
    nan = {"returns": np.array([np.nan])}
    assert not same_weights.compare(nan, {"returns": np.array([np.nan])}).different


def test_what_need_not_be_equal_is_reported_alone() -> None:
    found = with_one("near: kernels off, returns", [0.75])
    assert found == ([], ["near: kernels off, returns: 1 of 1 numbers differ, by at most 0.25"], 3)


def test_a_name_that_one_side_lacks_differs() -> None:
    less = {name: values for name, values in ARRAYS.items() if not name.startswith("mlp")}
    assert same_weights.compare(ARRAYS, less).different == ["only old: mlp: out.bias"]
    assert same_weights.compare(less, ARRAYS).different == ["only new: mlp: out.bias"]


def test_a_renamed_tensor_is_compared_under_its_new_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(same_weights, "RENAMED", {"trunk.ln_in.": "trunk.first_norm.", "out.": "last."})
    new = {name.replace("ln_in", "first_norm").replace("out.bias", "last.bias"): one for name, one in ARRAYS.items()}
    assert same_weights.compare(ARRAYS, new) == ([], [], 4)
    assert same_weights.compare(ARRAYS, ARRAYS).different == [
        "only new: ActionEmbedding: full, trunk.ln_in.weight",
        "only new: mlp: out.bias",
        "only old: ActionEmbedding: full, trunk.first_norm.weight",
        "only old: mlp: last.bias",
    ]
