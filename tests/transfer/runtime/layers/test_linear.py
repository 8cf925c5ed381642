"""The linear layer against PyTorch's."""

import pytest
import torch
from torch import nn

from transfer.runtime.layers.linear import Linear


def both(bias: bool = True) -> tuple[Linear, nn.Linear]:
    torch.manual_seed(0)
    ours, theirs = Linear(24, 40, bias=bias), nn.Linear(24, 40, bias=bias)
    theirs.load_state_dict(ours.state_dict())
    return ours, theirs


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(7, 24), (3, 5, 24)])
def test_values_and_gradients_are_those_of_pytorch(shape: tuple[int, ...], bias: bool) -> None:
    x, found = torch.randn(shape), []
    for layer in both(bias):
        mine = x.clone().requires_grad_()
        out = layer(mine)
        out.square().sum().backward()
        found.append([out, mine.grad, *(p.grad for p in layer.parameters())])
    for a, b in zip(*found, strict=True):
        assert a is not None and torch.allclose(a, b, rtol=1e-5, atol=1e-5)


def test_frozen_weights_get_no_gradient_and_keep_no_activation() -> None:
    layer = both()[0].requires_grad_(False)
    x = torch.randn(7, 24, requires_grad=True)
    kept: list[torch.Tensor] = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t) or t, lambda t: t):
        out = layer(x)
    out.sum().backward()
    assert layer.weight.grad is None and x.grad is not None
    assert [t.shape for t in kept] == [layer.weight.shape]


def test_autocast_and_hooks_work_as_always() -> None:
    layer, _ = both()
    seen: list[torch.dtype] = []
    layer.register_forward_hook(lambda module, given, out: seen.append(out.dtype))
    with torch.autocast("cpu", torch.bfloat16):
        layer(torch.randn(2, 24))
    layer(torch.randn(2, 24))
    assert seen == [torch.bfloat16, torch.float32]


def test_a_build_without_the_product_falls_back(monkeypatch: pytest.MonkeyPatch) -> None:
    ours, theirs = both()
    monkeypatch.setattr("transfer.runtime.layers.linear._available", lambda: False)
    x = torch.randn(7, 24)
    assert torch.equal(ours(x), theirs(x))
