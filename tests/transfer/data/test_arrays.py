"""Our own copies of anybody's arrays: the right numbers, nobody's memory, and what is no array of numbers refused."""

from typing import Any

import numpy as np
import pytest
import torch

from transfer.data.arrays import own
from transfer.errors import TransferError

VALUES = [[1.0, -2.0], [3.0, 4.5], [0.0, 7.0]]
FLOATS = np.array(VALUES, np.float32)
SHARED = {
    "float32": FLOATS.copy(),
    "float64": np.array(VALUES),
    "float16": np.array(VALUES, np.float16),
    "longdouble": np.array(VALUES, np.longdouble),
    "big-endian": np.array(VALUES, ">f4"),
    "negative strides": np.ascontiguousarray(FLOATS[::-1])[::-1],
    "column order": np.asfortranarray(FLOATS),
    "every other column": np.repeat(FLOATS, 2, axis=1)[:, ::2],
    "tensor": torch.tensor(VALUES),
    "tensor with gradient": torch.tensor(VALUES, requires_grad=True),
    "transposed tensor": torch.tensor(VALUES).T.contiguous().T,
    "float64 tensor": torch.tensor(VALUES, dtype=torch.float64),
    "bfloat16 tensor": torch.tensor(VALUES, dtype=torch.bfloat16),
    "list": [list(row) for row in VALUES],
    "list of arrays": [np.array(row) for row in VALUES],
    "list of tensors with gradient": [torch.tensor(row, requires_grad=True) for row in VALUES],
    "tuple of mixed": (np.array(VALUES[0]), torch.tensor(VALUES[1]), VALUES[2]),
}


@pytest.mark.parametrize("kind", SHARED)
def test_the_copy_has_the_numbers_and_shares_no_memory(kind: str) -> None:
    given = SHARED[kind]
    copy = own(given, "mine")
    np.testing.assert_array_equal(copy, FLOATS)
    assert copy.dtype == np.float32 and copy.flags.c_contiguous and copy.flags.owndata and copy.flags.writeable
    if isinstance(given, torch.Tensor):
        given.detach().zero_()
    elif isinstance(given, np.ndarray):
        assert not np.shares_memory(copy, given)
        given[...] = 0
    np.testing.assert_array_equal(copy, FLOATS)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.ma.masked_array([1.0, 2.0], [0, 1]), "mine are a masked array"),
        ([np.ma.masked_array([1.0, 2.0], [0, 1])], "mine are a masked array"),
        ([1 + 2j], "complex"),
        (torch.tensor([1j]), "complex"),
        (np.array(["2020-01-01"], "datetime64[D]"), "dates"),
        (np.array([3], "timedelta64[s]"), "time spans"),
        (["a"], "text"),
        (b"abc", "bytes"),
        ([None, 1.0], "Python objects"),
        ([10**30], "Python objects"),
        (None, "Python objects"),
        ({1.0, 2.0}, "Python objects"),
        ({"a": 1}, "Python objects"),
        ([[1.0, 2.0], [3.0]], "not an array of numbers: .*inhomogeneous"),
        ([True, False], "hold bool; real numbers wanted"),
        (torch.tensor([True]), "hold bool; real numbers wanted"),
        (np.zeros(2, [("x", float)]), "records"),
        (torch.eye(2).to_sparse(), "sparse"),
        (torch.empty(2, device="meta"), "without plain numbers"),
    ],
)
def test_what_is_no_array_of_real_numbers_is_refused(values: Any, message: str) -> None:
    with pytest.raises(TransferError, match=message):
        own(values, "mine")


def test_the_number_of_axes_is_checked() -> None:
    assert own([], "mine", ndim=1).shape == (0,)
    with pytest.raises(TransferError, match="mine must be 2-d float32, got 1-d float64"):
        own([1.0], "mine", ndim=2)


def test_whole_numbers_are_whole() -> None:
    for given in ([4, 1], np.array([4, 1], np.uint8), [4.0, 1.0], torch.tensor([4, 1])):
        copy = own(given, "mine", dtype=np.int64)
        assert copy.dtype == np.int64 and copy.tolist() == [4, 1]
    for wrong in ([4.5], [np.nan], [np.inf], [2**63], [2.0**63], [-1e300]):
        with pytest.raises(TransferError, match="mine hold .*; whole numbers from"):
            own(wrong, "mine", dtype=np.int64)


def test_booleans_are_booleans_or_0_and_1() -> None:
    for given in ([True, False], [1, 0], [1.0, 0.0], torch.tensor([True, False])):
        assert own(given, "mine", dtype=bool).tolist() == [True, False]
    with pytest.raises(TransferError, match="mine hold 2; booleans, or 0 and 1, wanted"):
        own([0, 2], "mine", dtype=bool)


def test_numbers_beyond_float32_become_infinite_and_those_near_its_end_stay() -> None:
    with np.errstate(all="raise"):
        assert own([1e300, 3e38], "mine").tolist() == [np.inf, float(np.float32(3e38))]
