from pathlib import Path

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from transfer.errors import TransferError
from transfer.recipes import boards
from transfer.recipes.boards import Board


def read(folder: Path) -> EventAccumulator:
    events = EventAccumulator(str(folder), size_guidance={"scalars": 0, "images": 0})
    events.Reload()
    return events


def test_scalars_arrive_with_their_step(tmp_path: Path) -> None:
    with Board(tmp_path) as board:
        board.scalars(50, {"train/loss": 0.5, "train/lr": 1e-3})
        board.evaluation(100, 900.0, 45.0, 300.0)
    events = read(tmp_path)
    assert [(e.step, e.value) for e in events.Scalars("train/loss")] == [(50, 0.5)]
    values = {tag: events.Scalars(tag)[0].value for tag in ("eval/return", "eval/score", "eval/length")}
    assert values == {"eval/return": 900.0, "eval/score": 45.0, "eval/length": 300.0}


def test_tags_are_fixed_and_documented(tmp_path: Path) -> None:
    with Board(tmp_path) as board, pytest.raises(TransferError, match="Did you mean 'train/loss'"):
        board.scalars(0, {"train/los": 1.0})
    with Board(tmp_path) as board, pytest.raises(TransferError, match="actions/policy"):
        board.actions("actions/polcy", 0, np.zeros((3, 2)))
    assert boards.__doc__
    assert all(f"| {tag}" in boards.__doc__ for tag in (*boards.SCALARS, boards.VIDEO))
    assert all(f"{tag}/I" in boards.__doc__ for tag in boards.HISTOGRAMS)


def test_histograms_are_per_dimension(tmp_path: Path) -> None:
    with Board(tmp_path) as board:
        board.actions("actions/dataset", 0, np.stack([np.full(100, -1.0), np.full(100, 1.0)], 1))
    events = read(tmp_path)
    low, high = (events.Histograms(f"actions/dataset/{i}")[0].histogram_value for i in (0, 1))
    assert (low.num, low.max, high.num, high.min) == (100, -1.0, 100, 1.0)


def test_hparams_share_the_one_event_file(tmp_path: Path) -> None:
    with Board(tmp_path) as board:
        board.evaluation(100, 900.0, 45.0, 300.0)
        board.hparams({"mode": "embeddings", "lr": 1e-3, "steps": 10}, 45.0)
    assert [path.name[:6] for path in tmp_path.rglob("*")] == ["events"]
    plugin = read(tmp_path).summary_metadata["_hparams_/experiment"].plugin_data
    assert plugin.plugin_name == "hparams"
    assert "_hparams_/session_start_info" in read(tmp_path).summary_metadata


def test_a_resumed_run_hides_what_it_repeats(tmp_path: Path) -> None:
    with Board(tmp_path) as board:
        for step in (50, 100, 150):
            board.scalars(step, {"train/loss": 1.0})
    with Board(tmp_path, first_step=101) as board:
        board.scalars(150, {"train/loss": 2.0})
    assert [(e.step, e.value) for e in read(tmp_path).Scalars("train/loss")] == [(50, 1.0), (100, 1.0), (150, 2.0)]


def test_video_is_an_animated_image(tmp_path: Path) -> None:
    frames = np.random.default_rng(0).integers(0, 255, (4, 8, 6, 3), dtype=np.uint8)
    with Board(tmp_path) as board:
        board.video(7, frames)
    (image,) = read(tmp_path).Images("video/policy")
    assert image.encoded_image_string.startswith(b"GIF89a") and (image.height, image.width, image.step) == (8, 6, 7)
