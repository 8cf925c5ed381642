"""Whatever somebody hooks, wraps or replaces in a model, its actions are those that its forward of training gives."""

import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrizations, prune

from tests.forcing import check_forced, close, decode, plan, shown
from transfer.adapters.readouts.regression import SpreadRegression
from transfer.adapters.states.state import StateGroup
from transfer.data.batch import Batch
from transfer.decoding.cached import CachedDecoder
from transfer.errors import TransferError
from transfer.models.sequence_model import TransferModel
from transfer.models.trunk import Attention, Block, FeedForward, Trunk
from transfer.runtime.layers.attention import causal_attention
from transfer.runtime.logs import warn_once

MakeModel = Callable[..., TransferModel]
MakeBatch = Callable[..., Batch]
Change = Callable[[TransferModel], Any]


class Squared(FeedForward):
    """Of another activation."""

    def forward(self, x: Tensor, *tuning: Any) -> Tensor:
        return self.proj(F.relu(self.fc(x)).square())


class Halved(Attention):
    def forward(self, *args: Any) -> Tensor:
        return super().forward(*args) / 2


class Forgetful(Attention):
    """Knows nothing of caches, and looks at two tokens."""

    def forward(self, x: Tensor, *args: Any) -> Tensor:
        q, k, v = (self._split(part(x)) for part in (self.q, self.k, self.v))
        seen = x.new_ones(x.shape[1], x.shape[1], dtype=torch.bool).tril().triu(-1)
        return self.o(F.scaled_dot_product_attention(q, k, v, attn_mask=seen).transpose(1, 2).flatten(2))


class Narrow(Attention):
    """Takes what the first version of an attention took."""

    def forward(self, x: Tensor, tuning: Any = None, mask: Any = None, cache: Any = None, *rest: Any) -> Tensor:
        if cache is not None:
            raise NotImplementedError
        return self.o(
            causal_attention(*(self._split(part(x)) for part in (self.q, self.k, self.v))).transpose(1, 2).flatten(2)
        )


class Near(Attention):
    """Looks at the newest nine tokens without a cache, at all of them behind one."""

    def forward(self, x: Tensor, gains: Any, mask: Any, cache: Any, *rest: Any) -> Tensor:
        if cache is None or not cache.length:
            mask = x.new_ones(x.shape[1], x.shape[1], dtype=torch.bool).tril().triu(-8)
        return super().forward(x, gains, mask, cache, *rest)


class Doubled(Block):
    def forward(self, *args: Any) -> Tensor:
        return 2 * super().forward(*args)


class Bent(nn.LayerNorm):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x).sin()


class Shifted(nn.Linear):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) + 0.5


class Wrapped(nn.Module):
    """What fine-tuning puts around a layer."""

    def __init__(self, inner: nn.Linear) -> None:
        super().__init__()
        self.inner, self.more = inner, nn.Parameter(torch.full((inner.in_features, inner.out_features), 0.05))

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x) + x @ self.more


def as_kind(module: nn.Module, kind: type[nn.Module]) -> None:
    module.__class__ = kind


def parts(model: TransferModel) -> dict[str, nn.Module]:
    block = model.trunk.blocks[1]
    return {
        "trunk": model.trunk,
        "block": block,
        "attention": block.attn,
        "feed-forward": block.mlp,
        "norm": block.ln_2,
        "linear": block.mlp.fc,
        "first norm": model.trunk.ln_in,
        "time": model.trunk.time,
        "returns": model.trunk.returns,
        "state": model.adapter.state,
        "action": model.adapter.action,
    }


def louder(module: nn.Module, inputs: Any, output: Any) -> Any:
    """Adds to what a module returns what no LayerNorm takes back."""
    return (output[0] + output[0].sin(), *output[1:]) if isinstance(output, tuple) else output + output.sin()


def turned(module: nn.Module, inputs: Any) -> Any:
    return (inputs[0].cos(), *inputs[1:])


TRUNKS = "trunk", "block", "attention", "feed-forward", "norm", "linear", "first norm", "time", "returns"
HOOKED = *TRUNKS, "state", "action"
CHANGES: dict[str, Change] = {
    **{f"hook on {name}": lambda m, name=name: parts(m)[name].register_forward_hook(louder) for name in HOOKED},
    "hook before feed-forward": lambda m: m.trunk.blocks[0].mlp.register_forward_pre_hook(turned),
    "backward hook": lambda m: m.trunk.blocks[0].mlp.register_full_backward_hook(lambda *_: None),
    "feed-forward of a class": lambda m: as_kind(m.trunk.blocks[0].mlp, Squared),
    "attention of a class": lambda m: as_kind(m.trunk.blocks[1].attn, Halved),
    "attention without a cache": lambda m: as_kind(m.trunk.blocks[0].attn, Forgetful),
    "attention that refuses a cache": lambda m: as_kind(m.trunk.blocks[0].attn, Narrow),
    "attention that differs behind many tokens": lambda m: as_kind(m.trunk.blocks[0].attn, Near),
    "block of a class": lambda m: as_kind(m.trunk.blocks[0], Doubled),
    "norm of a class": lambda m: as_kind(m.trunk.ln_out, Bent),
    "linear of a class": lambda m: as_kind(m.trunk.blocks[1].attn.v, Shifted),
    "wrapped linear": lambda m: setattr(m.trunk.blocks[1].attn, "q", Wrapped(m.trunk.blocks[1].attn.q)),
    "parametrization": lambda m: parametrizations.weight_norm(m.trunk.blocks[1].mlp.proj),
    "pruning": lambda m: prune.l1_unstructured(m.trunk.blocks[1].mlp.fc, "weight", 0.5),
    "pruned columns": lambda m: prune.ln_structured(m.trunk.blocks[0].attn.o, "weight", 0.5, n=2, dim=0),
    "method of an object": lambda m: setattr(m.trunk.blocks[0].mlp, "forward", lambda x, *tuning: x.tanh()),
    "fewer blocks": lambda m: setattr(m.trunk, "blocks", m.trunk.blocks[:1]),
    "another eps": lambda m: setattr(m.trunk.blocks[0].ln_1, "eps", 0.5),
    "other heads": lambda m: setattr(m.trunk.blocks[0].attn, "heads", 1),
    "a wider feed-forward": lambda m: wider(m.trunk.blocks[1].mlp),
    "no bias": lambda m: m.trunk.blocks[1].attn.q.register_parameter("bias", None),
    "time replaced": lambda m: setattr(m.trunk, "time", Clock(m.trunk.config.width)),
    "state replaced": lambda m: setattr(m.adapter, "state", Behind(m.adapter.state, nn.Tanh())),
    "layer of the state replaced": lambda m: setattr(
        m.adapter.state, "proj", nn.Sequential(m.adapter.state.proj, nn.Tanh())
    ),
    "state with dropout, while it trains": lambda m: dropping(m),
}


SAME = "backward hook", "parametrization", "state with dropout, while it trains"  # change no number


class Behind(StateGroup):
    """A state embedding with another module behind it."""

    def __init__(self, inner: StateGroup, last: nn.Module) -> None:
        super().__init__()
        self.inner, self.last = inner, last

    def embed(self, *given: Any) -> Tensor:
        return self.last(self.inner(*given))


class Clock(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width

    def forward(self, steps: Tensor) -> Tensor:
        return (steps[..., None].float() / 7).sin().expand(*steps.shape, self.width)


def wider(mlp: FeedForward) -> None:
    width = mlp.fc.in_features
    torch.manual_seed(1)
    mlp.fc, mlp.proj = type(mlp.fc)(width, 5 * width), type(mlp.fc)(5 * width, width)


def dropping(model: TransferModel) -> None:
    model.adapter.state = Behind(model.adapter.state, nn.Dropout(0.5))
    model.train()


@pytest.fixture(autouse=True)
def no_gradients() -> Iterator[None]:
    with torch.no_grad():
        yield


@pytest.fixture(params=["kernels"], autouse=True)
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "PyTorch":
        monkeypatch.setattr("transfer.runtime.native.fits", lambda size: False)
    else:
        request.getfixturevalue("kernels")


def changed(make_model: MakeModel, name: str, action: str) -> TransferModel:
    model = make_model(action=action, width=32, ia3=name not in ("a wider feed-forward", "fewer blocks"))
    CHANGES[name](model)
    return model


def check(name: str, kind: str, make_model: MakeModel, make_batch: MakeBatch) -> None:
    model = changed(make_model, name, kind)
    batch = make_batch(model, steps=8)
    chosen = decode(model, batch, 4, "autoregressive")
    check_forced(model.eval(), batch, chosen, 4)
    plain = decode(make_model(action=kind, width=32, ia3=True), batch, 4, "autoregressive")
    assert (chosen - plain).abs().max() > 1e-3 or name in SAME


@pytest.mark.parametrize("name", CHANGES)
def test_actions_are_those_of_trainings_forward(name: str, make_model: MakeModel, make_batch: MakeBatch) -> None:
    check(name, "ActionTokenizedSpreadEmbedding", make_model, make_batch)


@pytest.mark.parametrize("way", ["kernels", "PyTorch"], indirect=True)
@pytest.mark.parametrize("name", ["hook on trunk", "attention without a cache", "hook on state", "hook on action"])
def test_so_are_whole_actions(name: str, make_model: MakeModel, make_batch: MakeBatch) -> None:
    check(name, "ActionEmbedding", make_model, make_batch)


@pytest.mark.parametrize("name", ["hook on block", "attention without a cache", "fewer blocks", "hook on action"])
def test_parallel_decoding_and_environments_that_leave_are_so_too(
    name: str, make_model: MakeModel, make_batch: MakeBatch
) -> None:
    model = changed(make_model, name, "ActionSpreadEmbedding")
    batch = make_batch(model, rows=3, steps=9)
    together = decode(model, batch, 4, "parallel")
    planner, rows = plan(model, 3, 4, "parallel"), torch.arange(3)
    for t in range(9):
        if t == 5:
            rows = torch.tensor([2, 0])
            planner.select(rows)
        close(planner.act(shown(batch, t, rows)), together[rows, t])


def test_hooks_on_all_modules_count(make_model: MakeModel, make_batch: MakeBatch) -> None:
    model = make_model(width=32)
    batch = make_batch(model, steps=8)
    plain = decode(model, batch, 6, "autoregressive")
    handle = nn.modules.module.register_module_forward_hook(
        lambda module, _, output: 2 * output if isinstance(module, FeedForward) else None
    )
    try:
        chosen = decode(model, batch, 6, "autoregressive")
        check_forced(model, batch, chosen, 6)
    finally:
        handle.remove()
    assert (chosen - plain).abs().max() > 1e-3
    assert torch.equal(decode(model, batch, 6, "autoregressive"), plain)


WHOLE_CLASSES = {
    "forward": (nn.LayerNorm, lambda plain: lambda self, x: plain(self, x).tanh()),
    "project": (Attention, lambda plain: lambda self, *given: tuple(2 * one for one in plain(self, *given))),
    "predict": (SpreadRegression, lambda plain: lambda self, *given: plain(self, *given) / 2),
}


@pytest.mark.parametrize("way", ["kernels", "PyTorch"], indirect=True)
@pytest.mark.parametrize("name", WHOLE_CLASSES)
def test_a_method_replaced_for_a_whole_class_counts(
    name: str, make_model: MakeModel, make_batch: MakeBatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, (kind, change) = make_model(width=32), WHOLE_CLASSES[name]
    batch = make_batch(model, steps=8)
    monkeypatch.setattr(kind, name, change(getattr(kind, name)))
    check_forced(model, batch, decode(model, batch, 6, "autoregressive"), 6)


def test_the_reason_is_logged_once(make_model: MakeModel, caplog: pytest.LogCaptureFixture) -> None:
    warn_once.cache_clear()
    model = changed(make_model, "wrapped linear", "ActionEmbedding")
    with caplog.at_level(logging.WARNING, "transfer"):
        for _ in range(3):
            assert not plan(model, 1, 6).decoder.plain
    assert [record.getMessage() for record in caplog.records] == [
        "trunk: 'blocks.1.attn.q' is a Wrapped, so actions are chosen through the trunk's own forward, slower."
    ]


def test_a_cache_serves_wherever_it_makes_no_difference(make_model: MakeModel) -> None:
    for name, cached in (("wrapped linear", True), ("hook on block", True), ("attention without a cache", False)):
        decoder = plan(changed(make_model, name, "ActionEmbedding"), 1, 6).decoder
        assert not decoder.plain and (decoder.cache is not None) == cached


@pytest.mark.parametrize("way", ["kernels", "PyTorch"], indirect=True)
@pytest.mark.parametrize("where", ["model", "trunk", "adapter"])
def test_float64_and_half_weights_act(action: str, where: str, make_model: MakeModel, make_batch: MakeBatch) -> None:
    how = "autoregressive"
    model = make_model(action=action, width=32, ia3=True)
    batch = make_batch(model, steps=9)
    plain = decode(model, batch, 6, how)
    part = {"model": model, "trunk": model.trunk, "adapter": model.adapter}[where]
    part.double()
    wide = decode(model, batch, 6, how)
    assert wide.dtype == torch.float64
    torch.testing.assert_close(wide.float(), plain, atol=1e-3, rtol=1e-3)
    part.bfloat16()
    half = decode(model, batch, 6, how)
    assert half.dtype == torch.float32 and torch.equal(half, decode(model.float(), batch, 6, how))


def test_what_is_no_group_is_refused(make_model: MakeModel) -> None:
    model = make_model(width=32)
    model.adapter.state = nn.Sequential(model.adapter.state, nn.Tanh())
    with pytest.raises(TransferError, match="the state part is of type Sequential; Group is needed"):
        plan(model, 1, 6)


def test_unchanged_models_are_decoded(make_model: MakeModel) -> None:
    assert not isinstance(plan(make_model(width=32), 1, 6).decoder, CachedDecoder)
    assert isinstance(Trunk().blocks[0], Block)
