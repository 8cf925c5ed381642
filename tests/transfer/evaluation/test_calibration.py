"""Calibration: its episodes are not those of an evaluation, its best row is the default target, and it is saved."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from transfer import Adapter, TransferModel, evaluate
from transfer.data.measured.calibration_table import Calibration
from transfer.data.measured.dataset_statistics import Statistics
from transfer.errors import TransferError
from transfer.evaluation.calibration import calibrate
from transfer.models.mlp import MLPPolicy

MakeModel = Callable[..., TransferModel]


@pytest.mark.parametrize(
    ("asked", "achieved", "success", "best"),
    [
        ((1.0, 2.0, 3.0), (5.0, 9.0, 7.0), None, 2.0),
        ((1.0, 2.0, 3.0), (5.0, 9.0, 9.0), None, 2.0),  # as good with less
        ((3.0, 2.0, 1.0), (9.0, 9.0, 5.0), None, 2.0),
        ((1.0, 2.0, 3.0), (5.0, 9.0, 7.0), (0.2, 0.5, 0.8), 3.0),  # success counts before return
        ((1.0, 2.0, 3.0), (5.0, 9.0, 7.0), (0.8, 0.5, 0.8), 3.0),
        ((-5.0,), (-7.0,), None, -5.0),
    ],
)
def test_the_best_target(asked: Any, achieved: Any, success: Any, best: float) -> None:
    calibration = Calibration(asked, achieved, success, 4)
    assert calibration.best == best
    assert Calibration.from_json(calibration.to_json()) == calibration


def test_episodes_are_not_those_of_an_evaluation(make_model: MakeModel, countdowns: list[Any]) -> None:
    model, done = make_model("Hopper-v5"), []
    calibration = calibrate(model, [10.0, 20.0], 3, on_episode=done.append)
    seeds = [seed for env in countdowns for seed in env.seeds]
    assert sorted(seeds) == [20_000, 20_000, 20_001, 20_001, 20_002, 20_002] and done[-1] == 6
    assert calibration.asked == (10.0, 20.0) and calibration.achieved == (3.0, 3.0) and calibration.success is None
    assert model.statistics.calibration == calibration and model.statistics.best_target == 10.0
    assert evaluate(model, num_episodes=2).target_return == 10.0  # no longer the dataset's p95


def test_by_default_the_returns_of_the_dataset_are_asked_for(make_model: MakeModel, countdowns: list[Any]) -> None:
    model = make_model("Hopper-v5")
    quantiles = model.statistics.return_quantiles
    assert calibrate(model, None, 1).asked == tuple(quantiles[name] for name in ("p50", "p75", "p90", "p95", "max"))
    with pytest.raises(TransferError, match="nothing to calibrate"):
        calibrate(model, [], 1)


def test_adapters_and_the_mlp_keep_it(make_model: MakeModel, countdowns: list[Any], tmp_path: Path) -> None:
    model = make_model("Hopper-v5")
    expected = calibrate(model, [10.0, 20.0], 1)
    adapter = Adapter.load(model.adapter.save(tmp_path / "adapter"), model.trunk)
    assert adapter.statistics == model.statistics and adapter.statistics.calibration == expected
    policy = MLPPolicy(model.env_spec, model.statistics, 4)
    assert MLPPolicy.load(policy.save(tmp_path / "mlp")).statistics.calibration == expected
    assert model.policy().target_return == 10.0


def test_success_that_is_told_only_when_it_happens(
    make_model: MakeModel, countdowns: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = make_model("Hopper-v5")
    calibration = calibrate(model, [10.0, 20.0, 10.0], 4)
    assert calibration.success is None and calibration.asked == (10.0, 20.0)  # equal targets are played once
    monkeypatch.setattr(type(countdowns[0]), "lucky", 20_001)
    calibration = calibrate(model, [10.0, 20.0], 4)
    assert calibration.success == (0.25, 0.25) and "success 0.25" in str(calibration)


def test_an_edited_calibration_is_refused(make_model: MakeModel) -> None:
    good = {"asked": [1.0], "achieved": [2.0], "success": None, "episodes": 3}
    for change in ({"achieved": []}, {"success": [0.1, 0.2]}, {"asked": [], "achieved": []}):
        with pytest.raises(TransferError, match="calibration was edited"):
            Calibration.from_json({**good, **change})
    nan = float("nan")
    for change in ({"asked": [nan]}, {"achieved": ["2"]}, {"success": [nan]}, {"episodes": 2.5}, {"episodes": 0}):
        with pytest.raises(TransferError, match="calibration"):
            Calibration.from_json({**good, **change})
    for change in ({"asked": 1.0}, {"achieved": None}, {"success": {"a": 1}}):
        with pytest.raises(TransferError, match="calibration was edited"):
            Calibration.from_json({**good, **change})
    with pytest.raises(TransferError, match="lacks .*calibration"):
        Statistics.from_json({"state_mean": [], "state_std": [], "return_quantiles": {}})
