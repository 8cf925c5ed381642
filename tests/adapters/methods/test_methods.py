"""Every method: training and acting agree, what it is asked for, and what a trunk of another method lacks."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.forcing import check_forced
from tests.kinds import config_of
from tests.lively import enliven
from transfer.adapters.build import build_adapter
from transfer.adapters.methods.udrl import Lengths, lengths_by_return
from transfer.data.episodes import Episodes
from transfer.data.windows import WindowSampler
from transfer.decoding.planner import make_planner
from transfer.errors import TransferError
from transfer.evaluation.evaluate import evaluate
from transfer.models.acting import Step
from transfer.models.adapter import Adapter
from transfer.models.sequence_model import TransferModel
from transfer.models.trunk import Trunk, TrunkConfig
from transfer.recipes.programs.adapt import adapt
from transfer.recipes.programs.modes import new_trunk
from transfer.recipes.programs.pretrain import pretrain
from transfer.registry import PartSpec, known
from transfer.training.train_config import TrainConfig

SMALL = TrunkConfig(width=32, depth=2, heads=2)
QUICK = TrainConfig(steps=4, batch_size=4, context=3, log_every=4, save_every=4)
GROUPS = {
    "dt": ["return", "state", "action"],
    "bc": ["state", "action"],
    "udrl": ["return", "horizon", "state", "action"],
}
MakeEpisodes = Callable[..., Episodes]


@pytest.fixture(params=known("method"))
def method(request: pytest.FixtureRequest) -> str:
    """Each of the methods."""
    return str(request.param)


def model_of(method: str, episodes: Episodes, context: int = 4, **kinds: Any) -> TransferModel:
    """A lively model with windows of some steps."""
    trunk = new_trunk(SMALL, 0, PartSpec(method))
    enliven(trunk, 0)
    config = config_of(**{"bins": 8, **kinds})
    adapter = build_adapter(episodes, SMALL, config, method=PartSpec(method), context=context)
    for name in ("state", "action"):
        enliven(adapter.parts()[name], 1)
    return TransferModel(trunk, adapter).eval()


def test_the_step_has_its_groups(method: str, make_episodes: MakeEpisodes) -> None:
    model = model_of(method, make_episodes())
    assert list(model.groups) == GROUPS[method] == [name for name, _ in model.layout.groups]
    assert set(model.trunk.shared) == set(GROUPS[method]) - {"state", "action"}


@pytest.mark.parametrize("action", ["ActionEmbedding", "ActionTokenizedSpreadEmbedding"])
def test_actions_chosen_step_by_step_are_those_of_a_window(
    method: str, action: str, make_episodes: MakeEpisodes, way: str
) -> None:
    model = model_of(method, make_episodes(), action=action)
    batch = WindowSampler(make_episodes(lengths=(9, 9)), 9, 2, spec=model.windows).windows(torch.tensor([0, 9]))
    planner, chosen = make_planner(model, 2), []
    with torch.no_grad():
        for t in range(9):
            columns = {name: column[:, t] for name, column in batch.columns.items()}
            step = Step(batch.states[:, t], batch.rewards[:, t].double(), batch.times[:, t], columns)
            chosen.append(planner.act(step))
        check_forced(model, batch, torch.stack(chosen, 1), 4)


def test_it_trains_saves_and_acts_as_before(method: str, make_episodes: MakeEpisodes, tmp_path: Path) -> None:
    data = make_episodes()
    result = pretrain(data, method=method, config=QUICK, trunk_config=SMALL, adapter_config=config_of(bins=8))
    assert result.fit.final_loss > 0 and result.trunk.method == result.adapter.method == PartSpec(method)
    result.trunk.save(tmp_path)
    result.adapter.save(tmp_path)
    trunk = Trunk.load(tmp_path)
    loaded = TransferModel(trunk, Adapter.load(tmp_path, trunk))
    state = np.ones(11, np.float32)
    one, other = (model.policy().act(state) for model in (result.model, loaded))
    assert (one == other).all()


@pytest.mark.parametrize("other", ["dt", "bc", "udrl"])
def test_what_a_trunk_lacks_becomes_a_part_that_trains(method: str, other: str, make_episodes: MakeEpisodes) -> None:
    data = make_episodes()
    trunk = new_trunk(SMALL, 0, PartSpec(method))
    model = adapt(trunk, data, "embeddings", method=other, config=QUICK).model
    lacking = [name for name in GROUPS[other] if name not in ("state", "action") and name not in trunk.shared]
    assert isinstance(model, TransferModel)
    assert [name for name in lacking if name not in model.adapter.parts()] == []
    fresh = build_adapter(data, SMALL, method=PartSpec(other), own=lacking)
    for name in lacking:
        before, after = fresh.parts()[name].state_dict(), model.adapter.parts()[name].state_dict()
        assert not torch.equal(before["weight"], after["weight"])


def test_a_new_adapter_has_the_method_of_its_trunk(method: str, make_episodes: MakeEpisodes) -> None:
    trunk = new_trunk(SMALL, 0, PartSpec(method))
    assert adapt(trunk, make_episodes(), "embeddings", config=QUICK).adapter.method == PartSpec(method)


def test_conditions_of_one_s_own(method: str, make_episodes: MakeEpisodes) -> None:
    trunk, data = new_trunk(SMALL, 0, PartSpec(method)), make_episodes()
    conditions = [name for name in GROUPS[method] if name not in ("state", "action")]
    if not conditions:
        with pytest.raises(TransferError, match="has no conditions that a mode could train"):
            adapt(trunk, data, "embeddings+conditioning", config=QUICK)
        return
    result = adapt(trunk, data, "embeddings+conditioning", config=QUICK)
    assert set(conditions) <= set(result.fit.selection.parts)


def test_cloning_is_asked_for_nothing(make_episodes: MakeEpisodes) -> None:
    model = model_of("bc", make_episodes())
    assert model.asked({}) == {}
    for given in ({"target": 90.0}, {"target_return": 5.0}, {"ask": {"return": 5.0}}):
        with pytest.raises(TransferError, match="the method 'bc' takes no return: .*Leave it out"):
            evaluate(model, None, 1, **given)
    with pytest.raises(TransferError, match="takes no horizon"):
        model.policy(ask={"horizon": 3})
    assert model.policy().target_return is None


def test_a_horizon_is_that_of_episodes_with_such_a_return(make_episodes: MakeEpisodes) -> None:
    lengths = Lengths([100.0, 200.0, 210.0, 400.0], [10.0, 20.0, 30.0, 40.0])
    assert (lengths.of(205.0), lengths.of(100.0), lengths.of(310.0), lengths.of(9e9)) == (25.0, 10.0, 40.0, 40.0)
    model = model_of("udrl", make_episodes())
    assert model.asked({"return": 5.0, "horizon": 7}) == {"return": 5.0, "horizon": 7.0}
    assert model.asked({"horizon": "auto"})["horizon"] == model.asked({})["horizon"] >= 1
    for bad in (0, -1, float("nan"), "many"):
        with pytest.raises(TransferError, match="horizon"):
            model.asked({"horizon": bad})
    with pytest.raises(TransferError, match="unknown thing to ask for 'horizn'. Did you mean 'horizon'"):
        model.asked({"horizn": 3})


def test_a_horizon_counts_episodes_not_their_means(make_episodes: MakeEpisodes) -> None:
    assert Lengths([100.0, 101.0], [10.0, 40.0], [1, 2]).of(100.0) == 30.0
    data = make_episodes(lengths=(2,) * 299 + (5,) * 2)
    lengths = lengths_by_return(data)
    assert len(lengths["counts"]) == 200 and sum(lengths["counts"]) == 301
    found, wanted = Lengths(**lengths).of(0.0), float(data.lengths[np.argsort(data.returns)[:2]].mean())
    assert abs(found - wanted) < 1e-6
    again = Lengths(**Lengths(**lengths).arguments())
    assert torch.equal(again.counts, Lengths(**lengths).counts)


def test_return_and_horizon_are_counted_down_and_the_horizon_ends_at_one(make_episodes: MakeEpisodes) -> None:
    model = model_of("udrl", make_episodes())
    command = model.command(np.arange(3), {"return": 10.0, "horizon": 3.0})
    seen = []
    for t in range(5):
        rewards = torch.tensor([0.0, 0.0, 0.0] if t == 0 else [1.0, 2.0, 0.5], dtype=torch.float64)
        columns = command.columns(Step(torch.zeros(3, 11), rewards, torch.full((3,), t)))
        seen.append((columns["returns"].tolist(), columns["horizon"].tolist()))
    assert [returns[1] for returns, _ in seen] == [10.0, 8.0, 6.0, 4.0, 2.0]
    assert [horizon[0] for _, horizon in seen] == [3.0, 2.0, 1.0, 1.0, 1.0]
    command.select(torch.tensor([2, 0]))
    columns = command.columns(Step(torch.zeros(2, 11), torch.zeros(2, dtype=torch.float64), torch.full((2,), 5)))
    assert columns["returns"].tolist() == [8.0, 6.0]


def test_windows_hold_the_steps_to_go(make_episodes: MakeEpisodes) -> None:
    model = model_of("udrl", make_episodes())
    batch = WindowSampler(make_episodes(), 4, 2, spec=model.windows).windows(torch.tensor([0, 11]))
    assert batch.column("horizon").tolist() == [[9.0, 8.0, 7.0, 6.0], [2.0, 1.0, 0.0, 0.0]]
    values = model.values(batch)["horizon"]
    assert values[0, 0, 0] == 9 / model.env_spec.max_episode_steps
    assert sorted(lengths_by_return(make_episodes())["lengths"]) == [2.0, 4.0, 9.0, 15.0]


def test_a_trunk_of_an_unknown_method_is_refused(make_episodes: MakeEpisodes) -> None:
    with pytest.raises(TransferError, match="unknown method kind 'uddrl'. Did you mean 'udrl'"):
        pretrain(make_episodes(), method="uddrl", config=QUICK)
    with pytest.raises(TransferError, match="unknown option of method 'dt' 'depth'"):
        pretrain(make_episodes(), method=PartSpec("dt", {"depth": 3}), config=QUICK)
    adapter = model_of("dt", make_episodes()).adapter
    with pytest.raises(TransferError, match="lacks its lengths part"):
        Adapter(adapter.config, adapter.arguments(), adapter.env_spec, adapter.statistics, 32, 2, PartSpec("udrl"))


def test_episodes_of_another_length_count_their_own_steps(make_episodes: MakeEpisodes) -> None:
    data = make_episodes()
    part = data.stretches(data.offsets[:-1], data.offsets[1:] - 1)
    assert part.steps_left.tolist() == [n for length in (9, 4, 15, 2) for n in range(length, 1, -1)]
    assert replace(QUICK, context=1) != QUICK
