"""Blocked attention against PyTorch's."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from transfer.attention import causal_attention


def inputs(length: int, dtype: torch.dtype = torch.float32) -> list[Tensor]:
    generator = torch.Generator().manual_seed(length)
    return [torch.randn(5, 4, length, 8, generator=generator).to(dtype).requires_grad_() for _ in range(3)]


@pytest.mark.parametrize("length", [1, 2, 31, 33, 129, 300])  # one block, and several with a shorter last one
def test_values_and_gradients_are_those_of_pytorch(length: int) -> None:
    parts = inputs(length)
    weight = torch.linspace(-1, 1, parts[0].numel()).view_as(parts[0])
    ours, theirs = causal_attention(*parts), F.scaled_dot_product_attention(*parts, is_causal=True)
    assert torch.allclose(ours, theirs, atol=1e-5)
    mine, other = (torch.autograd.grad((out * weight).sum(), parts) for out in (ours, theirs))
    for a, b in zip(mine, other, strict=True):
        assert torch.allclose(a, b, atol=1e-5)


def test_heads_that_do_not_fit_into_a_block_are_all_there(monkeypatch: pytest.MonkeyPatch) -> None:
    parts = inputs(40)
    whole = causal_attention(*parts)
    monkeypatch.setattr("transfer.attention.CACHE", 3 * 32 * 40 * 4)  # three heads at a time, of twenty
    assert torch.allclose(causal_attention(*parts), whole, atol=1e-6)


def test_bfloat16_stays_near_float32_under_autocast_too() -> None:
    parts = inputs(150, torch.bfloat16)
    exact = F.scaled_dot_product_attention(*(p.float() for p in parts), is_causal=True)
    with torch.autocast("cpu", torch.bfloat16):
        ours = causal_attention(*parts)
    assert ours.dtype == torch.bfloat16
    assert torch.allclose(ours.float(), exact, atol=0.03)


def test_a_token_never_sees_those_behind_it() -> None:
    parts = [p.detach() for p in inputs(100)]
    before = causal_attention(*parts)[:, :, :60]
    for part in parts[1:]:
        part[:, :, 60:] = 1e3
    assert torch.equal(causal_attention(*parts)[:, :, :60], before)
