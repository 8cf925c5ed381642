"""Every tuning: nothing at the start, folded as unfolded, for its own windows; LoRA against PEFT's."""

import copy
import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.lively import enliven
from transfer import registry
from transfer.data.batch import Batch
from transfer.decoding.cached import CachedDecoder
from transfer.decoding.decoder import make_decoder, slow
from transfer.decoding.folding import foldable
from transfer.errors import TransferError
from transfer.models.adapter import Adapter
from transfer.models.mixed_model import MixedModel
from transfer.models.sequence_model import TransferModel
from transfer.models.steps.adapter_config import AdapterConfig
from transfer.models.trunk import Trunk
from transfer.models.tuning import SITES, Affine, Tuning, make_tuning
from transfer.registry import PartSpec, build, known

LINEAR = ("q", "k", "v", "o", "fc", "proj")
SPECS = {
    "ia3": PartSpec("ia3"),
    "lora": PartSpec("lora", {"rank": 3, "alpha": 5.0, "sites": LINEAR}),
    "layernorm": PartSpec("layernorm"),
    "bitfit": PartSpec("bitfit"),
    "several": PartSpec("several", {"parts": [{"kind": "ia3"}, {"kind": "lora", "sites": ["proj", "k"]}]}),
}


class Shift(Tuning):
    """Adds to what attention adds."""

    sites = ("o",)

    def __init__(self, width: int, depth: int) -> None:
        super().__init__(width, depth)
        self.shifts = nn.ParameterList(nn.Parameter(torch.zeros(width)) for _ in range(depth))

    def after(self, layer: int, site: str, x: Tensor, y: Tensor) -> Tensor:
        """The output (..., D), moved."""
        return y + self.shifts[layer]

    def fold(self, layer: int, site: str, weight: Tensor, bias: Tensor) -> Affine | None:
        """Into the bias."""
        return weight, bias + self.shifts[layer]


@pytest.fixture(params=SPECS)
def tuning(request: pytest.FixtureRequest) -> Tuning:
    """Of a trunk of width 16 and depth 2, as after a long training."""
    made: Tuning = build("tuning", SPECS[request.param], 16, 2)
    enliven(made, 1)
    return made


def tokens(rows: int = 3) -> Tensor:
    return torch.randn(rows, 7, 16, generator=torch.Generator().manual_seed(0))


def test_each_kind_has_a_case() -> None:
    assert set(SPECS) == set(known("tuning"))


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
def test_a_new_one_changes_nothing_to_the_bit(spec: PartSpec, make_trunk: Callable[..., Trunk]) -> None:
    trunk, x = make_trunk(), tokens()
    assert torch.equal(trunk(x, build("tuning", spec, 16, 2))[0], trunk(x)[0])


def test_every_parameter_changes_the_output_and_gets_a_gradient(
    tuning: Tuning, make_trunk: Callable[..., Trunk]
) -> None:
    trunk, x = make_trunk().requires_grad_(False), tokens()
    hidden = trunk(x, tuning)[0]
    assert (hidden - trunk(x)[0]).abs().max() > 0.05
    hidden.square().mul(torch.rand(16)).sum().backward()
    assert all(p.grad is not None and (p.grad != 0).any() for p in tuning.parameters())


@pytest.mark.parametrize("kernels_off", [False, True])
def test_decoders_fold_it(
    tuning: Tuning, kernels_off: bool, make_trunk: Callable[..., Trunk], monkeypatch: pytest.MonkeyPatch
) -> None:
    if kernels_off:
        monkeypatch.setattr("transfer.runtime.native.fits", lambda size: False)
    trunk, x = make_trunk(), tokens()
    with torch.no_grad():
        wanted, decoder = trunk(x, tuning)[0], make_decoder(trunk, tuning, 3, 7)
        assert slow(trunk, tuning) == "" and not (isinstance(decoder, CachedDecoder) and decoder.tuning)
        pieces = [decoder.read(piece, piece.shape[1]) for piece in x.split((2, 1, 4), 1)]
    torch.testing.assert_close(torch.cat(pieces, 1), wanted, atol=2e-5, rtol=2e-5)


def test_windows_of_a_mixed_batch_have_their_own(
    tuning: Tuning,
    make_trunk: Callable[..., Trunk],
    make_adapter: Callable[..., Adapter],
    make_batch: Callable[..., Batch],
) -> None:
    trunk = make_trunk()
    plain, tuned = make_adapter("Walker2d-v5", 0, trunk), make_adapter("HalfCheetah-v5", 1, trunk, ia3=True)
    tuned.tuning = tuning
    mixed = MixedModel(trunk, {"plain": plain, "tuned": tuned})
    batches = {name: make_batch(model, seed=i) for i, (name, model) in enumerate(mixed.models.items())}
    together = mixed.loss(batches)
    for name, batch in batches.items():
        alone = mixed[name].loss(batch)["action"]
        torch.testing.assert_close(together[f"{name}/action"].sum, alone.sum, atol=1e-4, rtol=1e-5)


@pytest.mark.parametrize("kind", SPECS)
def test_it_trains_saves_and_acts_as_before(
    kind: str, make_trunk: Callable[..., Trunk], make_episodes: Callable[..., Any], tmp_path: Any
) -> None:
    from transfer.recipes.programs.adapt import adapt
    from transfer.training.train_config import TrainConfig

    trunk, data = make_trunk(), make_episodes()
    config = AdapterConfig(tuning=SPECS[kind])
    settings = TrainConfig(steps=4, batch_size=4, context=3, log_every=4, save_every=4)
    result = adapt(trunk, data, "embeddings+tuning", config=settings, adapter_config=config)
    assert result.before == result.after and "tuning" in result.fit.selection.parts
    result.adapter.save(tmp_path)
    loaded = TransferModel(trunk, Adapter.load(tmp_path, trunk))
    state = torch.ones(11).numpy()
    one, other = (model.policy(target_return=5.0).act(state) for model in (result.model, loaded))
    assert (one == other).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rank": 0}, r"adapter\.tuning\.rank"),
        ({"alpha": 0.0}, r"adapter\.tuning\.alpha"),
        ({"sites": []}, r"adapter\.tuning\.sites is \[\]"),
        ({"sites": ["q", "q"]}, r"distinct layers"),
        ({"sites": ["ln_1"]}, r"unknown adapter\.tuning\.sites 'ln_1'"),
        ({"ranks": 4}, r"unknown option of tuning 'lora' 'ranks'. Did you mean 'rank'"),
    ],
)
def test_unsound_options_are_refused_before_anything_is_built(options: dict[str, Any], message: str) -> None:
    with pytest.raises(TransferError, match=message):
        AdapterConfig(tuning=PartSpec("lora", options))


def test_several_want_two_sound_ones() -> None:
    with pytest.raises(TransferError, match="a list of two tunings or more"):
        AdapterConfig(tuning=PartSpec("several", {"parts": [{"kind": "ia3"}]}))
    with pytest.raises(TransferError, match="unknown tuning kind 'ia4'"):
        AdapterConfig(tuning=PartSpec("several", {"parts": [{"kind": "ia3"}, {"kind": "ia4"}]}))


def test_counts() -> None:
    counts = {kind: sum(p.numel() for p in build("tuning", spec, 16, 2).parameters()) for kind, spec in SPECS.items()}
    width, depth = 16, 2
    assert counts["ia3"] == depth * 6 * width
    assert counts["layernorm"] == (2 * depth + 2) * 2 * width
    assert counts["bitfit"] == depth * 11 * width + 2 * width
    assert counts["lora"] == depth * 3 * (4 * 2 * width + 2 * 5 * width)
    assert [site for site in SITES if site.startswith("ln")] == ["ln_1", "ln_2", "ln_in", "ln_out"]


def test_lora_equals_peft_on_the_same_weights(make_trunk: Callable[..., Trunk]) -> None:
    from peft import LoraConfig, inject_adapter_in_model

    trunk, x = make_trunk(), tokens()
    ours: Any = build("tuning", SPECS["lora"], 16, 2)
    enliven(ours, 2)
    with torch.no_grad():
        wanted, plain = trunk(x, ours)[0], trunk(x)[0]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            theirs = inject_adapter_in_model(
                LoraConfig(r=3, lora_alpha=5, target_modules=list(LINEAR)), copy.deepcopy(trunk)
            ).eval()
        for number, block in enumerate(theirs.blocks):
            for site in LINEAR:
                layer = getattr(block.mlp if site in ("fc", "proj") else block.attn, site)
                layer.lora_A["default"].weight.copy_(ours.down[f"{number}_{site}"])
                layer.lora_B["default"].weight.copy_(ours.up[f"{number}_{site}"])
        torch.testing.assert_close(theirs(x)[0], wanted, atol=1e-5, rtol=1e-5)
    assert (wanted - plain).abs().max() > 0.1


class Partly(Shift):
    """Folds in its first block alone."""

    def fold(self, layer: int, site: str, weight: Tensor, bias: Tensor) -> Affine | None:
        """None behind the first block."""
        return None if layer else super().fold(layer, site, weight, bias)


def test_a_tuning_that_folds_in_its_first_block_alone_is_not_folded(make_trunk: Callable[..., Trunk]) -> None:
    trunk, tuning, x = make_trunk(), Partly(16, 2), tokens()
    enliven(tuning, 1)
    assert not foldable(trunk, tuning) and foldable(trunk, Shift(16, 2)) and foldable(trunk, None)
    decoder = make_decoder(trunk.eval(), tuning, 3, 7)
    with torch.inference_mode():
        torch.testing.assert_close(decoder.read(x, 7), trunk(x, tuning)[0], atol=1e-5, rtol=1e-5)


class Doubled(Shift):
    """Computes otherwise than what it inherits folds."""

    def after(self, layer: int, site: str, x: Tensor, y: Tensor) -> Tensor:
        """Twice."""
        return y + 2 * self.shifts[layer]


@pytest.mark.parametrize("nested", [False, True])
def test_a_tuning_that_computes_otherwise_than_it_folds_is_not_folded(
    nested: bool, make_trunk: Callable[..., Trunk], make_model: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(registry._table()["tuning"], "doubled", Doubled)
    spec = PartSpec("several", {"parts": [{"kind": "ia3"}, {"kind": "doubled"}]}) if nested else PartSpec("doubled")
    trunk, x, tuning = make_trunk(), tokens(), make_tuning(spec, 16, 2)
    enliven(tuning, 1)
    assert not foldable(trunk, tuning)
    with torch.inference_mode():
        found = make_decoder(trunk.eval(), tuning, 3, 7).read(x, 7)
        torch.testing.assert_close(found, trunk(x, tuning)[0], atol=1e-5, rtol=1e-5)
    bound = Shift(16, 2)
    assert foldable(trunk, bound)
    bound.after = lambda layer, site, x, y: 2 * y  # type: ignore[method-assign]
    assert not foldable(trunk, bound)


@pytest.mark.parametrize(
    ("attributes", "said"),
    [
        ({"sites": ("attention",)}, "unknown site of the tuning 'mine' 'attention'"),
        ({"sites": "o"}, "sites of the tuning 'mine' is 'o'; some of q, k"),
        ({}, "sites of the tuning 'mine' is None; some of q, k"),
        ({"sites": ("o",), "__init__": lambda self, width, depth: None}, r"'mine' does not call super\(\).__init__"),
        ({"sites": ("o",), "__init__": lambda self: None}, "tuning kind 'mine': .* cannot be called: too many"),
    ],
)
@pytest.mark.parametrize("nested", [False, True])
def test_a_tuning_of_a_stranger_s_that_would_change_nothing_is_refused(
    attributes: dict[str, Any], said: str, nested: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(registry._table()["tuning"], "mine", type("Mine", (Tuning,), attributes))
    spec = PartSpec("several", {"parts": ["ia3", "mine"]}) if nested else PartSpec("mine")
    with pytest.raises(TransferError, match=said):
        make_tuning(spec, 16, 1)
