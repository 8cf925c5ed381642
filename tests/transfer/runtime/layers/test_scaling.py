"""Scaling by a gain: rounded once, and with the gradients of a plain product."""

import pytest
import torch

from transfer.runtime.layers.scaling import TOKENS, scale


def inputs(dtype: torch.dtype, tokens: int) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(tokens)
    x, weight = (torch.randn(2, tokens, 6, generator=generator).to(dtype) for _ in range(2))
    return [x.requires_grad_(), (torch.rand(6, generator=generator) + 0.5).requires_grad_(), weight]


@pytest.mark.parametrize("tokens", [1, TOKENS // 2, TOKENS + 3])  # less than a part, exactly one, and several
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_values_and_gradients_are_those_of_a_product_in_float32(dtype: torch.dtype, tokens: int) -> None:
    x, gain, weight = inputs(dtype, tokens)
    ours, theirs = scale(x, gain), (x * gain).to(dtype)
    assert ours.dtype == dtype and torch.equal(ours, theirs)
    mine, other = (torch.autograd.grad(y, (x, gain), weight) for y in (ours, theirs))
    assert mine[0].dtype == dtype and torch.equal(mine[0], other[0])
    torch.testing.assert_close(mine[1], other[1], atol=1e-3, rtol=1e-4)


def test_a_slice_of_a_larger_tensor_is_scaled_and_the_rest_is_not_touched() -> None:
    whole = torch.randn(3, 5, 12)
    before, gain = whole.clone(), torch.rand(4)
    assert torch.equal(scale(whole[..., 4:8], gain), before[..., 4:8] * gain)
    assert torch.equal(whole, before)


def test_a_gain_of_one_changes_nothing_to_the_bit() -> None:
    x, _, _ = inputs(torch.bfloat16, 700)
    assert torch.equal(scale(x, torch.ones(6)), x)
