"""Callbacks: when they are called, what they add, and their states in a training that is resumed."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from transfer.data.episodes import Episodes
from transfer.data.windows import WindowSampler
from transfer.errors import TransferError
from transfer.models.sequence_model import TransferModel
from transfer.training.callbacks import Callback
from transfer.training.fit import fit
from transfer.training.train_config import TrainConfig

QUICK = TrainConfig(steps=6, batch_size=4, context=5, log_every=2, save_every=2)


class Counter(Callback):
    """Counts its calls; the count is its state."""

    def __init__(self, every: int = 1, stop: int = 0) -> None:
        self.every, self.stop, self.seen, self.calls = every, stop, 0, list[Any]()

    def start(self, model: Any, selection: Any, done: int) -> None:
        self.calls.append(("start", type(model).__name__, sorted(selection.parts), done))

    def step(self, done: int) -> None:
        self.seen += 1
        self.calls.append(done)
        if done == self.stop:
            raise KeyboardInterrupt

    def log(self, done: int, values: dict[str, float]) -> None:
        self.calls.append(("log", done))
        values["valid/loss"] = float(done)

    def state(self) -> dict[str, Any]:
        return {"seen": self.seen}

    def load(self, state: dict[str, Any]) -> None:
        self.seen = state["seen"]


class Reader(Callback):
    """Keeps what it sees at reports."""

    def __init__(self) -> None:
        self.values: list[dict[str, float]] = []

    def log(self, done: int, values: dict[str, float]) -> None:
        self.values.append(dict(values))


@pytest.fixture
def train(make_model: Callable[..., TransferModel], make_episodes: Callable[..., Episodes]) -> Callable[..., Any]:
    """train(callbacks, **options of fit)"""

    def run(callbacks: Any, **options: Any) -> Any:
        sampler = WindowSampler(make_episodes(), QUICK.context, QUICK.batch_size)
        config = replace(QUICK, **{key: options.pop(key) for key in ("steps",) if key in options})
        return fit(
            make_model(context=5), sampler, config, ["state"], precision=torch.float32, callbacks=callbacks, **options
        )

    return run


def test_the_order_of_calls(train: Callable[..., Any]) -> None:
    each, second = Counter(), Counter(every=3)
    train([each, second])
    assert each.calls == [
        ("start", "TransferModel", ["state"], 0),
        1,
        ("log", 2),
        2,
        3,
        ("log", 4),
        4,
        5,
        ("log", 6),
        6,
    ]
    assert [call for call in second.calls if isinstance(call, int)] == [3, 6]


def test_callbacks_behind_see_what_one_adds(train: Callable[..., Any]) -> None:
    before, behind = Reader(), Reader()
    train([before, Counter(), behind])
    assert ["valid/loss" in one for one in before.values] == [False] * 3
    assert [one["valid/loss"] for one in behind.values] == [2.0, 4.0, 6.0]
    assert all({"train/loss", "train/loss/action", "train/grad_norm", "train/lr"} <= set(one) for one in before.values)
    assert all(one["train/loss"] == one["train/loss/action"] for one in before.values)


def test_states_are_saved_and_taken_back(train: Callable[..., Any], tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        train([Counter(stop=5), Counter(every=2)], checkpoint=tmp_path)
    one, other = Counter(), Counter(every=2)
    train([one, other], checkpoint=tmp_path)
    # Step 4 was saved with 3 and 1 calls seen, and is called again.
    assert one.calls == [("start", "TransferModel", ["state"], 4), 4, 5, ("log", 6), 6]
    assert (one.seen, other.seen) == (6, 3)


def test_a_resumed_training_may_have_other_callbacks(train: Callable[..., Any], tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        train([Counter(stop=5)], checkpoint=tmp_path)
    reader = Reader()
    train([reader], checkpoint=tmp_path)
    assert len(reader.values) == 1


@pytest.mark.parametrize(
    ("callbacks", "message"),
    [
        (Counter(), "callbacks is of type Counter; a list of Callback is needed"),
        (print, "callbacks is of type builtin_function_or_method"),
        ([print], "a callback is of type builtin_function_or_method; Callback is needed"),
        ([Counter], "a callback is of type type; Callback is needed"),
        ([Counter(every=0)], r"Counter\.every"),
    ],
)
def test_something_else_is_refused(train: Callable[..., Any], callbacks: Any, message: str) -> None:
    with pytest.raises(TransferError, match=message):
        train(callbacks)


def test_the_first_of_a_class_keeps_its_state_beside_another_one(
    train: Callable[..., Any], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(KeyboardInterrupt):
        train([Counter(stop=4), Counter()], checkpoint=tmp_path)
    alone = Counter()
    train([alone], checkpoint=tmp_path)
    assert alone.seen == 6 and "holds the state of a callback Counter#2" in caplog.text
