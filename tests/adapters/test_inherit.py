"""Inheriting learned parts: by name, and by action value where the bins differ."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from transfer.adapters.build import build_adapter
from transfer.adapters.inherit import inherit
from transfer.errors import TransferError
from transfer.models.adapter import Adapter
from transfer.models.steps.adapter_config import AdapterConfig
from transfer.models.trunk import TrunkConfig
from transfer.registry import PartSpec

Build = Callable[..., Adapter]


def numbers(adapter: Adapter, name: str) -> torch.Tensor:
    return dict(adapter.named_parameters())[name].detach().clone()


def test_shared_tensors_are_inherited_whole_and_rows_of_common_dimensions(build: Build, trained: Build) -> None:
    source, target, fresh = trained("Hopper-v5"), build("Walker2d-v5"), build("Walker2d-v5")
    copied = inherit(target, source, "action")
    whole = ["action.readout.weight", "action.readout.bias"]
    moved = ["action.table.rows.weight (by value)", "action.index[:3]", "action.readout.rows[:3]"]
    assert sorted(copied) == sorted([*whole, *moved])
    for name in whole:
        assert torch.equal(numbers(target, name), numbers(source, name)), name
    for name in ("action.index", "action.readout.rows"):
        assert torch.equal(numbers(target, name)[:3], numbers(source, name)), name
        assert torch.equal(numbers(target, name)[3:], numbers(fresh, name)[3:]), name


def test_fewer_dimensions_take_the_first_rows(build: Build, trained: Build) -> None:
    source, target = trained("Walker2d-v5"), build("Hopper-v5")
    copied = inherit(target, source, "action")
    assert {"action.index", "action.readout.rows"} <= set(copied)
    assert torch.equal(numbers(target, "action.index"), numbers(source, "action.index")[:3])


def test_equal_sizes_inherit_everything(build: Build, trained: Build) -> None:
    for ranges in ("per-dimension", "shared", "shared+index"):
        source = trained("HalfCheetah-v5", ranges=ranges)
        target = build("Walker2d-v5", ranges=ranges, like=source)
        for part in ("state", "action"):
            names = [f"{part}.{name}" for name, _ in target.parts()[part].named_parameters()]
            assert inherit(target, source, part) == names
            assert all(torch.equal(numbers(target, name), numbers(source, name)) for name in names)


def test_tables_with_a_range_per_dimension_stay_at_home(build: Build, trained: Build) -> None:
    source, target = trained("Hopper-v5", ranges="per-dimension"), build("Walker2d-v5", ranges="per-dimension")
    before = numbers(target, "action.table.rows.weight")
    assert not [name for name in inherit(target, source, "action") if "table" in name]
    assert torch.equal(numbers(target, "action.table.rows.weight"), before)


def test_of_a_state_part_only_what_fits_is_taken(build: Build, trained: Build) -> None:
    source, target = trained("Hopper-v5"), build("Walker2d-v5")
    before = numbers(target, "state.fc_1.weight")
    assert "state.fc_1.weight" not in inherit(target, source, "state")
    assert torch.equal(numbers(target, "state.fc_1.weight"), before)
    assert torch.equal(numbers(target, "state.proj.weight"), numbers(source, "state.proj.weight"))


def test_inheriting_copies(build: Build, trained: Build) -> None:
    source, target = trained("HalfCheetah-v5"), build("Walker2d-v5")
    inherit(target, source, "action")
    before = numbers(source, "action.index")
    with torch.no_grad():
        target.action.index.zero_()
    assert torch.equal(numbers(source, "action.index"), before)


@pytest.mark.parametrize(
    ("mine", "theirs"),
    [
        ({"action": "ActionTokenizedSpreadEmbedding"}, {"action": "ActionEmbedding"}),
        ({"ranges": "shared"}, {"ranges": "shared+index"}),
    ],
)
def test_nothing_to_inherit_is_an_error(
    mine: dict[str, str], theirs: dict[str, str], build: Build, trained: Build
) -> None:
    with pytest.raises(TransferError, match="nothing to inherit for the action part of 'walker2d'.*from 'hopper'"):
        inherit(build("Walker2d-v5", **mine), trained("Hopper-v5", **theirs), "action")


def test_another_state_kind_has_nothing_to_inherit(build: Build, trained: Build) -> None:
    with pytest.raises(TransferError, match="nothing to inherit for the state part"):
        inherit(build(state="linear"), trained(state="mlp"), "state")


@pytest.mark.parametrize("kinds", [{"action": "ActionTokenizedEmbedding"}, {"readout": "categorical"}, {}])
@pytest.mark.parametrize("ranges", ["shared", "shared+index", "per-dimension"])
@pytest.mark.parametrize("theirs", [{"tokenizer": "uniform"}, {"bins": 5}, {"tokenizer": "mu-law"}])
def test_a_row_of_other_bins_stands_for_the_same_action_as_before(
    theirs: dict[str, Any], ranges: str, kinds: dict[str, str], build: Build
) -> None:
    source, target = (
        build(env, ranges=ranges, **{**kinds, **other})
        for env, other in (("HalfCheetah-v5", theirs), ("Walker2d-v5", {}))
    )
    direction = torch.randn(16, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():  # each row is its action times a vector, so that interpolation is exact
        rows_of(source).copy_(actions_of(source)[..., None] * direction)
    copied = inherit(target, source, "action")
    assert "action.table.rows.weight (by value)" in copied
    inside = actions_of(target).clamp(actions_of(source).min(), actions_of(source).max())
    if ranges == "per-dimension":
        least, most = actions_of(source).unflatten(0, (6, -1)).aminmax(dim=1, keepdim=True)
        inside = actions_of(target).unflatten(0, (6, -1)).clamp(least, most).flatten()
    torch.testing.assert_close(rows_of(target), inside[..., None] * direction, atol=1e-5, rtol=1e-4)


def rows_of(adapter: Adapter) -> torch.Tensor:
    weight: torch.Tensor = adapter.action.table.rows.weight
    return weight


def actions_of(adapter: Adapter) -> torch.Tensor:
    """The action of each row: its dimension's, or the mean of all dimensions."""
    centers = adapter.action.bins.centers
    return centers.flatten() if adapter.config.action.options["ranges"] == "per-dimension" else centers.mean(0)


def test_a_categorical_readout_of_other_bins_reads_the_same_actions(build: Build) -> None:
    source, target = build("HalfCheetah-v5", readout="categorical", bins=5), build("Walker2d-v5", readout="categorical")
    with torch.no_grad():
        source.action.readout.bias.copy_(3 * actions_of(source))
        source.action.readout.rows.copy_(source.action.bins.centers[..., None].expand(-1, -1, 16))
    copied = inherit(target, source, "action")
    assert {f"action.readout.{name} (by value)" for name in ("weight", "bias", "rows")} <= set(copied)
    least, most = actions_of(source).aminmax()
    torch.testing.assert_close(target.action.readout.bias.detach(), 3 * actions_of(target).clamp(least, most))
    least, most = source.action.bins.centers.aminmax(dim=1, keepdim=True)
    wanted = target.action.bins.centers.clamp(least, most)
    torch.testing.assert_close(target.action.readout.rows.detach()[..., 0], wanted)


def test_dimensions_with_few_values_in_their_data_inherit_finite_rows(build: Build) -> None:
    source, target = build("Hopper-v5"), build("Walker2d-v5")
    with torch.no_grad():
        source.action.bins.edges[0, 2:], source.action.bins.centers[0, 2:] = torch.inf, source.action.bins.centers[0, 2]
        target.action.bins.edges[:, 1:], target.action.bins.centers[:, 1:] = torch.inf, 0.5
    inherit(target, source, "action")
    assert rows_of(target).isfinite().all()


@pytest.mark.parametrize(("part", "extras"), [("tuning", {"tuning": True}), ("return", {"own": ["return"]})])
def test_ia3_and_a_return_embedding_are_inherited_too(
    part: str, extras: dict[str, Any], build: Build, trained: Build
) -> None:
    source, target = trained("Hopper-v5", **extras), build("Walker2d-v5", **extras)
    names = [f"{part}.{name}" for name, _ in source.parts()[part].named_parameters()]
    assert inherit(target, source, part) == names
    assert all(torch.equal(numbers(target, name), numbers(source, name)) for name in names)


def test_a_part_that_one_lacks_is_refused(build: Build) -> None:
    with pytest.raises(TransferError, match="unknown part 'tuning'.*'hopper' has no other"):
        inherit(build("Walker2d-v5", tuning=True), build("Hopper-v5"), "tuning")


def test_parts_of_other_options_are_of_another_kind(
    build: Build, trained: Build, make_episodes: Callable[..., Any]
) -> None:
    """LoRA's alpha scales its product: the same numbers under another one mean something else."""

    def adapter(alpha: float) -> Adapter:
        kinds = AdapterConfig(tuning=PartSpec("lora", {"alpha": alpha}))
        return build_adapter(make_episodes(), TrunkConfig(width=16, depth=2, heads=2), kinds, tuning=True)

    assert len(inherit(adapter(8.0), adapter(8.0), "tuning")) == 8
    with pytest.raises(TransferError, match="nothing to inherit for the tuning part.*alpha 8.0.*alpha 16.0"):
        inherit(adapter(8.0), adapter(16.0), "tuning")
    with pytest.raises(TransferError, match="hidden 64.*hidden 256"):
        source = build_adapter(make_episodes(), TrunkConfig(width=16, depth=2, heads=2))
        wide = AdapterConfig(state=PartSpec("mlp", {"hidden": 64}))
        inherit(build_adapter(make_episodes(), TrunkConfig(width=16, depth=2, heads=2), wide), source, "state")
    # Rows of bins are interpolated, so bins and tokenizer may differ.
    assert inherit(build(bins=4, tokenizer="uniform"), trained(bins=8), "action")
