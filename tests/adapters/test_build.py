"""Building an adapter for a dataset, and taking over what another one has learned."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from transfer.adapter import Adapter, AdapterConfig
from transfer.adapters.build import build_adapter, inherit
from transfer.adapters.measuring import measure
from transfer.episodes import Episodes
from transfer.errors import TransferError
from transfer.trunk import TrunkConfig

SMALL = TrunkConfig(width=16, depth=2, heads=2)
MakeEpisodes = Callable[..., Episodes]
Build = Callable[..., Adapter]


@pytest.fixture
def build(make_episodes: MakeEpisodes) -> Build:
    """build("Walker2d-v5", seed=0, ia3=False, conditioning=False, like=None, **kinds of parts)"""

    def build(env: str = "Hopper-v5", seed: int = 0, **options: Any) -> Adapter:
        extras = {name: options.pop(name) for name in ("ia3", "conditioning", "like") if name in options}
        return build_adapter(make_episodes(env), SMALL, AdapterConfig(**{"bins": 8, **options}), seed, **extras)

    return build


@pytest.fixture
def trained(build: Build) -> Build:
    """The same, with every parameter changed, as training would."""

    def train(*args: Any, **options: Any) -> Adapter:
        adapter = build(*args, **options)
        with torch.no_grad():
            for p in adapter.parameters():
                p += 1 + torch.rand(p.shape)
        return adapter

    return train


def numbers(adapter: Adapter, name: str) -> torch.Tensor:
    return dict(adapter.named_parameters())[name].detach().clone()


def test_statistics_are_those_of_the_episodes(make_episodes: MakeEpisodes) -> None:
    episodes = make_episodes()
    found = measure(episodes)
    np.testing.assert_allclose(found.state_mean, episodes.states.mean(0), rtol=1e-4, atol=1e-6)
    changing = np.arange(11) != 4
    np.testing.assert_allclose(np.array(found.state_std)[changing], episodes.states.std(0)[changing], rtol=1e-4)
    for name, q in (("p25", 0.25), ("p50", 0.5), ("p75", 0.75), ("p90", 0.9), ("p95", 0.95), ("max", 1.0)):
        assert found.return_quantiles[name] == pytest.approx(episodes.quantile(q))


def test_a_state_that_never_changes_is_not_divided_by_zero(make_episodes: MakeEpisodes, build: Build) -> None:
    assert measure(make_episodes()).state_std[4] == 1.0
    states = torch.from_numpy(make_episodes().states)[None]
    assert build().embed_state(states).isfinite().all()


def test_an_adapter_tokenizes_the_actions_of_its_episodes(make_episodes: MakeEpisodes, build: Build) -> None:
    adapter = build()
    used = [len(np.unique(column)) for column in adapter.tokenizer.encode(make_episodes().actions).T]
    assert used == adapter.tokenizer.n_used_.tolist() == [8, 8, 8]
    assert build(action="ActionEmbedding").tokenizer is None


def test_it_records_its_data(build: Build, make_episodes: MakeEpisodes) -> None:
    expected = {"datasets": ["test/Hopper-v5"], "content_hash": make_episodes().content_hash}
    assert build().record == expected


def test_extra_parts_leave_the_weights_of_the_others_alone(build: Build) -> None:
    plain, more = build(), build(ia3=True, conditioning=True)
    for name, p in plain.named_parameters():
        assert torch.equal(p, numbers(more, name)), name
    assert set(more.parts()) - set(plain.parts()) == {"ia3", "conditioning"}


def test_weights_do_not_depend_on_earlier_draws(build: Build) -> None:
    torch.manual_seed(1)
    first = build(conditioning=True)
    torch.manual_seed(2)
    torch.rand(7)
    second = build(conditioning=True)
    assert all(torch.equal(p, q) for p, q in zip(first.parameters(), second.parameters(), strict=True))


@pytest.mark.parametrize(
    ("setting", "value", "message"),
    [
        ("state", "mpl", "Did you mean 'mlp'"),
        ("action", "ActionTokenisedEmbedding", "Did you mean 'ActionTokenizedEmbedding'"),
        ("tokenizer", "quantiles", "Did you mean 'quantile'"),
        ("ranges", "share", "Did you mean 'shared'"),
        ("readout", "categories", "Did you mean 'categorical'"),
        ("bins", 1, "adapter.bins=1 is too small: at least 2"),
    ],
)
def test_unknown_kinds_are_answered_with_the_closest(setting: str, value: object, message: str) -> None:
    with pytest.raises(TransferError, match=message):
        AdapterConfig(**{setting: value})  # type: ignore[arg-type]


def test_shared_tensors_are_inherited_whole_and_rows_of_common_dimensions(build: Build, trained: Build) -> None:
    source, target, fresh = trained("Hopper-v5"), build("Walker2d-v5"), build("Walker2d-v5")
    copied = inherit(target, source, "action")
    whole = ["action.table.rows.weight", "action.readout.weight", "action.readout.bias"]
    assert sorted(copied) == sorted([*whole, "action.index[:3]", "action.readout.rows[:3]"])
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
        source, target = trained("HalfCheetah-v5", ranges=ranges), build("Walker2d-v5", ranges=ranges)
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


def test_like_takes_statistics_and_bins_where_sizes_are_equal(build: Build, make_episodes: MakeEpisodes) -> None:
    old = build_adapter(make_episodes("HalfCheetah-v5", seed=3), SMALL, AdapterConfig(bins=8))
    new, own = build("Walker2d-v5", like=old), measure(make_episodes("Walker2d-v5"))
    assert new.statistics.state_mean == old.statistics.state_mean != own.state_mean
    assert new.statistics.return_quantiles == own.return_quantiles
    assert new.tokenizer.to_json() == old.tokenizer.to_json()


def test_like_another_size_takes_nothing(build: Build, make_episodes: MakeEpisodes) -> None:
    new = build("Walker2d-v5", like=build("Hopper-v5"))
    assert new.statistics == measure(make_episodes("Walker2d-v5"))
    assert new.tokenizer.to_json() == build("Walker2d-v5").tokenizer.to_json()
