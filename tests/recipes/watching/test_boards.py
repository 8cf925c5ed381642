import re
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

from transfer.data.environment.spec import ReferenceScores
from transfer.envs.catalog import environment
from transfer.errors import TransferError
from transfer.evaluation.evaluate import Evaluation
from transfer.recipes.cells.playing import log_evaluation
from transfer.recipes.watching import boards
from transfer.recipes.watching.boards import Board, read_scalars


def read(folder: Path) -> EventAccumulator:
    events = EventAccumulator(str(folder), size_guidance={"scalars": 0})
    events.Reload()
    return events


def played(successes: NDArray[np.bool_] | None = None) -> Evaluation:
    """Two episodes with a mean return of 900, a score of 45 and a length of 300."""
    scale = replace(environment("hopper"), reference=ReferenceScores("mine", 0.0, 2000.0))
    returns, lengths, seeds = np.array([800.0, 1000.0]), np.array([200, 400]), np.arange(2)
    return Evaluation(
        returns, lengths, seeds, {"return": 900.0}, "parallel", scale, np.zeros((1, 3), np.float32), successes
    )


def evaluated(board: Board, evaluation: Evaluation) -> None:
    """Log an evaluation after step 100, as a cell of a run does."""
    log_evaluation(board, 100, evaluation)


def test_success_is_logged_where_the_environment_tells(tmp_path: Path) -> None:
    with closing(Board(tmp_path)) as board:
        evaluated(board, played(np.array([True, False])))
    assert read(tmp_path).Scalars("eval/hopper/success")[0].value == 0.5


def test_scalars_arrive_with_their_step(tmp_path: Path) -> None:
    with closing(Board(tmp_path)) as board:
        board.scalars(50, {"train/loss": 0.5, "train/lr": 1e-3})
        evaluated(board, played())
    events = read(tmp_path)
    assert [(e.step, e.value) for e in events.Scalars("train/loss")] == [(50, 0.5)]
    values = {tag: events.Scalars(f"eval/hopper/{tag}")[0].value for tag in ("return", "score", "length")}
    assert values == {"return": 900.0, "score": 45.0, "length": 300.0}
    assert [event.step for event in events.Scalars("eval/hopper/score")] == [100]
    assert "eval/hopper/success" not in events.Tags()["scalars"]


def test_tags_are_fixed_and_documented(tmp_path: Path) -> None:
    with closing(Board(tmp_path)) as board, pytest.raises(TransferError, match="Did you mean 'train/loss'"):
        board.scalars(0, {"train/los": 1.0})
    with closing(Board(tmp_path)) as board:  # an id of Gymnasium may have a namespace
        board.scalars(0, {"eval/my_envs/Point-v0/score": 1.0, "train/loss/hopper/action": 1.0})
    for tag in ("train/loss/", "eval/score", "eval/hopper/scores", "valid/losses", "values/policy_actions/0"):
        with closing(Board(tmp_path)) as board, pytest.raises(TransferError, match="unknown TensorBoard tag"):
            board.scalars(0, {tag: 1.0})
    for tag in ("values/polcy_actions/0", "values/policy_actions", "values/policy_actions/x", "train/loss"):
        with closing(Board(tmp_path)) as board, pytest.raises(TransferError, match="values/policy_actions/I"):
            board.histogram(tag, 0, np.zeros(3))
    assert boards.__doc__
    told = re.findall(r"(?m)^\| (\w+/[\w/]+)", boards.__doc__)
    made = [f"eval/ENVIRONMENT/{tag}" for tag in boards.EVALUATED] + [f"train/{tag}" for tag in boards.TRAINED]
    values = [f"values/{kind}_actions/I" for kind in ("dataset", "policy")]
    assert sorted(told) == sorted([*made, *values, *boards.LOSSES])


def test_histograms_are_per_dimension(tmp_path: Path) -> None:
    with closing(Board(tmp_path)) as board:
        for dimension, value in enumerate((-1.0, 1.0)):
            board.histogram(f"values/dataset_actions/{dimension}", 0, np.full(100, value))
    events = read(tmp_path)
    low, high = (events.Histograms(f"values/dataset_actions/{i}")[0].histogram_value for i in (0, 1))
    assert (low.num, low.max, high.num, high.min) == (100, -1.0, 100, 1.0)


def test_hparams_share_the_one_event_file(tmp_path: Path) -> None:
    with closing(Board(tmp_path)) as board:
        evaluated(board, played())
        board.hparams({"mode": "embeddings", "lr": 1e-3, "steps": 10}, 45.0)
    assert [path.name[:6] for path in tmp_path.rglob("*")] == ["events"]
    plugin = read(tmp_path).summary_metadata["_hparams_/experiment"].plugin_data
    assert plugin.plugin_name == "hparams"
    assert "_hparams_/session_start_info" in read(tmp_path).summary_metadata
    experiment = HParamsPluginData.FromString(plugin.content).experiment
    columns = [metric.name.tag for metric in experiment.metric_infos]
    assert columns == ["score"]
    assert read_scalars(tmp_path, columns[0]) == [(0, 45.0)]  # else the column would be empty


def test_a_resumed_run_hides_what_it_repeats(tmp_path: Path) -> None:
    with closing(Board(tmp_path)) as board:
        for step in (50, 100, 150):
            board.scalars(step, {"train/loss": 1.0})
    with closing(Board(tmp_path, first_step=101)) as board:
        board.scalars(150, {"train/loss": 2.0})
    assert [(e.step, e.value) for e in read(tmp_path).Scalars("train/loss")] == [(50, 1.0), (100, 1.0), (150, 2.0)]
