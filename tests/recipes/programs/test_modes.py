"""Modes by name, and the trunk that each of them works on."""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from tests.kinds import config_of
from transfer.data.episodes import Episodes
from transfer.envs.catalog import environment
from transfer.errors import TransferError
from transfer.models.mlp import MLPPolicy
from transfer.models.provenance import Provenance
from transfer.models.sequence_model import TransferModel
from transfer.models.trunk import Trunk, TrunkConfig
from transfer.recipes.programs import arguments
from transfer.recipes.programs.modes import MODES, find_modes, new_trunk, prepare_trunk, shuffle
from transfer.recipes.programs.pretrain import pretrain
from transfer.recipes.runs.cells import mode_folder
from transfer.storage.fingerprints import fingerprint
from transfer.training.train_config import TrainConfig

SMALL = TrunkConfig(width=16, depth=2, heads=2)
MakeTrunk = Callable[..., Trunk]


def differing(one: Trunk, other: Trunk) -> set[str]:
    theirs = dict(other.named_parameters())
    return {name for name, p in one.named_parameters() if not torch.equal(p, theirs[name])}


def test_an_unknown_mode_is_answered_with_the_closest() -> None:
    with pytest.raises(TransferError, match=r"unknown mode 'embedings\+ia3'. Did you mean 'embeddings\+ia3'"):
        find_modes(["embedings+ia3"])


def test_scratch_stands_for_both_of_its_lengths() -> None:
    modes = find_modes(["scratch", "scratch-total", "mlp"])
    assert [mode.name for mode in modes] == ["scratch-adapt", "scratch-total", "mlp"]
    assert [mode.total_steps for mode in modes] == [False, True, False]


def test_every_frozen_mode_has_a_control_of_each_kind() -> None:
    for name in ("embeddings", "embeddings+tuning", "embeddings+conditioning", "state", "tuning"):
        for kind in ("random", "scaled-random", "shuffled"):
            control = MODES[f"{kind}-trunk:{name}"]
            assert (control.parts, control.inherits) == (MODES[name].parts, MODES[name].inherits)
            assert control.frozen and ":" not in mode_folder(control.name)
    assert {mode.name for mode in MODES.values() if not mode.frozen} == {
        "full",
        "scratch-adapt",
        "scratch-total",
        "mlp",
    }


def test_a_frozen_mode_works_on_the_very_trunk_that_was_given(make_trunk: MakeTrunk) -> None:
    trunk = make_trunk()
    assert prepare_trunk(MODES["embeddings"], trunk, SMALL, 0) is trunk


def test_full_works_on_an_equal_copy(make_trunk: MakeTrunk) -> None:
    trunk = make_trunk()
    copy = prepare_trunk(MODES["full"], trunk, SMALL, 0)
    assert fingerprint(copy) == fingerprint(trunk)
    assert not {p.data_ptr() for p in copy.parameters()} & {p.data_ptr() for p in trunk.parameters()}


@pytest.mark.parametrize("seed", [0, 4])
def test_a_random_trunk_has_the_weights_of_step_0(
    seed: int, make_episodes: Callable[..., Episodes], monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[Trunk] = []

    def fit(model: TransferModel, *args: object, **options: object) -> object:
        started.append(deepcopy(model.trunk))
        return real(model, *args, **options)  # type: ignore[arg-type]

    real = arguments.fit
    monkeypatch.setattr(arguments, "fit", fit)
    config, adapter = TrainConfig(steps=3, batch_size=4, context=5, warmup=0.0), config_of(bins=8)
    result = pretrain(make_episodes(), config=config, trunk_config=SMALL, adapter_config=adapter, seed=seed)
    random = prepare_trunk(MODES["random-trunk:embeddings"], result.trunk, SMALL, seed=9)
    assert not differing(random, started[0])
    assert differing(random, result.trunk) == {name for name, _ in result.trunk.named_parameters()}
    assert fingerprint(random) == result.trunk.provenance.start


def test_a_random_trunk_needs_the_seed_of_its_pretraining(make_trunk: MakeTrunk) -> None:
    trunk = make_trunk()
    trunk.provenance = Provenance()
    with pytest.raises(TransferError, match="does not record the seed"):
        prepare_trunk(MODES["random-trunk:state"], trunk, SMALL, 0)


def test_a_random_trunk_that_is_not_the_one_of_step_0_is_refused(make_trunk: MakeTrunk) -> None:
    trunk = make_trunk()
    trunk.provenance = replace(trunk.provenance, start="0" * 64)
    with pytest.raises(TransferError, match="another version of torch drew it"):
        prepare_trunk(MODES["random-trunk:state"], trunk, SMALL, 0)


def test_a_shuffled_trunk_has_the_same_numbers_in_other_places(make_trunk: MakeTrunk) -> None:
    trunk = make_trunk()
    before = fingerprint(trunk)
    shuffled = prepare_trunk(MODES["shuffled-trunk:embeddings"], trunk, SMALL, 0)
    for (name, mine), theirs in zip(shuffled.named_parameters(), trunk.parameters(), strict=True):
        assert torch.equal(mine.flatten().sort().values, theirs.flatten().sort().values), name
    assert differing(shuffled, trunk) == {name for name, _ in trunk.named_parameters()}
    assert fingerprint(trunk) == before


def test_the_order_of_a_shuffled_trunk_is_a_function_of_the_seed(make_trunk: MakeTrunk) -> None:
    trunk = make_trunk()
    torch.manual_seed(1)
    first = shuffle(trunk, 0)
    torch.manual_seed(2)
    assert not differing(first, shuffle(trunk, 0))


@pytest.mark.parametrize("name", ["embeddings", "full", "random-trunk:embeddings", "shuffled-trunk:embeddings"])
def test_a_mode_without_the_trunk_it_needs_is_refused(name: str) -> None:
    with pytest.raises(TransferError, match="needs a pretrained trunk"):
        prepare_trunk(MODES[name], None, SMALL, 0)


def test_new_weights_leave_the_random_numbers_of_others_alone() -> None:
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    new_trunk(SMALL, 5)
    assert torch.equal(torch.rand(3), expected)


def test_new_weights_are_a_function_of_the_seed_alone() -> None:
    torch.manual_seed(1)
    first = new_trunk(SMALL, 5)
    torch.manual_seed(2)
    assert not differing(first, new_trunk(SMALL, 5))


@pytest.mark.parametrize("kind", ["trunk", "adapter", "mlp", "shuffled"])
def test_other_seeds_draw_other_weights(
    kind: str, make_trunk: MakeTrunk, make_adapter: Callable[..., torch.nn.Module]
) -> None:
    def weights(seed: int) -> Tensor:
        if kind == "trunk":
            return new_trunk(SMALL, seed).blocks[0].mlp.fc.weight
        if kind == "adapter":
            return make_adapter(seed=seed, lively=False).state.fc_1.weight
        if kind == "mlp":
            return MLPPolicy(environment("hopper"), make_adapter().statistics, 16, seed).out.weight
        return shuffle(make_trunk(), seed).blocks[0].mlp.fc.weight

    drawn = [weights(seed) for seed in range(4)]
    assert not any(torch.equal(drawn[i], drawn[j]) for i in range(4) for j in range(i))
