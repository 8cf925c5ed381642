"""IA3 against PEFT's, on the same weights."""

import warnings
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from transfer.adapters.tuning.ia3 import IA3
from transfer.models.trunk import Trunk, TrunkConfig
from transfer.training.train_config import TrainConfig
from transfer.training.updates import make_optimizer

SMALL = TrunkConfig(width=16, depth=2, heads=2)


@pytest.fixture
def trunk() -> Trunk:
    """A trunk with weights as large as after training."""
    torch.manual_seed(0)
    trunk = Trunk(SMALL).eval()
    with torch.no_grad():
        for p in trunk.parameters():
            p += torch.randn(p.shape) * 0.3
    return trunk


@pytest.fixture
def scales() -> IA3:
    """Scales between 0.3 and 1.7."""
    torch.manual_seed(1)
    ia3 = IA3(16, 2)
    with torch.no_grad():
        for p in ia3.parameters():
            p.uniform_(0.3, 1.7)
    return ia3


def vectors(ia3: IA3) -> Iterator[tuple[Tensor, ...]]:
    """Of keys, values and feed-forward, layer by layer."""
    return zip(ia3.keys, ia3.values, ia3.feed_forward, strict=True)


def test_it_starts_as_nothing_to_the_bit(trunk: Trunk) -> None:
    x = torch.randn(3, 7, 16)
    assert torch.equal(trunk(x, IA3(16, 2))[0], trunk(x)[0])


def test_it_equals_peft_on_the_same_weights(trunk: Trunk, scales: IA3) -> None:
    from peft import IA3Config, inject_adapter_in_model

    x = torch.randn(3, 7, 16)
    plain, expected = trunk(x)[0], trunk(x, scales)[0]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        config = IA3Config(target_modules=["k", "v", "proj"], feedforward_modules=["proj"], init_ia3_weights=False)
        peft = inject_adapter_in_model(config, trunk).eval()
    with torch.no_grad():
        for block, (keys, values, feed_forward) in zip(peft.blocks, vectors(scales), strict=True):
            places = (block.attn.k, keys), (block.attn.v, values), (block.mlp.proj, feed_forward)
            for layer, vector in places:
                layer.ia3_l["default"].copy_(vector.view_as(layer.ia3_l["default"]))
    torch.testing.assert_close(peft(x)[0], expected, atol=1e-6, rtol=1e-6)
    assert (expected - plain).abs().max() > 0.1


def test_it_has_six_widths_a_layer_in_vectors() -> None:
    ia3 = IA3(128, 3)
    assert sum(p.numel() for p in ia3.parameters()) == 3 * 6 * 128
    assert {p.dim() for p in ia3.parameters()} == {1}
    assert [[len(vector) for vector in layer] for layer in vectors(ia3)] == [[128, 128, 512]] * 3


def test_decay_spares_it() -> None:
    ia3 = IA3(16, 2)
    optimizer = make_optimizer(ia3, TrainConfig(weight_decay=0.5, lr=1.0))
    for p in ia3.parameters():
        p.grad = torch.zeros_like(p)
    optimizer.step()
    assert all((p == 1).all() for p in ia3.parameters())


def test_every_scale_gets_a_gradient(trunk: Trunk, scales: IA3) -> None:
    trunk(torch.randn(3, 7, 16), scales)[0].square().mul(torch.rand(16)).sum().backward()
    assert all(p.grad is not None and (p.grad != 0).all() for p in scales.parameters())
