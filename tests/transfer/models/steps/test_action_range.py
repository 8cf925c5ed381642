"""Actions between their bounds: (a - middle) / half, the bounds themselves to the bit, in and out."""

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch import Tensor

from tests.toys import toy
from transfer.data.environment.spec import as_spec
from transfer.data.measured.dataset_statistics import Statistics
from transfer.models.steps.scales import ActionRange, Scales

LARGEST = float(np.finfo(np.float32).max)
Bounds = tuple[float, float]
numbers = st.floats(-LARGEST, LARGEST, width=32)
likely = st.sampled_from([-1.0, 0.0, 1.0, -0.4, 0.1, 0.3, 0.7, 3.0, 1e-45, 1e-30, 1000.0, 1064.1])
bounds = st.tuples(likely | numbers, likely | numbers).map(sorted).map(tuple).filter(lambda one: one[0] < one[1])
shares = st.lists(st.floats(0, 1), min_size=2, max_size=20)
SPEC = as_spec(toy(1, 1))


def range_of(low: float, high: float, fix: bool = False) -> ActionRange:
    """As a model of one action number has it; fixed, as one that acts."""
    (low,), (high,) = np.float32([low]), np.float32([high])
    statistics = Statistics((0.0,), (1.0,), (float(low),), (float(high),), return_span=1.0, return_quantiles={})
    scales = Scales(statistics, SPEC)
    if fix:
        scales.fix()
    return scales.action_range()


def between(low: float, high: float, shares: list[float]) -> Tensor:
    """(N, 1) float32 actions at these shares of the way from low to high, ascending."""
    places = np.float32([[low + share * (np.float64(high) - low)] for share in sorted(shares)])
    return torch.from_numpy(places.clip(np.float32(low), np.float32(high)))


@settings(max_examples=500, deadline=None, derandomize=True)
@given(one=bounds)
@example(one=(0.1, 0.7))
@example(one=(-0.3, 1.1))
@example(one=(16777216.0, 16777218.0))
@example(one=(0.0, 1e-45))
@example(one=(-LARGEST, LARGEST))
def test_each_bound_is_one_to_the_bit_and_comes_back(one: Bounds) -> None:
    scale = range_of(*one)
    both = torch.tensor([[one[0]], [one[1]]], dtype=torch.float32)
    ends = torch.tensor([[-1.0], [1.0]])
    assert torch.equal(scale.inward(both), ends)
    assert torch.equal(scale.outward(ends), both)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(one=bounds, shares=shares)
def test_actions_are_scaled_by_middle_and_half_in_order_and_stay_inside(one: Bounds, shares: list[float]) -> None:
    scale, actions = range_of(*one), between(*one, shares)
    scaled = scale.inward(actions)
    assert (scaled.abs() <= 1).all() and (scaled.diff(dim=0) >= 0).all()
    back = scale.outward(scaled)
    assert (back >= scale.low).all() and (back <= scale.high).all() and (back.diff(dim=0) >= 0).all()
    low, high = (np.float64(np.float32(bound)) for bound in one)
    exact = (actions.double().numpy() - (low + (high - low) / 2)) / ((high - low) / 2)
    if high - low > 1e-6 * max(abs(low), abs(high), 1e-30):  # float32 tells actions apart
        room = 4 * 2**-23 * max(abs(low), abs(high), high - low) / (high - low)  # rounding of the actions themselves
        np.testing.assert_allclose(scaled.numpy(), exact, atol=max(room, 1e-6))
        np.testing.assert_allclose(back.numpy(), actions.numpy(), atol=(high - low) * max(room, 1e-6))


@settings(max_examples=200, deadline=None, derandomize=True)
@given(one=bounds, beyond=st.floats(0, 2.0**100, width=32))
def test_what_lies_beyond_a_bound_counts_as_at_it(one: Bounds, beyond: float) -> None:
    scale = range_of(*one)
    outside = torch.stack([scale.low - beyond, scale.high + beyond])
    assert torch.equal(scale.inward(outside), torch.tensor([[-1.0], [1.0]]))
    assert torch.equal(scale.outward(torch.tensor([[-1.0 - beyond], [1.0 + beyond]])), torch.stack([*scale[:2]]))


@settings(max_examples=200, deadline=None, derandomize=True)
@given(values=st.lists(st.floats(-1, 1, width=32), min_size=1, max_size=20))
def test_bounds_of_one_leave_actions_as_they_are(values: list[float]) -> None:
    scale, actions = range_of(-1.0, 1.0), torch.tensor(values)[:, None]
    assert torch.equal(scale.inward(actions), actions) and torch.equal(scale.outward(actions), actions)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(one=bounds | likely.map(lambda high: (-abs(high) - 1e-30, abs(high) + 1e-30)), shares=shares)
@example(one=(-0.4, 0.4), shares=[0.0, 0.3, 1.0])
def test_a_scale_that_is_fixed_says_the_same(one: Bounds, shares: list[float]) -> None:
    scale, scaled = range_of(*one), 2.2 * torch.tensor(shares, dtype=torch.float32)[:, None] - 1.1
    fixed = range_of(*one, fix=True)
    assert torch.equal(fixed.outward(scaled), scale.outward(scaled))
    assert fixed.exact == bool(scale.low == -scale.high)


@pytest.mark.parametrize("bound", [0.3, -7.0, 0.0])
def test_an_action_without_a_range_is_the_middle_and_comes_back(bound: float) -> None:
    scale = range_of(bound, bound)
    assert scale.inward(scale.low) == 0
    for scaled in (-1.0, 0.0, 1.0):
        assert torch.equal(scale.outward(torch.tensor([scaled])), scale.low)


def test_each_dimension_has_its_own_bounds() -> None:
    statistics = Statistics((0.0,), (1.0,), (-1.0, 0.1, 0.3), (1.0, 0.7, 0.3), return_span=1.0, return_quantiles={})
    scale = Scales(statistics, SPEC).action_range()
    actions = torch.tensor([[[-1.0, 0.1, 0.3]], [[1.0, 0.7, 0.3]], [[0.5, 0.4, 0.3]]])  # (3, 1, A)
    wanted = torch.tensor([[[-1.0, -1.0, 0.0]], [[1.0, 1.0, 0.0]], [[0.5, 0.0, 0.0]]])
    torch.testing.assert_close(scale.inward(actions), wanted, atol=1e-6, rtol=0)
    assert torch.equal(scale.outward(scale.inward(actions))[:2], actions[:2])
