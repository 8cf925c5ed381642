"""Wrong arguments of `adapt` and `pretrain`: each is named before anything is built; numpy's numbers are numbers."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.hooks import Hooks
from tests.kinds import config_of
from transfer.data.episodes import Episodes
from transfer.envs.catalog import environment
from transfer.errors import TransferError
from transfer.evaluation.evaluate import evaluate
from transfer.models.trunk import TrunkConfig
from transfer.recipes.programs.adapt import adapt
from transfer.recipes.programs.pretrain import pretrain
from transfer.storage.fingerprints import fingerprint
from transfer.training.train_config import TrainConfig

CONFIG = TrainConfig(steps=2, batch_size=4, context=3)
SMALL = TrunkConfig(width=16, depth=2, heads=2)
KINDS = config_of(bins=8)


@pytest.fixture(scope="module")
def episodes() -> Episodes:
    rng, lengths = np.random.default_rng(0), (6, 4)
    states, actions = rng.normal(size=(10, 11)), rng.uniform(-1, 1, (10, 3))
    return Episodes.from_arrays(states, actions, rng.uniform(0, 1, 10), lengths, environment("hopper"))


def pretrained(episodes: Any, **options: Any) -> Any:
    return pretrain(episodes, **{"config": CONFIG, "trunk_config": SMALL, "adapter_config": KINDS, **options})


def scratch(episodes: Any, **options: Any) -> Any:
    shared = {"config": CONFIG, "trunk_config": SMALL, "adapter_config": KINDS, "mode": "scratch-adapt"}
    return adapt(None, episodes, **{**shared, **options})


def every(steps: Any) -> Hooks:
    """A callback that is called after some steps."""
    hooks = Hooks()
    hooks.every = steps
    return hooks


CALLS: dict[str, Callable[..., Any]] = {"pretrain": pretrained, "adapt": scratch}
WRONG: list[tuple[str, Any, str]] = [
    *(("steps", value, "steps=") for value in (0, -1, 2.5, True, "5", np.nan, 10**15, [5])),
    *(("seed", value, "seed=") for value in (-1, 0.5, "0", None, 2**64, True)),
    *(("device", value, "unknown device") for value in ("gpu", 5, None, "", np.zeros(2), "meta", torch.device("meta"))),
    ("device", "cpu:x", "device 'cpu:x' is not available"),
    *(("precision", value, "unknown precision") for value in ("float16", torch.float16, 32, "double", np.zeros(2))),
    *(("compile", value, "compile=") for value in (1, "yes", None)),
    *(("progress", value, "progress=") for value in (1, "yes", None)),
    *(("checkpoint", value, "checkpoint=") for value in (5, "", "a\0b", ["x"])),
    *(("config", value, "config is of type .*; TrainConfig is needed") for value in ({"steps": 5}, 5, KINDS)),
    *(("trunk_config", value, "trunk_config is of type .*; TrunkConfig is needed") for value in ({}, 16, CONFIG)),
    *(
        ("adapter_config", value, "adapter_config is of type .*; AdapterConfig is needed")
        for value in ({}, "mlp", SMALL)
    ),
    *(("callbacks", value, "callbacks is of type .*; a list of Callback is needed") for value in (5, "x", Hooks())),
    *(("callbacks", [value], "a callback is of type .*; Callback is needed. Inherit") for value in (5, print, Hooks)),
    *(("callbacks", [every(value)], "Hooks.every=") for value in (0, 2.5, "5", None)),
    *(
        ("episodes", value, r"episodes is of type .*; Episodes is needed. Load them with load_episodes")
        for value in ("hopper/medium", None, [], np.zeros((3, 11)), Path("x"))
    ),
]
WRONG_HERE: list[tuple[str, Any, str]] = [
    ("mode", "embedings", "unknown mode 'embedings'. Did you mean 'embeddings'"),
    *(("mode", value, "unknown mode") for value in (5, None, ["full"], "")),
    *(("inherit_from_source", value, "unknown inherit_from_source") for value in ("state", None, ["action"])),
    *(("trunk", value, "trunk is of type .*; Trunk is needed. Load one") for value in ("runs/x/trunk", 5, SMALL)),
    *(("source", value, "source is of type .*; Adapter is needed") for value in ("runs/x/adapter", 5)),
    ("trunk", None, "mode 'embeddings' needs a pretrained trunk"),
]


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize(("name", "value", "message"), WRONG, ids=repr)
def test_wrong_arguments_are_named(call: str, name: str, value: Any, message: str, episodes: Episodes) -> None:
    options = {name: value} if name != "episodes" else {}
    with pytest.raises(TransferError, match=message):
        CALLS[call](value if name == "episodes" else episodes, **options)


@pytest.mark.parametrize(("name", "value", "message"), WRONG_HERE, ids=repr)
def test_wrong_arguments_of_adapt_are_named(name: str, value: Any, message: str, episodes: Episodes) -> None:
    options = {"trunk": None, "mode": "embeddings" if name == "trunk" else "scratch-adapt", name: value}
    with pytest.raises(TransferError, match=message):
        adapt(episodes=episodes, config=CONFIG, trunk_config=SMALL, adapter_config=KINDS, **options)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is one")
@pytest.mark.parametrize("call", CALLS)
def test_a_device_that_is_not_there_is_named_with_the_way_out(call: str, episodes: Episodes) -> None:
    with pytest.raises(TransferError, match="device 'cuda' is not available.*Try device auto"):
        CALLS[call](episodes, device="cuda")


@pytest.mark.parametrize("call", CALLS)
def test_numpy_s_numbers_end_in_the_bytes_of_python_s(call: str, episodes: Episodes, tmp_path: Path) -> None:
    plain = CALLS[call](episodes, config=TrainConfig(2, 4, 0.5, context=3), seed=0, steps=2)
    settings = TrainConfig(np.int64(2), np.int8(4), np.float32(0.5), context=np.array(3))  # type: ignore[arg-type]
    of_numpy = CALLS[call](episodes, config=settings, seed=np.int64(0), steps=torch.tensor(2))
    for name, result in {"plain": plain, "numpy": of_numpy}.items():
        result.adapter.save(tmp_path / name / "adapter")
        result.model.trunk.save(tmp_path / name / "trunk")
    files = sorted(path.relative_to(tmp_path / "plain") for path in (tmp_path / "plain").rglob("*.*"))
    assert files and all((tmp_path / "plain" / f).read_bytes() == (tmp_path / "numpy" / f).read_bytes() for f in files)


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("precision", ["float32", torch.float32, "bfloat16", torch.bfloat16, "auto", None])
def test_precisions_are_names_or_dtypes(call: str, precision: Any, episodes: Episodes) -> None:
    assert CALLS[call](episodes, precision=precision, device="auto").fit.final_loss > 0


def test_steps_replace_those_of_the_config(episodes: Episodes) -> None:
    done: list[int] = []
    pretrained(episodes, steps=3, callbacks=[Hooks(step=done.append)])
    assert done == [1, 2, 3]


@pytest.mark.parametrize(("call", "title"), [("pretrain", "pretrain"), ("adapt", "adapt scratch-adapt")])
def test_progress_is_shown_on_stderr_when_asked_for(
    call: str, title: str, episodes: Episodes, capsys: pytest.CaptureFixture[str]
) -> None:
    logged: list[int] = []
    CALLS[call](episodes)
    assert capsys.readouterr() == ("", "")
    CALLS[call](episodes, progress=True, callbacks=[Hooks(log=lambda step, values: logged.append(step))])
    out, err = capsys.readouterr()
    assert out == "" and err.startswith(f"{title}: 2 steps in") and logged == [2]
    with pytest.raises(KeyboardInterrupt):
        config = TrainConfig(4, 4, context=3, log_every=1, save_every=1)
        CALLS[call](episodes, progress=True, config=config, callbacks=[Hooks(step=stop)])
    assert capsys.readouterr().err == f"{title}: stopped at 2/4 steps (50%)\n"


def stop(step: int) -> None:
    """As from the keyboard."""
    if step == 2:
        raise KeyboardInterrupt


def test_results_are_one_line(episodes: Episodes) -> None:
    for name, call in CALLS.items():
        line = repr(call(episodes))
        assert line.startswith(f"{name.capitalize()}Result(hopper: ") and "parameters trained, loss" in line
        assert "\n" not in line and len(line) < 120


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("kind", ["trunk", "batch"])
def test_what_no_memory_holds_is_refused_before_it_is_asked_for(
    call: str, kind: str, episodes: Episodes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("transfer.runtime.memory._machine_bytes", lambda: 2**20 if kind == "batch" else 2**14)
    config = TrainConfig(steps=2, batch_size=10**6 if kind == "batch" else 4, context=3)
    with pytest.raises(TransferError, match=rf"a {kind} of .* needs at least .* GB of memory, there are 0.0 GB. Lower"):
        CALLS[call](episodes, config=config)


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize(
    "error", [MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried")]
)
def test_memory_that_cannot_be_had_is_said(call: str, error: Exception, episodes: Episodes) -> None:
    def on_step(step: int) -> None:
        raise error

    with pytest.raises(TransferError, match="there is not enough memory .* Lower batch_size"):
        CALLS[call](episodes, callbacks=[Hooks(step=on_step)])


def test_other_errors_of_callbacks_stay_what_they_are(episodes: Episodes) -> None:
    def on_step(step: int) -> None:
        raise RuntimeError("mine")

    with pytest.raises(RuntimeError, match="^mine$"):
        pretrained(episodes, callbacks=[Hooks(step=on_step)])


def test_a_finished_training_is_not_done_again(episodes: Episodes, tmp_path: Path) -> None:
    first = pretrained(episodes, checkpoint=tmp_path)
    logged: list[int] = []
    again = pretrained(episodes, checkpoint=tmp_path, callbacks=[Hooks(log=lambda step, values: logged.append(step))])
    assert not logged and again.fit.final_loss == first.fit.final_loss
    assert fingerprint(again.trunk) == fingerprint(first.trunk)


def test_an_environment_that_is_not_at_hand_is_no_need_of_training(episodes: Episodes) -> None:
    gym_spec = json.loads(episodes.env_spec.gym_spec) | {"id": "NotHere-v0", "entry_point": "not_here:Env"}
    elsewhere = replace(episodes, env_spec=replace(episodes.env_spec, gym_spec=json.dumps(gym_spec)))
    source = pretrained(elsewhere)
    result = adapt(source.trunk, elsewhere, config=CONFIG)
    assert result.fit.final_loss > 0
    with pytest.raises(TransferError, match="NotHere-v0"):
        evaluate(result.model, num_episodes=1)
