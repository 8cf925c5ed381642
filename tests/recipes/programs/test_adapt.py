"""Adapting: the trunk stays as it was to the bit, what was selected trains, and nothing runs untrained."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.hooks import Hooks
from tests.kinds import config_of
from transfer.adapters.inherit import BY_VALUE
from transfer.adapters.methods.dt import DT
from transfer.data.batch import Batch
from transfer.data.environment.spec import EnvironmentSpec
from transfer.data.episodes import Episodes
from transfer.data.windows import WindowSampler
from transfer.errors import TransferError
from transfer.evaluation.evaluate import evaluate
from transfer.models.adapter import Adapter
from transfer.models.freezing import train_only
from transfer.models.mlp import MLPPolicy
from transfer.models.sequence_model import TransferModel
from transfer.models.trunk import Trunk, TrunkConfig
from transfer.recipes.programs.adapt import AdaptResult, adapt
from transfer.recipes.programs.modes import MODES, find_mode, named, new_trunk, scaled, shuffle
from transfer.storage.fingerprints import fingerprint
from transfer.training.train_config import TrainConfig

SMALL = TrunkConfig(width=16, depth=2, heads=2)
MakeTrunk = Callable[..., Trunk]
MakeAdapter = Callable[..., Adapter]
MakeEpisodes = Callable[..., Episodes]
FROZEN = [name for name, mode in MODES.items() if mode.frozen]
# Without decay, which would move a tensor that gets no gradient.
CONFIG = TrainConfig(steps=2, batch_size=16, context=6, lr=0.05, warmup=0.0, weight_decay=0.0)


def state_of(module: nn.Module) -> dict[str, Tensor]:
    """Every parameter and every buffer, those that are not saved too."""
    return {name: t.detach().clone() for name, t in [*module.named_parameters(), *module.named_buffers()]}


def moved(before: dict[str, Tensor], after: dict[str, Tensor]) -> set[str]:
    assert before.keys() == after.keys()
    return {name for name in before if not torch.equal(before[name], after[name])}


@pytest.fixture
def source(make_trunk: MakeTrunk, make_adapter: MakeAdapter) -> tuple[Trunk, Adapter]:
    """A trunk and the adapter of another body with the sizes of the target, so that every mode can inherit."""
    trunk = make_trunk()
    return trunk, make_adapter("HalfCheetah-v5", trunk=trunk)


@pytest.fixture
def walker(make_episodes: MakeEpisodes) -> Episodes:
    return make_episodes("Walker2d-v5", lengths=(20, 9, 31, 2), seed=1)


def run(source: tuple[Trunk, Adapter], walker: Episodes, mode: str, **options: Any) -> AdaptResult:
    """A half cheetah happens to have a walker's sizes, so every mode can be tried."""
    return adapt(source[0], walker, mode, source=source[1], **{"config": CONFIG, "any_body": True, **options})


@pytest.mark.parametrize("mode", FROZEN)
def test_a_frozen_mode_leaves_the_trunk_as_it_was_to_the_bit(
    mode: str, source: tuple[Trunk, Adapter], walker: Episodes
) -> None:
    trunk, before, mark = source[0], state_of(source[0]), fingerprint(source[0])
    works_on = {
        "pretrained": lambda: trunk,
        "random": lambda: new_trunk(SMALL, 0),
        "scaled-random": lambda: scaled(new_trunk(SMALL, 0), trunk),
        "shuffled": lambda: shuffle(trunk, 0),
    }[MODES[mode].trunk]()
    start = state_of(works_on)
    result = run(source, walker, mode)
    assert not moved(before, state_of(trunk)) and fingerprint(trunk) == mark
    assert not moved(start, state_of(result.model.trunk))
    assert result.before == result.after == fingerprint(result.model.trunk) == fingerprint(works_on)
    assert (result.model.trunk is trunk) == (MODES[mode].trunk == "pretrained")
    assert (result.after == mark) == (MODES[mode].trunk == "pretrained")


@pytest.mark.parametrize("mode", [*FROZEN, "full", "scratch-adapt", "scratch-total"])
def test_one_step_moves_every_selected_tensor_and_no_other_after_an_evaluation_too(
    mode: str, source: tuple[Trunk, Adapter], walker: Episodes, short: Callable[..., EnvironmentSpec]
) -> None:
    seen: list[dict[str, Tensor]] = []

    def on_step(step: int, model: Any) -> None:
        if step == 1:
            seen.append(state_of(model))
            evaluate(model, short("walker2d", 6), 2)
            assert not moved(seen[0], state_of(model))

    result = run(source, walker, mode, callbacks=[Hooks(step=on_step, with_model=True)])
    places = {"trunk": "trunk."} | {part: f"adapter.{part}." for part in ("state", "action", "tuning", "return")}
    selected = tuple(places[part] for part in named(MODES[mode].parts, DT()))
    wanted = {name for name, _ in result.model.named_parameters() if name.startswith(selected)}
    assert moved(seen[0], state_of(result.model)) == wanted == set(result.fit.selection.names)


@pytest.mark.parametrize("mode", ["embeddings+ia3", "embeddings+conditioning", "full"])
def test_gradients_flow_after_an_evaluation(
    mode: str,
    source: tuple[Trunk, Adapter],
    walker: Episodes,
    short: Callable[..., EnvironmentSpec],
    make_batch: Callable[..., Batch],
) -> None:
    model = run(source, walker, mode).model
    assert isinstance(model, TransferModel)
    train_only(model, named(find_mode(mode).parts, DT()))
    evaluate(model, short("walker2d", 6), 2)
    model.loss(make_batch(model))["action"].sum.backward()
    for name, p in model.named_parameters():
        assert (p.grad is not None) == p.requires_grad, name
        assert p.grad is None or p.grad.abs().max() > 0, name


def test_full_trains_a_copy_and_leaves_the_given_trunk_untouched(
    source: tuple[Trunk, Adapter], walker: Episodes
) -> None:
    trunk, before = source[0], state_of(source[0])
    result = run(source, walker, "full")
    assert not moved(before, state_of(trunk))
    assert all(p.requires_grad and p.grad is None for p in trunk.parameters())
    assert result.before == fingerprint(trunk) != result.after


def test_a_trunk_that_changes_behind_the_back_is_noticed(source: tuple[Trunk, Adapter], walker: Episodes) -> None:
    def on_step(step: int, model: Any) -> None:
        if step == 1:
            model.trunk.ln_out.bias.data.view(torch.int32)[0] ^= 1

    with pytest.raises(TransferError, match="the trunk changed although mode 'embeddings' freezes it"):
        run(source, walker, "embeddings", callbacks=[Hooks(step=on_step, with_model=True)])


def test_modes_start_from_the_same_embeddings(source: tuple[Trunk, Adapter], walker: Episodes) -> None:
    still = TrainConfig(steps=1, batch_size=2, context=4, lr=1e-30, weight_decay=0.0)
    starts = [
        run(source, walker, mode, config=still).adapter for mode in ("embeddings", "embeddings+ia3", "scratch-adapt")
    ]
    for other in starts[1:]:
        for part in ("state", "action"):
            mine, theirs = starts[0].parts()[part].parameters(), other.parts()[part].parameters()
            assert all(torch.allclose(p, q, atol=1e-20) for p, q in zip(mine, theirs, strict=True))


def test_scratch_needs_no_trunk(walker: Episodes) -> None:
    result = adapt(None, walker, "scratch-adapt", config=CONFIG, adapter_config=config_of(bins=8))
    assert isinstance(result.model, TransferModel) and result.before != result.after
    assert result.before == fingerprint(new_trunk(TrunkConfig(), 0))


def test_a_name_that_stands_for_two_modes_is_refused(walker: Episodes) -> None:
    with pytest.raises(TransferError, match="stands for scratch-adapt and scratch-total"):
        adapt(None, walker, "scratch")


def test_the_mlp_is_as_large_as_what_embeddings_and_ia3_train(source: tuple[Trunk, Adapter], walker: Episodes) -> None:
    result = run(source, walker, "mlp")
    assert isinstance(result.model, MLPPolicy) and (result.before, result.after) == (None, None)
    wanted = run(source, walker, "embeddings+ia3").fit.selection.parameters
    assert result.fit.selection.parameters == pytest.approx(wanted, rel=0.01)
    with pytest.raises(TransferError, match="without trunk and adapter"):
        _ = result.adapter


def test_the_result_can_be_saved_and_belongs_to_its_trunk(
    source: tuple[Trunk, Adapter], walker: Episodes, tmp_path: Path
) -> None:
    result = run(source, walker, "embeddings+ia3")
    result.adapter.save(tmp_path / "adapter")
    loaded = Adapter.load(tmp_path / "adapter", source[0])
    assert fingerprint(loaded) == fingerprint(result.adapter)
    facts = loaded.provenance
    assert facts.training == {"mode": "embeddings+ia3", "seed": 0, "steps": 2}
    assert (facts.context, facts.datasets) == (6, ("test/Walker2d-v5",))
    with pytest.raises(TransferError, match="was made on the trunk"):
        Adapter.load(tmp_path / "adapter", shuffle(source[0], 0))


def test_steps_take_the_place_of_those_in_the_config(source: tuple[Trunk, Adapter], walker: Episodes) -> None:
    done: list[int] = []
    run(source, walker, "ia3", steps=3, callbacks=[Hooks(step=done.append)])
    assert done == [1, 2, 3]


def test_nothing_is_inherited_unless_asked(source: tuple[Trunk, Adapter], walker: Episodes) -> None:
    result = run(source, walker, "embeddings")
    assert result.inherited == result.adapter.provenance.inherited == ()
    assert result.adapter.action.tokenizer.to_json() != source[1].action.tokenizer.to_json()
    assert result.adapter.statistics.state_mean != source[1].statistics.state_mean


def test_the_action_part_is_inherited_when_asked(source: tuple[Trunk, Adapter], walker: Episodes) -> None:
    still = TrainConfig(steps=1, batch_size=2, context=4, lr=1e-30, weight_decay=0.0)
    result = run(source, walker, "embeddings", config=still, inherit_from_source="action")
    theirs = dict(source[1].named_parameters())
    taken = {name.removesuffix(BY_VALUE): name for name in result.inherited}
    assert set(taken) == {name for name in theirs if name.startswith("action.")}
    assert [name for name, said in taken.items() if said != name] == ["action.table.rows.weight"]
    assert result.inherited == result.adapter.provenance.inherited
    for name, p in result.adapter.named_parameters():
        assert torch.equal(p, theirs[name]) == (taken.get(name) == name), name


@pytest.mark.parametrize("mode", ["state", "ia3", "random-trunk:ia3", "shuffled-trunk:state"])
def test_parts_that_do_not_train_keep_what_the_source_learned(
    mode: str, source: tuple[Trunk, Adapter], walker: Episodes
) -> None:
    result, theirs = run(source, walker, mode), dict(source[1].named_parameters())
    kept = set(named(find_mode(mode).inherits, DT())) - set(find_mode(mode).parts)
    assert "action" in kept
    for name, p in result.adapter.named_parameters():
        if name.split(".")[0] in kept:
            assert torch.equal(p, theirs[name]), name
            assert name in result.inherited


@pytest.mark.parametrize("mode", ["state", "ia3"])
def test_parts_that_do_not_train_read_the_source_s_statistics_and_bins(
    mode: str, source: tuple[Trunk, Adapter], walker: Episodes
) -> None:
    mine, theirs = run(source, walker, mode).adapter, source[1]
    assert mine.statistics.state_mean == theirs.statistics.state_mean
    assert mine.statistics.state_std == theirs.statistics.state_std
    assert mine.action.tokenizer.to_json() == theirs.action.tokenizer.to_json()
    assert torch.equal(mine.action.bins.edges, theirs.action.bins.edges)
    # what to ask for is the target's own
    assert mine.statistics.return_quantiles["max"] == walker.returns.max()
    assert mine.env_spec.name == "walker2d"


@pytest.mark.parametrize("mode", ["state", "ia3", "random-trunk:state"])
def test_a_mode_that_would_run_an_untrained_part_is_refused(
    mode: str, make_trunk: MakeTrunk, make_adapter: MakeAdapter, walker: Episodes
) -> None:
    trunk = make_trunk()
    with pytest.raises(TransferError, match="would run the untrained (action|state).*Use mode 'embeddings'"):
        adapt(trunk, walker, mode, config=CONFIG, source=make_adapter("Hopper-v5", trunk=trunk))


def test_a_shared_action_part_serves_another_number_of_dimensions(
    make_trunk: MakeTrunk, make_adapter: MakeAdapter, walker: Episodes
) -> None:
    trunk = make_trunk()
    hopper = make_adapter("Hopper-v5", trunk=trunk, ranges="shared")
    result = adapt(trunk, walker, "state", config=CONFIG, source=hopper)
    readout = {"action.readout.weight", "action.readout.bias"}
    assert set(result.inherited) == {"action.table.rows.weight (by value)", *readout}
    assert torch.equal(result.adapter.action.readout.weight, hopper.action.readout.weight)
    assert result.adapter.action.tokens == 6


@pytest.mark.parametrize(("mode", "inherit"), [("state", "none"), ("embeddings", "action")])
def test_inheriting_without_a_source_is_refused(
    mode: str, inherit: str, make_trunk: MakeTrunk, walker: Episodes
) -> None:
    with pytest.raises(TransferError, match="give the adapter the trunk came with"):
        adapt(make_trunk(), walker, mode, config=CONFIG, inherit_from_source=inherit)


@pytest.mark.parametrize("extra", ["ia3", "conditioning"])
@pytest.mark.parametrize("mode", ["ia3", "tuning", "state", "random-trunk:ia3"])
def test_extras_of_the_source_are_taken_over_with_the_parts_that_were_trained_beside_them(
    extra: str, mode: str, make_trunk: MakeTrunk, make_adapter: MakeAdapter, make_episodes: MakeEpisodes
) -> None:
    """What `make_adapter` was given counts as learned: nothing of it is one or zero."""
    trunk = make_trunk()
    theirs = make_adapter("HalfCheetah-v5", trunk=trunk, **{extra: True})
    still = TrainConfig(steps=1, batch_size=8, context=6, lr=1e-30, weight_decay=0.0)
    result = adapt(trunk, make_episodes("HalfCheetah-v5", seed=1), mode, config=still, source=theirs)
    learned = {name: p for name, p in theirs.named_parameters() if mode != "state" or not name.startswith("state.")}
    mine = dict(result.adapter.named_parameters())
    assert all(torch.allclose(mine[name], p, atol=1e-20) for name, p in learned.items())
    assert set(learned) <= set(result.inherited) == set(result.adapter.provenance.inherited)


def test_ia3_goes_on_from_the_loss_of_a_source_with_ia3_and_its_own_conditioning(
    make_trunk: MakeTrunk, make_adapter: MakeAdapter, make_episodes: MakeEpisodes
) -> None:
    trunk, episodes = make_trunk(), make_episodes("HalfCheetah-v5")
    theirs = make_adapter("HalfCheetah-v5", trunk=trunk, ia3=True, conditioning=True)
    still = TrainConfig(steps=1, batch_size=8, context=6, lr=1e-30, weight_decay=0.0)
    result = adapt(trunk, episodes, "ia3", config=still, source=theirs, precision="float32")
    batch = WindowSampler(episodes, 6, 8).batch(0)
    with torch.no_grad():
        loss = TransferModel(trunk, theirs).loss(batch)["action"]
    assert result.fit.final_loss == pytest.approx(float(loss.sum / loss.count), rel=1e-5)


@pytest.mark.parametrize("whose", ["trunk", "source"])
@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda module: module.double(), "of the (trunk|source adapter) is torch.float64; training takes float32"),
        (lambda module: module.bfloat16(), "of the (trunk|source adapter) is torch.bfloat16; training takes float32"),
        (lambda module: next(module.parameters()).data.fill_(torch.nan), "holds NaN or infinity before the first step"),
    ],
)
def test_what_cannot_be_trained_around_is_named_before_the_first_step(
    whose: str,
    spoil: Callable[[nn.Module], Any],
    message: str,
    make_trunk: MakeTrunk,
    make_adapter: MakeAdapter,
    make_episodes: MakeEpisodes,
) -> None:
    trunk, theirs = make_trunk(), make_adapter("Hopper-v5")
    spoil(trunk if whose == "trunk" else theirs)
    with pytest.raises(TransferError, match=message):
        adapt(trunk, make_episodes("Hopper-v5"), "ia3", config=CONFIG, source=theirs)
