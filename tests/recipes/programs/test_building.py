"""The model of a mode: what trains, what is taken over, and an adapter that goes on from another one."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.kinds import config_of
from transfer import registry
from transfer.adapters.methods.dt import DT
from transfer.data.episodes import Episodes
from transfer.data.measured.calibration_table import Calibration
from transfer.data.measured.measure import measure
from transfer.errors import TransferError
from transfer.models.adapter import Adapter
from transfer.models.steps.adapter_config import AdapterConfig
from transfer.models.trunk import Trunk, TrunkConfig
from transfer.recipes.programs.adapt import AdaptResult, adapt
from transfer.recipes.programs.pretrain import pretrain
from transfer.registry import PartSpec
from transfer.training.train_config import TrainConfig

SMALL = TrunkConfig(width=16, depth=2, heads=2)
CONFIG = TrainConfig(steps=2, batch_size=8, context=6, lr=0.05, warmup=0.0, weight_decay=0.0)
MakeEpisodes = Callable[..., Episodes]


@pytest.fixture
def data(make_episodes: MakeEpisodes) -> Episodes:
    return make_episodes(lengths=(20, 9, 31, 2))


@pytest.fixture
def first(data: Episodes) -> tuple[Trunk, Adapter]:
    """A trunk and its adapter with IA3."""
    made = pretrain(data, config=CONFIG, trunk_config=SMALL, adapter_config=config_of(bins=8))
    return made.trunk, adapt(made.trunk, data, "embeddings+ia3", config=CONFIG).adapter


class Prior(DT):
    """PDT in small: a network that knows the body, beside the groups, and a measured table."""

    extras = ("prior", "table")

    def fit(self, episodes: Episodes) -> dict[str, dict[str, Any]]:
        """Sizes; the table holds a number of the data."""
        return {"prior": {"size": 3}, "table": {"steps": episodes.num_steps}}

    def make(self, name: str, arguments: Mapping[str, Any]) -> nn.Module:
        """Either of them."""
        return Network(**arguments) if name == "prior" else Table(**arguments)

    def loss(self, model: Any, batch: Any, precision: torch.dtype = torch.float32) -> Any:
        """The prior scales the loss a little."""
        found = super().loss(model, batch, precision)
        scale = 1 + model.adapter.prior.weight.square().mean()
        return {name: term._replace(sum=term.sum * scale) for name, term in found.items()}


class Network(nn.Linear):
    """A square matrix."""

    def __init__(self, size: int) -> None:
        super().__init__(size, size, bias=False)

    def arguments(self) -> dict[str, Any]:
        """Its size."""
        return {"size": self.in_features}


class Table(nn.Module):
    """A number without weights."""

    steps: Tensor

    def __init__(self, steps: int) -> None:
        super().__init__()
        self.register_buffer("steps", torch.tensor(steps))

    def arguments(self) -> dict[str, Any]:
        """The number."""
        return {"steps": int(self.steps)}


def weights(adapter: Adapter) -> dict[str, Tensor]:
    return {name: p.detach().clone() for name, p in adapter.named_parameters()}


def moved(one: Adapter, other: Adapter) -> set[str]:
    """Parts whose weights differ."""
    before, after = weights(one), weights(other)
    return {name.split(".")[0] for name in before.keys() & after.keys() if not torch.equal(before[name], after[name])}


@pytest.fixture
def with_prior(data: Episodes, monkeypatch: pytest.MonkeyPatch) -> tuple[Trunk, Adapter]:
    """A trunk of the method with a prior, and its adapter."""
    monkeypatch.setitem(registry._table()["method"], "prior", Prior)
    made = pretrain(data, method="prior", config=CONFIG, trunk_config=SMALL, adapter_config=config_of(bins=8))
    return made.trunk, made.adapter


def test_learned_extras_train_with_the_groups_and_are_taken_over_with_them(
    with_prior: tuple[Trunk, Adapter], make_episodes: MakeEpisodes
) -> None:
    trunk, source = with_prior
    other = make_episodes(lengths=(30, 12), seed=4)
    result = adapt(trunk, other, "embeddings", config=CONFIG)
    assert {"state", "action", "prior"} == set(result.fit.selection.parts)
    kept = adapt(trunk, other, "state", config=CONFIG, source=source).adapter
    assert torch.equal(weights(kept)["prior.weight"], weights(source)["prior.weight"])
    assert moved(source, kept) == {"state"}
    assert int(kept.table.steps) == 42 != int(source.table.steps)  # measured anew on the data
    tuned = adapt(trunk, other, "ia3", config=CONFIG, source=source)
    assert set(tuned.fit.selection.parts) == {"tuning"} and moved(source, tuned.adapter) == set()


def test_a_condition_that_is_taken_over_does_not_train(data: Episodes) -> None:
    trunk = pretrain(data, method="bc", config=CONFIG, trunk_config=SMALL).trunk  # it has no embedding of returns
    source = adapt(trunk, data, "embeddings", method="dt", config=CONFIG).adapter
    assert "return" in source.parts()
    result = adapt(trunk, data, "ia3", method="dt", config=CONFIG, source=source)
    assert set(result.fit.selection.parts) == {"tuning"}
    assert torch.equal(weights(result.adapter)["return.weight"], weights(source)["return.weight"])


def test_a_condition_of_an_adapter_that_goes_on_trains_with_its_groups_alone(data: Episodes) -> None:
    trunk = pretrain(data, method="bc", config=CONFIG, trunk_config=SMALL).trunk
    start = adapt(trunk, data, "embeddings", method="dt", config=CONFIG).adapter
    tuned, whole = (adapt(trunk, data, mode, start=start, config=CONFIG) for mode in ("ia3", "embeddings"))
    assert set(tuned.fit.selection.parts) == {"tuning"}
    assert set(whole.fit.selection.parts) == {"state", "action", "return"}


def test_of_another_method_only_what_both_have_is_taken_over(data: Episodes) -> None:
    made = pretrain(data, method="udrl", config=CONFIG, trunk_config=SMALL)
    result = adapt(made.trunk, data, "state", method="bc", config=CONFIG, source=made.adapter)
    assert {name.split(".")[0] for name in result.inherited} == {"action"}
    assert "lengths" not in result.adapter.parts()


def test_a_tuning_that_nobody_named_gives_way_to_the_mode_s(first: tuple[Trunk, Adapter], data: Episodes) -> None:
    lora = AdapterConfig(tuning=PartSpec("lora"))
    trunk = pretrain(data, config=CONFIG, trunk_config=SMALL, adapter_config=lora).trunk
    assert trunk.provenance.adapter["tuning"]["kind"] == "lora"
    assert adapt(trunk, data, "embeddings+ia3", config=CONFIG).adapter.config.of("tuning").kind == "ia3"
    with pytest.raises(TransferError, match="mode 'embeddings\\+ia3' trains ia3, adapter.tuning.kind is lora"):
        adapt(trunk, data, "embeddings+ia3", config=CONFIG, adapter_config=lora)


def going_on(first: tuple[Trunk, Adapter], data: Episodes, mode: str, **options: Any) -> AdaptResult:
    return adapt(first[0], data, mode, start=first[1], **{"config": CONFIG, **options})


@pytest.mark.parametrize(
    ("mode", "trains"),
    [("embeddings", {"state", "action"}), ("embeddings+tuning", {"state", "action", "tuning"}), ("tuning", {"tuning"})],
)
def test_an_adapter_goes_on_from_another_one(
    mode: str, trains: set[str], first: tuple[Trunk, Adapter], data: Episodes
) -> None:
    before = weights(first[1])
    still = replace(CONFIG, steps=1, lr=1e-30)
    same = going_on(first, data, mode, config=still).adapter
    assert moved(first[1], same) == set() and same.parts().keys() == first[1].parts().keys()
    result = going_on(first, data, mode)
    assert moved(first[1], result.adapter) == trains == set(result.fit.selection.parts)
    assert all(torch.equal(x, before[name]) for name, x in first[1].named_parameters())  # it was copied
    assert result.model.trunk is first[0] and result.before == result.after


def test_it_keeps_scales_bins_and_context_and_forgets_the_calibration(
    first: tuple[Trunk, Adapter], make_episodes: MakeEpisodes
) -> None:
    first[1].scales.keep_calibration(Calibration((1.0, 2.0), (1.0, 2.0), None, 2))
    other = make_episodes(lengths=(30, 12), seed=4)
    result = adapt(first[0], other, "embeddings", start=first[1], steps=1)
    kept = result.adapter
    assert kept.context == first[1].context == 6
    scales = replace(first[1].statistics, calibration=None, return_quantiles=measure(other).return_quantiles)
    assert kept.statistics == scales  # what is asked for by default is of the new data
    assert result.model.asked({})["return"] == other.quantile(0.95) != first[1].statistics.return_quantiles["p95"]
    assert kept.action.tokenizer.to_json() == first[1].action.tokenizer.to_json()
    assert kept.provenance.content_hash == other.content_hash
    assert going_on(first, other, "embeddings", config=replace(CONFIG, context=4)).adapter.context == 4


def test_lengths_to_ask_for_are_those_of_the_new_data(data: Episodes, make_episodes: MakeEpisodes) -> None:
    made = pretrain(data, method="udrl", config=CONFIG, trunk_config=SMALL)
    other = make_episodes(lengths=(30, 12), seed=4)
    kept = adapt(made.trunk, other, "embeddings", start=made.adapter, steps=1).adapter
    assert sorted(kept.lengths.lengths.tolist()) == [12.0, 30.0] != sorted(made.adapter.lengths.lengths.tolist())


def test_another_context_is_said(
    first: tuple[Trunk, Adapter], data: Episodes, caplog: pytest.LogCaptureFixture
) -> None:
    going_on(first, data, "embeddings", config=replace(CONFIG, context=4))
    assert "start was trained on windows of 6 steps, config says 4" in caplog.text


def test_a_tuning_that_is_named_beside_one_that_goes_on_is_refused(
    first: tuple[Trunk, Adapter], data: Episodes
) -> None:
    for tuning in (PartSpec("lora"), PartSpec("bitfit")):
        with pytest.raises(TransferError, match=f"names the tuning .*{tuning.kind}.*start has .*ia3.* which goes on"):
            going_on(first, data, "embeddings+tuning", adapter_config=replace(first[1].config, tuning=tuning))
    same = going_on(first, data, "embeddings+tuning", adapter_config=AdapterConfig(tuning=PartSpec("ia3")))
    assert same.adapter.config == first[1].config


def test_a_kind_that_is_recorded_without_its_part_binds_nobody(data: Episodes) -> None:
    trunk = pretrain(data, config=CONFIG, trunk_config=SMALL).trunk
    named = AdapterConfig(tuning=PartSpec("lora"))
    plain = adapt(trunk, data, "embeddings", config=CONFIG, adapter_config=named).adapter
    assert "tuning" not in plain.parts()
    for mode in ("embeddings+tuning", "embeddings+bitfit"):
        one = going_on((trunk, plain), data, mode, adapter_config=AdapterConfig(tuning=PartSpec("bitfit"))).adapter
        assert one.config.of("tuning").kind == "bitfit"


def test_what_takes_nothing_over_is_told_so(first: tuple[Trunk, Adapter], data: Episodes) -> None:
    for mode in ("scratch-adapt", "mlp"):
        with pytest.raises(
            TransferError, match=f"mode '{mode}' takes nothing over: leave inherit_from_source='action'"
        ):
            adapt(first[0], data, mode, config=CONFIG, source=first[1], inherit_from_source="action")


def test_an_action_part_for_more_numbers_or_another_body_is_not_kept(make_episodes: MakeEpisodes) -> None:
    walker, cheetah = make_episodes("Walker2d-v5"), make_episodes("HalfCheetah-v5")
    made = pretrain(walker, config=CONFIG, trunk_config=SMALL, adapter_config=config_of(bins=8))
    with pytest.raises(TransferError, match="for 6 numbers of 'walker2d'; 'hopper' has 3. Use mode 'embeddings'"):
        adapt(made.trunk, make_episodes(), "state", config=CONFIG, source=made.adapter)
    with pytest.raises(TransferError, match="the source adapter is for 'walker2d'.*another body"):
        adapt(made.trunk, cheetah, "state", config=CONFIG, source=made.adapter)
    assert adapt(made.trunk, cheetah, "state", config=CONFIG, source=made.adapter, any_body=True).inherited


def test_kinds_of_groups_that_the_method_lacks_are_refused(data: Episodes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(registry._table(), "goal", {"linear": registry._table()["state"]["linear"]})
    named = AdapterConfig(others={"goal": PartSpec("linear")})
    for train in (
        lambda: pretrain(data, config=CONFIG, adapter_config=named),
        lambda: adapt(None, data, "scratch-adapt", config=CONFIG, adapter_config=named),
    ):
        with pytest.raises(TransferError, match="unknown group in adapter_config.others for the method 'dt' 'goal'"):
            train()


def test_a_tuning_that_it_lacks_is_new(first: tuple[Trunk, Adapter], data: Episodes) -> None:
    plain = first[0], adapt(first[0], data, "embeddings", config=CONFIG).adapter
    result = going_on(plain, data, "embeddings+lora")
    assert result.adapter.config.of("tuning").kind == "lora" and "tuning" in result.fit.selection.parts
    asked = replace(plain[1].config, tuning=PartSpec("lora", {"rank": 2}))
    ranked = going_on(plain, data, "tuning", adapter_config=asked).adapter
    assert ranked.config.of("tuning").options["rank"] == 2 and moved(plain[1], ranked) == set()


def test_everything_goes_on_around_a_copy_of_the_trunk(first: tuple[Trunk, Adapter], data: Episodes) -> None:
    result = going_on(first, data, "full")
    assert result.model.trunk is not first[0] and result.before != result.after
    assert moved(first[1], result.adapter) >= {"state", "action"}


@pytest.mark.parametrize(
    ("mode", "options", "message"),
    [
        ("scratch-adapt", {}, "does not run the trunk that start was made on"),
        ("random-trunk:embeddings", {}, "does not run the trunk"),
        ("embeddings+lora", {}, "trains lora, start has ia3.*'embeddings\\+tuning'"),
        ("embeddings", {"method": "bc"}, "start was trained with the method 'dt'"),
        ("embeddings", {"inherit_from_source": "action"}, "takes nothing over from a third"),
        ("embeddings", {"adapter_config": config_of(bins=4)}, "names other parts than start has"),
        ("embeddings", {"start": 3}, "start is of type int; Adapter is needed"),
    ],
)
def test_what_contradicts_an_adapter_to_go_on_from_is_refused(
    mode: str, options: dict[str, Any], message: str, first: tuple[Trunk, Adapter], data: Episodes
) -> None:
    with pytest.raises(TransferError, match=message):
        adapt(first[0], data, mode, **{"start": first[1], "config": CONFIG, **options})


def test_another_body_and_another_trunk_are_refused(
    first: tuple[Trunk, Adapter], data: Episodes, make_episodes: MakeEpisodes
) -> None:
    with pytest.raises(TransferError, match="start is for 'hopper'.*the episodes are of 'walker2d'"):
        going_on(first, make_episodes("Walker2d-v5"), "embeddings")
    other = pretrain(data, config=CONFIG, trunk_config=SMALL, seed=1).trunk
    with pytest.raises(TransferError, match="the adapter to start from was made on the trunk"):
        adapt(other, data, "embeddings", start=first[1], config=CONFIG)
    with pytest.raises(TransferError, match="give the trunk, too"):
        adapt(None, data, "embeddings", start=first[1], config=CONFIG)
