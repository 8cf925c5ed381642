"""Building an adapter for a dataset."""

from collections.abc import Callable
from dataclasses import fields
from typing import Any

import numpy as np
import pytest
import torch

from tests.kinds import config_of
from tests.toys import toy
from transfer import registry
from transfer.adapters.actions.whole import ActionTokenizedEmbedding
from transfer.adapters.build import build_adapter
from transfer.adapters.states.linear import LinearState
from transfer.data.episodes import Episodes
from transfer.data.measured.measure import measure
from transfer.errors import TransferError
from transfer.models.adapter import Adapter
from transfer.models.provenance import Provenance
from transfer.models.steps.adapter_config import AdapterConfig
from transfer.models.trunk import TrunkConfig
from transfer.registry import PartSpec
from transfer.storage.fingerprints import fingerprint

SMALL = TrunkConfig(width=16, depth=2, heads=2)
MakeEpisodes = Callable[..., Episodes]
Build = Callable[..., Adapter]


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
    adapter, states = build(), torch.from_numpy(make_episodes().states.copy())[None]
    assert adapter.state(adapter.scales.scale_states(states), {}).isfinite().all()


def test_an_adapter_tokenizes_the_actions_of_its_episodes(make_episodes: MakeEpisodes, build: Build) -> None:
    adapter = build()
    used = [len(np.unique(column)) for column in adapter.action.tokenizer.transform(make_episodes().actions).T]
    assert used == adapter.action.tokenizer.n_used_.tolist() == [8, 8, 8]
    assert build(action="ActionEmbedding").action.tokenizer is None


def test_it_records_its_data(build: Build, make_episodes: MakeEpisodes) -> None:
    expected = Provenance(context=20, datasets=("test/Hopper-v5",), content_hash=make_episodes().content_hash)
    assert build().provenance == expected


def test_extra_parts_leave_the_weights_of_the_others_alone(build: Build) -> None:
    plain, more = build(), build(tuning=True, own=["return"])
    for name, p in plain.named_parameters():
        assert torch.equal(p, numbers(more, name)), name
    assert set(more.parts()) - set(plain.parts()) == {"tuning", "return"}


def test_weights_do_not_depend_on_earlier_draws(build: Build) -> None:
    torch.manual_seed(1)
    first = build(own=["return"])
    torch.manual_seed(2)
    torch.rand(7)
    second = build(own=["return"])
    assert all(torch.equal(p, q) for p, q in zip(first.parameters(), second.parameters(), strict=True))


@pytest.mark.parametrize(
    ("setting", "value", "message"),
    [
        ("state", "mpl", "Did you mean 'mlp'"),
        ("action", "ActionTokenisedEmbedding", "Did you mean 'ActionTokenizedEmbedding'"),
        ("tuning", "ia", "Did you mean 'ia3'"),
        ("others", [], "adapter.others is \\[\\]; a table by the name of a group is needed"),
        ("tokenizer", "quantiles", "Did you mean 'quantile'"),
        ("ranges", "share", "Did you mean 'shared'"),
        ("readout", "categories", "Did you mean 'categorical'"),
        ("bins", 1, "bins=1 is too small: at least 2"),
        ("range", "shared", "unknown option of action 'ActionTokenizedSpreadEmbedding' 'range'. Did you mean 'ranges'"),
    ],
)
def test_unknown_kinds_are_answered_with_the_closest(setting: str, value: object, message: str) -> None:
    with pytest.raises(TransferError, match=message):
        config_with(setting, value)


def test_like_takes_statistics_and_bins_where_sizes_are_equal(build: Build, make_episodes: MakeEpisodes) -> None:
    old = build_adapter(make_episodes("HalfCheetah-v5", seed=3), SMALL, config_of(bins=8))
    new, own = build("Walker2d-v5", like=old, any_body=True), measure(make_episodes("Walker2d-v5"))
    assert new.statistics.state_mean == old.statistics.state_mean != own.state_mean
    assert build("Walker2d-v5", like=old).statistics.state_mean == own.state_mean  # the same sizes, another body
    assert new.statistics.return_quantiles == own.return_quantiles
    assert new.action.tokenizer.to_json() == old.action.tokenizer.to_json()


@pytest.mark.parametrize(
    ("theirs", "mine", "wanted"),
    [
        ((-np.inf, np.inf), (-np.inf, np.inf), "theirs"),
        ((-1.0, 1.0), (-np.inf, np.inf), "mine"),
        ((-0.4, 0.4), (-1e4, 1e4), "mine"),
        ((-1e4, 1e4), (-np.inf, np.inf), "theirs"),
        ((-np.inf, np.inf), (-9.0, 9.0), "bounds"),
    ],
)
def test_like_has_an_end_of_actions_where_neither_environment_has_a_bound(
    theirs: tuple[float, float], mine: tuple[float, float], wanted: str, caplog: pytest.LogCaptureFixture
) -> None:
    def episodes(bounds: tuple[float, float], most: float) -> Episodes:
        actions = np.linspace(-most, most, 20)[:, None]
        return Episodes.from_arrays(np.zeros((20, 2)), actions, np.ones(20), [20], toy(2, 1, *bounds))

    source = build_adapter(episodes(theirs, 0.4), SMALL, config_of(bins=8))
    found = build_adapter(episodes(mine, 7.0), SMALL, config_of(bins=8), like=source).statistics
    ends = {"theirs": np.float32(0.4), "mine": 7.0, "bounds": 9.0}[wanted]
    assert (found.action_low, found.action_high) == ((-ends,), (ends,))
    assert ("clipped" in caplog.text) == (wanted == "theirs")


def test_like_another_size_takes_nothing(build: Build, make_episodes: MakeEpisodes) -> None:
    new = build("Walker2d-v5", like=build("Hopper-v5"))
    assert new.statistics == measure(make_episodes("Walker2d-v5"))
    assert new.action.tokenizer.to_json() == build("Walker2d-v5").action.tokenizer.to_json()


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        *(("seed", value, "seed=") for value in (-1, 0.5, "0", np.datetime64("2020-01-01"), None)),
        *((name, value, f"{name}=") for name in ("tuning", "any_body") for value in ("yes", 3, None, [])),
        *(("config", value, "config is of type .*; AdapterConfig is needed") for value in ({}, "mlp")),
        ("like", "runs/x/adapter", "like is of type str; Adapter is needed"),
        ("trunk", 16, "trunk is of type int; TrunkConfig is needed"),
        ("episodes", [], "episodes is of type list; Episodes is needed"),
        *(("context", value, "context=") for value in (0, 2.5, "5", 10**9)),
    ],
    ids=repr,
)
def test_wrong_arguments_are_named(name: str, value: object, message: str, make_episodes: MakeEpisodes) -> None:
    given = {"episodes": make_episodes("Hopper-v5"), "trunk": TrunkConfig(16, 2, 2), name: value}
    with pytest.raises(TransferError, match=message):
        build_adapter(**given)  # type: ignore[arg-type]


def test_a_seed_of_numpy_s_is_the_same_seed(make_episodes: MakeEpisodes) -> None:
    drawn = [
        build_adapter(make_episodes("Hopper-v5"), TrunkConfig(16, 2, 2), seed=seed) for seed in (7, np.int64(7), 7.0)
    ]
    assert len({fingerprint(adapter) for adapter in drawn}) == 1


@pytest.mark.parametrize("name", ["state", "action", "tokenizer", "ranges", "readout", "out_of_bounds"])
@pytest.mark.parametrize("value", [None, 3, [], ["mlp"], np.array([1, 2])])
def test_kinds_that_are_no_names_are_refused(name: str, value: object) -> None:
    with pytest.raises(TransferError, match=rf"unknown (adapter\.)?(action\.)?{name}|adapter.{name} is .* a kind"):
        config_with(name, value)


def config_with(setting: str, value: object) -> AdapterConfig:
    """A config with one setting, which belongs to the action embedding unless it is the adapter's own."""
    if setting in {field.name for field in fields(AdapterConfig)}:
        return AdapterConfig(**{setting: value})  # type: ignore[arg-type]
    return AdapterConfig(action=PartSpec("ActionTokenizedSpreadEmbedding", {setting: value}))


class Forgetful(ActionTokenizedEmbedding):
    """A user's embedding that stores its tokenizer under another name."""

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.mine, self.bins = self.bins, None


def test_an_embedding_that_would_lose_its_tokenizer_is_refused(build: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(registry._table()["action"], "Forgetful", Forgetful)
    with pytest.raises(TransferError, match="Forgetful loses its tokenizer: its arguments"):
        build(action="Forgetful")


class Silent(LinearState):
    """A user's embedding that does not tell what it was made of, so that it could not be loaded."""

    def arguments(self) -> dict[str, Any]:
        return {}


def test_an_embedding_that_does_not_tell_its_arguments_is_refused(
    build: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(registry._table()["state"], "silent", Silent)
    with pytest.raises(TransferError, match="Silent loses its state_size, width: its arguments"):
        build(state="silent")
