"""Numbers given by a caller: what is taken, as what, and what is refused."""

import math
from fractions import Fraction

import numpy as np
import pytest
import torch

from transfer.errors import TransferError
from transfer.numbers import flag, real, seen, whole


@pytest.mark.parametrize(
    "value", [5, 5.0, np.int8(5), np.uint64(5), np.float16(5), np.array(5), torch.tensor(5), np.longdouble(5)]
)
def test_whole_numbers_of_any_kind_become_python_integers(value: object) -> None:
    taken = whole(value, "steps", least=1)
    assert taken == 5
    assert type(taken) is int


@pytest.mark.parametrize(
    "value", [0.5, np.float32(0.5), np.array(0.5), torch.tensor(0.5, requires_grad=True), Fraction(1, 2)]
)
def test_real_numbers_of_any_kind_become_python_floats(value: object) -> None:
    taken = real(value, "lr", above=0)
    assert taken == 0.5
    assert type(taken) is float


NO_NUMBERS = [
    *("5", b"5", None, True, np.True_, torch.tensor(True), [5], (5,), {}, 1j, np.complex64(1), object()),
    *(math.nan, math.inf, -math.inf, np.float32("nan"), 10**400, np.array([5]), torch.tensor([5]), int),
    *(np.datetime64("2020"), np.timedelta64(5, "s"), np.ma.masked, np.array("5"), torch.tensor(5, device="meta")),
]


@pytest.mark.parametrize("value", NO_NUMBERS, ids=repr)
@pytest.mark.parametrize("take", [whole, real])
def test_what_is_no_finite_number_is_refused_by_name(take: object, value: object) -> None:
    with pytest.raises(TransferError, match=r"^context=.* number is needed"):
        take(value, "context", least=-3)  # type: ignore[operator]


@pytest.mark.parametrize("value", [2.5, np.float32(2.5), Fraction(5, 2), 1e-300])
def test_a_fraction_is_no_whole_number(value: object) -> None:
    with pytest.raises(TransferError, match="context=.*a whole number is needed, at least 1"):
        whole(value, "context", least=1)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: whole(-1, "steps", least=1), r"steps=-1 is too small: at least 1\."),
        (lambda: whole(10**15, "steps", most=10**9), r"steps=1000000000000000 is too large: at most 1,000,000,000\."),
        (lambda: whole(10**5000, "steps", most=10**9), r"steps=.*: a whole number is needed, at most"),
        (lambda: real(0.0, "lr", above=0, most=1), r"lr=0\.0 is too small: at most 1, above 0\."),
        (lambda: real(np.float64(1), "dropout", least=0, below=1), r"dropout=1\.0 is too large: at least 0, below 1\."),
        (lambda: whole("5", "steps"), r"steps='5' is text: a whole number is needed\."),
    ],
)
def test_the_message_says_name_value_and_bounds(call: object, message: str) -> None:
    with pytest.raises(TransferError, match=f"^{message}"):
        call()  # type: ignore[operator]


def test_flags_are_truth_values_only() -> None:
    assert flag(True, "compile") is True
    assert flag(np.False_, "compile") is False
    for value in (1, 0, "yes", None, np.array([True])):
        with pytest.raises(TransferError, match="compile=.*True or False"):
            flag(value, "compile")


def test_a_value_is_shown_short_and_whatever_its_repr_does() -> None:
    class Hostile:
        def __repr__(self) -> str:
            raise ValueError("no")

    assert seen(Hostile()) == "a Hostile"
    assert seen(np.float32(0.5)) == "0.5"
    assert len(seen("x" * 1000)) == 60
