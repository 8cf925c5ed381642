"""A run that was killed and goes on ends in the same bytes as one that never stopped."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

import transfer
from transfer.adapter import AdapterConfig
from transfer.episodes import Episodes
from transfer.errors import TransferError
from transfer.model import TransferModel
from transfer.recipes.adapt import adapt
from transfer.recipes.pretrain import pretrain
from transfer.sampler import WindowSampler
from transfer.training import TrainConfig, fit
from transfer.trunk import Trunk, TrunkConfig

MakeEpisodes = Callable[..., Episodes]
MakeModel = Callable[..., TransferModel]
CONFIG = TrainConfig(steps=12, batch_size=4, context=5, log_every=1, save_every=3)
TRUNK = TrunkConfig(width=16, depth=2, heads=2, dropout=0.2)
ADAPTER = AdapterConfig(bins=8)


class Killed(Exception):
    """Stands for the end of the process."""


def kill_at(step: int) -> Callable[..., None]:
    def on_step(done: int, model: object) -> None:
        if done == step:
            raise Killed

    return on_step


def run(episodes: Episodes, config: TrainConfig = CONFIG, **options: Any) -> Any:
    return pretrain(episodes, config=config, trunk_config=TRUNK, adapter_config=ADAPTER, seed=3, **options)


def files(result: Any, folder: Path) -> dict[str, bytes]:
    """Every file of a saved result."""
    result.model.trunk.save(folder / "trunk")
    result.model.adapter.save(folder / "adapter")
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("killed_at", [2, 3, 7, 11])
@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
def test_a_resumed_pretraining_ends_in_the_same_bytes(
    killed_at: int, precision: torch.dtype, make_episodes: MakeEpisodes, tmp_path: Path
) -> None:
    episodes, state, starts = make_episodes(), tmp_path / "state", []
    unbroken = files(run(episodes, precision=precision), tmp_path / "unbroken")
    with pytest.raises(Killed):
        run(episodes, precision=precision, checkpoint=state, on_step=kill_at(killed_at))
    torch.manual_seed(99)
    result = run(episodes, precision=precision, checkpoint=state, on_start=lambda _, done: starts.append(done))
    assert starts == [killed_at // 3 * 3]
    assert files(result, tmp_path / "resumed") == unbroken


def test_a_run_can_be_killed_again_and_again(make_episodes: MakeEpisodes, tmp_path: Path) -> None:
    episodes, state = make_episodes(), tmp_path / "state"
    unbroken = run(episodes)
    for killed_at in (4, 4, 8, 10):
        with pytest.raises(Killed):
            run(episodes, checkpoint=state, on_step=kill_at(killed_at))
    result = run(episodes, checkpoint=state)
    assert result.fit.final_loss == unbroken.fit.final_loss
    assert files(result, tmp_path / "resumed") == files(unbroken, tmp_path / "unbroken")


@pytest.mark.parametrize("mode", ["embeddings+ia3", "full"])
def test_a_resumed_adaptation_ends_in_the_same_bytes(
    mode: str, make_episodes: MakeEpisodes, make_trunk: Callable[..., Trunk], tmp_path: Path
) -> None:
    episodes, state = make_episodes("Walker2d-v5"), tmp_path / "state"

    def adapted(**options: Any) -> Any:
        return adapt(make_trunk(dropout=0.2), episodes, mode, config=CONFIG, adapter_config=ADAPTER, **options)

    unbroken = files(adapted(), tmp_path / "unbroken")
    with pytest.raises(Killed):
        adapted(checkpoint=state, on_step=kill_at(8))
    assert files(adapted(checkpoint=state), tmp_path / "resumed") == unbroken


PROGRAM = """
import sys, time
import numpy as np, torch
torch.set_num_threads(1)
from transfer.adapter import AdapterConfig
from transfer.episodes import Episodes
from transfer.recipes.pretrain import pretrain
from transfer.training import TrainConfig
from transfer.trunk import TrunkConfig

arrays = dict(np.load(sys.argv[1]))
pretrain(
    Episodes.from_arrays(**arrays, env="Hopper-v5", name="test/Hopper-v5"),
    config=TrainConfig(steps=200, batch_size=4, context=5, log_every=1, save_every=2),
    trunk_config=TrunkConfig(width=16, depth=2, heads=2, dropout=0.2),
    adapter_config=AdapterConfig(bins=8),
    seed=3,
    checkpoint=__import__("pathlib").Path(sys.argv[2]),
    on_step=lambda step, model: time.sleep(0.01),
)
"""


def test_a_process_that_was_really_killed_goes_on_to_the_same_bytes(
    make_episodes: MakeEpisodes, tmp_path: Path
) -> None:
    import numpy as np

    episodes, state, config = make_episodes(), tmp_path / "state", replace(CONFIG, steps=200, save_every=2)
    np.savez(tmp_path / "data.npz", **{n: getattr(episodes, n) for n in ("states", "actions", "rewards", "lengths")})
    home = str(Path(transfer.__file__).parent.parent)
    command = [sys.executable, "-c", PROGRAM, str(tmp_path / "data.npz"), str(state)]
    process = subprocess.Popen(command, env={**os.environ, "PYTHONPATH": home}, stderr=subprocess.PIPE)
    deadline = time.monotonic() + 60
    while not (state / "state.json").exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.005)
    wait = random.uniform(0, 1)
    time.sleep(wait)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL, process.stderr.read().decode() if process.stderr else ""

    starts: list[int] = []
    result = run(episodes, config, checkpoint=state, on_start=lambda _, done: starts.append(done))
    assert 0 < starts[0] < 200, f"killed {wait} s after the first checkpoint"
    assert files(result, tmp_path / "resumed") == files(run(episodes, config), tmp_path / "unbroken"), starts


def test_another_way_of_training_does_not_go_on_with_it(make_episodes: MakeEpisodes, tmp_path: Path) -> None:
    with pytest.raises(Killed):
        run(make_episodes(), checkpoint=tmp_path / "state", on_step=kill_at(4))
    with pytest.raises(TransferError, match="belongs to another training.*lr"):
        run(make_episodes(), replace(CONFIG, lr=1e-4), checkpoint=tmp_path / "state")


@pytest.mark.parametrize("other", [{"ia3": True}, {"state": "linear"}, {"bins": 4}, {"env": "Walker2d-v5"}])
def test_another_model_does_not_go_on_with_it(
    other: dict[str, Any], make_model: MakeModel, make_episodes: MakeEpisodes, tmp_path: Path
) -> None:
    def train(model: TransferModel, on_step: Callable[[int], None] | None = None) -> None:
        sampler = WindowSampler(make_episodes(model.env_spec.gym_id), 5, 4)
        parts = [name for name in model.parts() if name != "trunk"]
        fit(model, sampler, CONFIG, parts, checkpoint=tmp_path / "state", on_step=on_step)

    with pytest.raises(Killed):
        train(make_model(), lambda step: kill_at(4)(step, None))
    with pytest.raises(TransferError, match="belongs to another training"):
        train(make_model(**other))


def test_a_selected_tensor_that_takes_no_part_does_not_stand_in_the_way(
    make_model: MakeModel, make_episodes: MakeEpisodes, tmp_path: Path
) -> None:
    """With a return embedding in the adapter, the trunk's own gets no gradient and no optimizer state."""

    def train(on_step: Callable[[int], None] | None = None, **options: Any) -> TransferModel:
        model, sampler = make_model(conditioning=True), WindowSampler(make_episodes(), 5, 4)
        fit(model, sampler, CONFIG, ["trunk", "conditioning"], on_step=on_step, **options)
        return model

    with pytest.raises(Killed):
        train(lambda step: kill_at(4)(step, None), checkpoint=tmp_path / "state")
    resumed, unbroken = train(checkpoint=tmp_path / "state"), train()
    assert all(torch.equal(a, b) for a, b in zip(resumed.parameters(), unbroken.parameters(), strict=True))


@pytest.mark.parametrize("name", ["state.json", "state.safetensors"])
@pytest.mark.parametrize("damage", ["missing", "truncated"])
def test_a_damaged_state_is_named(name: str, damage: str, make_episodes: MakeEpisodes, tmp_path: Path) -> None:
    with pytest.raises(Killed):
        run(make_episodes(), checkpoint=tmp_path / "state", on_step=kill_at(4))
    path = tmp_path / "state" / name
    path.unlink() if damage == "missing" else path.write_bytes(path.read_bytes()[:-50])
    with pytest.raises(TransferError, match=name):
        run(make_episodes(), checkpoint=tmp_path / "state")


def test_a_kill_between_the_renames_of_a_save_loses_nothing(make_episodes: MakeEpisodes, tmp_path: Path) -> None:
    starts: list[int] = []
    with pytest.raises(Killed):
        run(make_episodes(), checkpoint=tmp_path / "state", on_step=kill_at(4))
    head = json.loads((tmp_path / "state" / "state.json").read_text())
    (tmp_path / "state" / "state.safetensors").rename(tmp_path / "state" / f".state.{head['tensors'][:16]}.safetensors")
    run(make_episodes(), checkpoint=tmp_path / "state", on_start=lambda _, done: starts.append(done))
    assert starts == [3]
    assert sorted(path.name for path in (tmp_path / "state").iterdir()) == ["state.json", "state.safetensors"]
