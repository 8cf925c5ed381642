"""Causal attention against PyTorch's, in the library's kernels and without them."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from transfer.runtime.layers.attention import causal_attention


def inputs(length: int, size: int = 32, dtype: torch.dtype = torch.float32) -> list[Tensor]:
    """q, k, v (5, 4, L, size), the heads of rows laid out as (5, L, 4, size)."""
    generator = torch.Generator().manual_seed(length)
    parts = [torch.randn(5, length, 4, size, generator=generator).to(dtype) for _ in range(3)]
    return [part.transpose(1, 2).requires_grad_() for part in parts]


@pytest.mark.usefixtures("kernels")
@pytest.mark.parametrize("length", [1, 2, 15, 31, 33, 129, 300])  # shorter than a block, one, and several
@pytest.mark.parametrize("size", [16, 32, 48])
def test_values_and_gradients_are_those_of_pytorch(length: int, size: int) -> None:
    parts = inputs(length, size)
    weight = torch.linspace(-1, 1, parts[0].numel()).view_as(parts[0])
    ours, theirs = causal_attention(*parts), F.scaled_dot_product_attention(*parts, is_causal=True)
    assert ours.grad_fn is not None and ours.grad_fn.name() == "CausalAttentionBackward"
    assert torch.allclose(ours, theirs, atol=1e-5)
    mine, other = (torch.autograd.grad((out * weight).sum(), parts) for out in (ours, theirs))
    for a, b in zip(mine, other, strict=True):
        assert torch.allclose(a, b, atol=1e-5)


def test_sizes_without_a_kernel_are_pytorchs() -> None:
    parts = inputs(40, 9)
    assert torch.equal(causal_attention(*parts), F.scaled_dot_product_attention(*parts, is_causal=True))


@pytest.mark.usefixtures("kernels")
def test_threads_share_the_heads_and_change_no_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    parts = inputs(70)
    alone = causal_attention(*parts)
    gradients = torch.autograd.grad(alone.square().sum(), parts)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
    monkeypatch.setattr("transfer.runtime.native.attention.WORTH_A_THREAD", 1)
    shared = causal_attention(*parts)
    assert torch.equal(shared, alone)
    for a, b in zip(torch.autograd.grad(shared.square().sum(), parts), gradients, strict=True):
        assert torch.equal(a, b)


def test_bfloat16_stays_near_float32_under_autocast_too() -> None:
    parts = inputs(150, dtype=torch.bfloat16)
    exact = F.scaled_dot_product_attention(*(p.float() for p in parts), is_causal=True)
    with torch.autocast("cpu", torch.bfloat16):
        ours = causal_attention(*parts)
    assert ours.dtype == torch.bfloat16
    assert torch.allclose(ours.float(), exact, atol=0.01)
    ours.float().sum().backward()
    wanted = torch.autograd.grad(exact.sum(), parts)
    for part, gradient in zip(parts, wanted, strict=True):
        assert part.grad is not None and torch.allclose(part.grad.float(), gradient.float(), atol=0.03)


def test_a_token_never_sees_those_behind_it() -> None:
    parts = [p.detach() for p in inputs(100)]
    before = causal_attention(*parts)[:, :, :60]
    for part in parts[1:]:
        part[:, :, 60:] = 1e3
    assert torch.equal(causal_attention(*parts)[:, :, :60], before)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_what_is_not_a_number_is_not_hidden(dtype: torch.dtype) -> None:
    parts = [p.detach() for p in inputs(50, dtype=dtype)]
    parts[1][0, 0, 10, 3] = float("nan")
    out = causal_attention(*parts)
    assert out[0, 0, 10:].isnan().all() and not out[0, 0, :10].isnan().any() and not out[1:].isnan().any()


def test_scores_as_large_as_float32_allows_overflow_nothing() -> None:
    parts = [p.detach() * 300 for p in inputs(40)]
    ours, theirs = causal_attention(*parts), F.scaled_dot_product_attention(*parts, is_causal=True)
    assert torch.allclose(ours, theirs, rtol=1e-4, atol=1e-2)
