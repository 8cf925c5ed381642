"""The trunk: a plain reference, causality, IA3 scales, bfloat16 and masks."""

import copy
import math
from collections.abc import Callable
from dataclasses import asdict

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.lively import some_ia3
from transfer.adapters.tuning.ia3 import IA3
from transfer.errors import TransferError
from transfer.models.trunk import Trunk, TrunkConfig
from transfer.models.tuning import SITES, Tuning

MakeTrunk = Callable[..., Trunk]


def tokens(rows: int = 3, length: int = 7, seed: int = 0) -> Tensor:
    return torch.randn(rows, length, 16, generator=torch.Generator().manual_seed(seed))


def reference(trunk: Trunk, x: Tensor, ia3: IA3 | None = None) -> Tensor:
    """One row (L, D) through the trunk, one head and one query at a time, from the state dict alone."""
    w = trunk.state_dict()

    def linear(name: str, value: Tensor) -> Tensor:
        return value @ w[f"{name}.weight"].T + w[f"{name}.bias"]

    def norm(name: str, value: Tensor) -> Tensor:
        centred = value - value.mean(-1, keepdim=True)
        scaled = centred / (centred.square().mean(-1, keepdim=True) + 1e-5).sqrt()
        return scaled * w[f"{name}.weight"] + w[f"{name}.bias"]

    x, size = norm("ln_in", x), trunk.config.width // trunk.config.heads
    for layer in range(trunk.config.depth):
        block = f"blocks.{layer}"
        gains = (ia3.keys, ia3.values, ia3.feed_forward) if ia3 is not None else None
        keys, values, inside = (each[layer] for each in gains) if gains else (1, 1, 1)
        normed = norm(f"{block}.ln_1", x)
        q, k, v = (linear(f"{block}.attn.{name}", normed) for name in "qkv")
        k, v, mixed = k * keys, v * values, torch.zeros_like(x)
        for head in range(trunk.config.heads):
            part = slice(head * size, (head + 1) * size)
            for i in range(len(x)):
                weights = torch.softmax(k[: i + 1, part] @ q[i, part] / math.sqrt(size), 0)
                mixed[i, part] = weights @ v[: i + 1, part]
        x = x + linear(f"{block}.attn.o", mixed)
        inner = linear(f"{block}.mlp.fc", norm(f"{block}.ln_2", x))
        inner = inner * 0.5 * (1 + torch.erf(inner / math.sqrt(2)))  # GELU
        x = x + linear(f"{block}.mlp.proj", inner * inside)
    return norm("ln_out", x)


@pytest.mark.parametrize("ia3", [None, some_ia3()], ids=["plain", "IA3"])
def test_hidden_vectors_are_those_of_a_plain_reference(make_trunk: MakeTrunk, ia3: IA3 | None) -> None:
    trunk, x = make_trunk(), tokens()
    hidden, cache = trunk(x, ia3)
    assert cache is None
    for row in range(len(x)):
        torch.testing.assert_close(hidden[row], reference(trunk, x[row], ia3), atol=1e-5, rtol=1e-5)


def test_an_edited_token_changes_nothing_before_it(make_trunk: MakeTrunk) -> None:
    trunk, x = make_trunk(), tokens()
    edited = x.clone()
    edited[:, 4] = tokens(seed=1)[:, 4]
    before, after = trunk(x)[0], trunk(edited)[0]
    torch.testing.assert_close(after[:, :4], before[:, :4], atol=1e-6, rtol=0)
    assert ((after - before)[:, 4:].abs().amax(-1) > 1e-3).all()


def test_a_causal_mask_is_what_no_mask_means(make_trunk: MakeTrunk) -> None:
    trunk, x = make_trunk(), tokens()
    mask = torch.ones(7, 7, dtype=torch.bool).tril()
    torch.testing.assert_close(trunk(x, mask=mask)[0], trunk(x)[0], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(trunk(x, mask=mask.expand(3, 1, 7, 7))[0], trunk(x)[0], atol=1e-5, rtol=1e-5)


def test_a_token_that_the_mask_hides_might_as_well_not_be_there(make_trunk: MakeTrunk) -> None:
    trunk, x = make_trunk(), tokens()
    mask = torch.ones(7, 7, dtype=torch.bool).tril()
    mask[3:, 2] = False
    left = [0, 1, 3, 4, 5, 6]
    torch.testing.assert_close(trunk(x, mask=mask)[0][:, left], trunk(x[:, left])[0], atol=1e-5, rtol=1e-5)


class Everywhere(Tuning):
    """Adds to the input of every layer, and doubles what it adds to the output."""

    sites = SITES

    def __init__(self) -> None:
        super().__init__(16, 2)
        self.seen: list[tuple[int, str]] = []

    def before(self, layer: int, site: str, x: Tensor) -> Tensor:
        self.seen.append((layer, site))
        return x + 1

    def after(self, layer: int, site: str, x: Tensor, y: Tensor) -> Tensor:
        assert x.shape[:-1] == y.shape[:-1]
        return 2 * y


def test_a_tuning_changes_every_site_of_every_block(make_trunk: MakeTrunk) -> None:
    trunk, x, tuning = make_trunk(), tokens(), Everywhere()
    hidden, _ = trunk(x, tuning)
    assert sorted(tuning.seen) == sorted(
        [(0, "ln_in"), (0, "ln_out"), *((i, site) for i in (0, 1) for site in SITES[:8])]
    )
    twin = copy.deepcopy(trunk)
    for module in [m for m in twin.modules() if isinstance(m, (torch.nn.Linear, torch.nn.LayerNorm))]:
        module.register_forward_pre_hook(lambda _, given: (given[0] + 1,))
        module.register_forward_hook(lambda _, given, y: 2 * y)
    torch.testing.assert_close(hidden, twin(x)[0])


@pytest.mark.parametrize("sizes", [(16, 3), (32, 2)])
def test_a_tuning_for_another_trunk_is_refused(make_trunk: MakeTrunk, sizes: tuple[int, int]) -> None:
    with pytest.raises(TransferError, match=rf"IA3 for a trunk of width {sizes[0]} and depth {sizes[1]}, this one has"):
        make_trunk()(tokens(), some_ia3(*sizes))


def test_bfloat16_stays_close_to_float32(make_trunk: MakeTrunk) -> None:
    trunk, x = make_trunk(), tokens(length=60)
    wide, _ = trunk(x)
    with torch.autocast("cpu", torch.bfloat16):
        narrow, _ = trunk(x)
    error = (narrow.float() - wide).abs()
    assert 0 < error.mean() < 0.02 and error.max() < 0.3


def test_bfloat16_is_causal_too(make_trunk: MakeTrunk) -> None:
    trunk, x = make_trunk(), tokens()
    edited = x.clone()
    edited[:, 4] = tokens(seed=1)[:, 4]
    with torch.autocast("cpu", torch.bfloat16):
        before, after = trunk(x)[0], trunk(edited)[0]
    assert torch.equal(after[:, :4], before[:, :4])
    assert not torch.equal(after[:, 4:], before[:, 4:])


def test_gradients_in_bfloat16_point_the_same_way(make_trunk: MakeTrunk) -> None:
    trunk, x = make_trunk(), tokens(length=20)
    weights = [p for name, p in trunk.blocks.named_parameters() if not name.endswith("k.bias")]  # softmax ignores it
    wanted = tokens(length=20, seed=1)
    exact = torch.autograd.grad((trunk(x)[0] - wanted).square().mean(), weights)
    with torch.autocast("cpu", torch.bfloat16):
        narrow = torch.autograd.grad((trunk(x)[0].float() - wanted).square().mean(), weights)
    for one, other in zip(exact, narrow, strict=True):
        assert torch.cosine_similarity(one.flatten(), other.flatten(), 0) > 0.98


def test_dropout_acts_in_training_mode_alone(make_trunk: MakeTrunk) -> None:
    trunk, x = make_trunk(dropout=0.5), tokens()
    assert torch.equal(trunk(x)[0], trunk(x)[0])
    trunk.train()
    assert not torch.equal(trunk(x)[0], trunk(x)[0])


def test_every_step_of_a_long_episode_has_a_time_of_its_own(make_trunk: MakeTrunk) -> None:
    times = make_trunk(lively=False).time.linear.weight.new_tensor(range(1000)).long()
    vectors = make_trunk().time(times[None])[0]  # (1000, D)
    distances = torch.cdist(vectors, vectors) + torch.eye(1000) * 1e9
    assert distances.min() > 1e-3


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"width": 15, "heads": 3}, "width must be even"),
        ({"width": 16, "heads": 3}, "multiple of heads"),
        ({"depth": 0}, "at least 1"),
        ({"dropout": 1.0}, "below 1"),
        *(({"width": value}, "trunk.width=") for value in (2.5, True, "128", math.nan, 10**15, None)),
        *(({"depth": value}, "trunk.depth=") for value in (10**7, -1, 1.5)),
        *(({"dropout": value}, "trunk.dropout=") for value in (math.nan, "0.1", False, -0.1)),
    ],
)
def test_sizes_that_do_not_fit_are_refused(sizes: dict[str, float], message: str) -> None:
    with pytest.raises(TransferError, match=message):
        TrunkConfig(**sizes)  # type: ignore[arg-type]
    with pytest.raises(TransferError, match="config is of type dict; TrunkConfig is needed"):
        Trunk(sizes)  # type: ignore[arg-type]


def test_sizes_given_as_numpy_s_numbers_are_stored_as_python_s() -> None:
    config = TrunkConfig(width=np.int64(16), depth=np.uint8(2), heads=np.array(2), dropout=np.float32(0.5))  # type: ignore[arg-type]
    assert config == TrunkConfig(16, 2, 2, 0.5) and {type(value) for value in asdict(config).values()} == {int, float}


def test_picked_positions_have_the_hidden_vectors_they_have_among_all() -> None:
    torch.manual_seed(0)
    trunk, x = Trunk(TrunkConfig(width=16, depth=2, heads=2)).eval(), torch.randn(3, 8, 16)
    tuning = some_ia3()
    whole, _ = trunk(x, tuning)
    picked, _ = trunk(x, tuning, pick=lambda y: y[:, 1::3])
    torch.testing.assert_close(picked, whole[:, 1::3], atol=1e-6, rtol=1e-6)
