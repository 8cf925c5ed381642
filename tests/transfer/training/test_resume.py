"""A run that was killed and goes on ends in the same bytes as one that never stopped."""

import hashlib
import json
import math
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

import transfer
from tests.hooks import Hooks
from tests.kinds import config_of
from transfer.data.episodes import Episodes
from transfer.data.windows import WindowSampler
from transfer.errors import TransferError
from transfer.models.sequence_model import TransferModel
from transfer.models.trunk import Trunk, TrunkConfig
from transfer.recipes.programs.adapt import adapt
from transfer.recipes.programs.pretrain import pretrain
from transfer.storage.pairs import checksum
from transfer.training.callbacks import Callback
from transfer.training.fit import fit
from transfer.training.train_config import TrainConfig

MakeEpisodes = Callable[..., Episodes]
MakeModel = Callable[..., TransferModel]
CONFIG = TrainConfig(steps=12, batch_size=4, context=5, log_every=1, save_every=3)
TRUNK = TrunkConfig(width=16, depth=2, heads=2, dropout=0.2)
ADAPTER = config_of(bins=8)


@pytest.fixture
def make_model(make_model: Callable[..., TransferModel]) -> Callable[..., TransferModel]:
    """Models that act on windows as these tests train on, of 5 steps."""
    return partial(make_model, context=5)


class Killed(Exception):
    """Stands for the end of the process."""


def kill_at(step: int) -> list[Hooks]:
    """Callbacks."""

    def kill(done: int) -> None:
        if done == step:
            raise Killed

    return [Hooks(step=kill)]


DEFAULTS: dict[str, Any] = {"trunk_config": TRUNK, "adapter_config": ADAPTER, "seed": 3}


def run(episodes: Episodes, config: TrainConfig = CONFIG, **options: Any) -> Any:
    return pretrain(episodes, config=config, **{**DEFAULTS, **options})


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
        run(episodes, precision=precision, checkpoint=state, callbacks=kill_at(killed_at))
    torch.manual_seed(99)
    result = run(
        episodes, precision=precision, checkpoint=state, callbacks=[Hooks(lambda _, done: starts.append(done))]
    )
    assert starts == [killed_at // 3 * 3]
    assert files(result, tmp_path / "resumed") == unbroken


def test_a_run_can_be_killed_again_and_again(make_episodes: MakeEpisodes, tmp_path: Path) -> None:
    episodes, state = make_episodes(), tmp_path / "state"
    unbroken = run(episodes)
    for killed_at in (4, 4, 8, 10):
        with pytest.raises(Killed):
            run(episodes, checkpoint=state, callbacks=kill_at(killed_at))
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
        adapted(checkpoint=state, callbacks=kill_at(8))
    assert files(adapted(checkpoint=state), tmp_path / "resumed") == unbroken


PROGRAM = """
import sys, time
import numpy as np, torch
torch.set_num_threads(1)
from transfer.models.steps.adapter_config import AdapterConfig
from transfer.data.episodes import Episodes
from transfer.recipes.programs.pretrain import pretrain
from transfer.training.train_config import TrainConfig
from transfer.training.callbacks import Callback
from transfer.models.trunk import TrunkConfig

class Slow(Callback):
    def step(self, done):
        time.sleep(0.01)

arrays = dict(np.load(sys.argv[1]))
pretrain(
    Episodes.from_arrays(**arrays, env="Hopper-v5", name="test/Hopper-v5"),
    config=TrainConfig(steps=200, batch_size=4, context=5, log_every=1, save_every=2),
    trunk_config=TrunkConfig(width=16, depth=2, heads=2, dropout=0.2),
    adapter_config=AdapterConfig(action={"kind": "ActionTokenizedSpreadEmbedding", "bins": 8}),
    seed=3,
    checkpoint=__import__("pathlib").Path(sys.argv[2]),
    callbacks=[Slow()],
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
    result = run(episodes, config, checkpoint=state, callbacks=[Hooks(lambda _, done: starts.append(done))])
    assert 0 < starts[0] < 200, f"killed {wait} s after the first checkpoint"
    assert files(result, tmp_path / "resumed") == files(run(episodes, config), tmp_path / "unbroken"), starts


def other_scale(episodes: Episodes) -> Episodes:
    """The same numbers with other reference scores."""
    scale = replace(episodes.env_spec.reference, maximum=episodes.env_spec.reference.maximum + 1)
    return replace(episodes, env_spec=replace(episodes.env_spec, reference=scale))


OTHERS: dict[str, Callable[[Episodes], Any]] = {
    r"config\.lr was 0\.001, is 0\.0001": lambda e: run(e, replace(CONFIG, lr=1e-4)),
    r"config\.steps was 12, is 24": lambda e: run(e, replace(CONFIG, steps=24)),
    r"trunk\.heads was 2, is 4": lambda e: run(e, trunk_config=replace(TRUNK, heads=4)),
    r"trunk\.dropout was 0\.2, is 0\.0": lambda e: run(e, trunk_config=replace(TRUNK, dropout=0.0)),
    r"adapter\.action\.options\.tokenizer was 'quantile', is 'uniform'": lambda e: run(
        e, adapter_config=config_of(bins=8, tokenizer="uniform")
    ),
    r"adapter\.action\.options\.bins was 8, is 9": lambda e: run(e, adapter_config=config_of(bins=9)),
    r"adapter\.state\.kind was 'mlp', is 'linear'": lambda e: run(e, adapter_config=config_of(state="linear", bins=8)),
    r"precision was 'torch\.float32', is 'torch\.bfloat16'": lambda e: run(e, precision="bfloat16"),
    r"compile was False, is True": lambda e: run(e, compile=True),
    r"environment\.scale\.maximum was": lambda e: run(other_scale(e)),
    r"data was": lambda e: run(replace(e, rewards=e.rewards + 1)),
    r"seed was 3, is 4": lambda e: run(e, seed=4),
}


@pytest.mark.parametrize("setting", OTHERS)
def test_another_way_of_training_does_not_go_on_with_it(
    setting: str, make_episodes: MakeEpisodes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    episodes = make_episodes()
    with pytest.raises(Killed):
        run(episodes, precision="float32", checkpoint=tmp_path / "state", callbacks=kill_at(4))
    monkeypatch.setitem(DEFAULTS, "checkpoint", tmp_path / "state")
    monkeypatch.setitem(DEFAULTS, "precision", "float32")
    with pytest.raises(TransferError, match=f"belongs to another training: .*{setting}.*remove"):
        OTHERS[setting](episodes)


@pytest.mark.parametrize("other", [{"ia3": True}, {"state": "linear"}, {"bins": 4}, {"env": "Walker2d-v5"}])
def test_another_model_does_not_go_on_with_it(
    other: dict[str, Any], make_model: MakeModel, make_episodes: MakeEpisodes, tmp_path: Path
) -> None:
    def train(model: TransferModel, callbacks: Sequence[Callback] = ()) -> None:
        sampler = WindowSampler(make_episodes(model.env_spec.gym_id), 5, 4)
        parts = [name for name in model.parts() if name != "trunk"]
        fit(model, sampler, CONFIG, parts, checkpoint=tmp_path / "state", callbacks=callbacks)

    with pytest.raises(Killed):
        train(make_model(), kill_at(4))
    with pytest.raises(TransferError, match="belongs to another training"):
        train(make_model(**other))


def test_other_windows_do_not_go_on_with_it(make_model: MakeModel, make_episodes: MakeEpisodes, tmp_path: Path) -> None:
    def train(context: int, batch_size: int, callbacks: Sequence[Callback] = ()) -> None:
        sampler, state = WindowSampler(make_episodes(), context, batch_size), tmp_path / "state"
        fit(make_model(), sampler, CONFIG, ["state"], checkpoint=state, callbacks=callbacks, any_context=True)

    with pytest.raises(Killed):
        train(5, 4, kill_at(4))
    with pytest.raises(TransferError, match=r"config\.batch_size was 4, is 6; config\.context was 5, is 3"):
        train(3, 6)


def test_a_horizon_of_another_scale_does_not_go_on_with_it(make_episodes: MakeEpisodes, tmp_path: Path) -> None:
    episodes, options = make_episodes(), {"method": "udrl", "checkpoint": tmp_path / "state"}
    with pytest.raises(Killed):
        run(episodes, callbacks=kill_at(4), **options)
    spec = replace(episodes.env_spec, max_episode_steps=500)
    with pytest.raises(TransferError, match=r"environment\.max_episode_steps was 1000, is 500"):
        run(replace(episodes, env_spec=spec), **options)


def test_a_selected_tensor_that_takes_no_part_does_not_stand_in_the_way(
    make_model: MakeModel, make_episodes: MakeEpisodes, tmp_path: Path
) -> None:
    """With a return embedding in the adapter, the trunk's own gets no gradient and no optimizer state."""

    def train(callbacks: Sequence[Callback] = (), **options: Any) -> TransferModel:
        model, sampler = make_model(conditioning=True), WindowSampler(make_episodes(), 5, 4)
        fit(model, sampler, CONFIG, ["trunk", "return"], callbacks=callbacks, **options)
        return model

    with pytest.raises(Killed):
        train(kill_at(4), checkpoint=tmp_path / "state")
    resumed, unbroken = train(checkpoint=tmp_path / "state"), train()
    assert all(torch.equal(a, b) for a, b in zip(resumed.parameters(), unbroken.parameters(), strict=True))


@pytest.mark.parametrize("name", ["state.json", "state.safetensors"])
@pytest.mark.parametrize("damage", ["missing", "truncated"])
def test_a_damaged_state_is_named(name: str, damage: str, make_episodes: MakeEpisodes, tmp_path: Path) -> None:
    with pytest.raises(Killed):
        run(make_episodes(), checkpoint=tmp_path / "state", callbacks=kill_at(4))
    path = tmp_path / "state" / name
    path.unlink() if damage == "missing" else path.write_bytes(path.read_bytes()[:-50])
    with pytest.raises(TransferError, match=name):
        run(make_episodes(), checkpoint=tmp_path / "state")


def rewrite(folder: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    """Edit state.json and make its checksum fit again."""
    head = json.loads((folder / "state.json").read_text())
    change(head)
    head["checksum"] = checksum(head)
    (folder / "state.json").write_text(json.dumps(head))


EDITS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "step negative": lambda head: head.update(step=-1),
    "step zero": lambda head: head.update(step=0),
    "step before its moments": lambda head: head.update(step=1),
    "step beyond the last": lambda head: head.update(step=13),
    "step a float": lambda head: head.update(step=3.0),
    "step a truth value": lambda head: head.update(step=True),
    "step text": lambda head: head.update(step="3"),
    "loss not finite": lambda head: head.update(loss=math.nan),
    "loss text": lambda head: head.update(loss="low"),
    "loss missing": lambda head: head.pop("loss"),
    "identity a list": lambda head: head.update(identity=[]),
    "identity of other kinds": lambda head: head["identity"].update(config=[1], seed={}),
    "identity without the weights": lambda head: head["identity"].pop("weights"),
    "more than there is": lambda head: head.update(more=1),
    "another format": lambda head: head.update(format=1),
    "another file's hash": lambda head: head.update(tensors="0" * 64),
}


@pytest.mark.parametrize("edit", EDITS)
def test_an_edited_state_is_refused(edit: str, make_episodes: MakeEpisodes, tmp_path: Path) -> None:
    with pytest.raises(Killed):
        run(make_episodes(), checkpoint=tmp_path / "state", callbacks=kill_at(4))
    rewrite(tmp_path / "state", EDITS[edit])
    with pytest.raises(TransferError, match=r"state.*remove \S+/state\.\* to start this training again"):
        run(make_episodes(), checkpoint=tmp_path / "state")


@pytest.mark.parametrize("change", [lambda t: t * math.nan, Tensor.half, lambda t: t[:1]], ids=["NaN", "half", "shape"])
def test_tensors_that_were_exchanged_are_refused(
    change: Callable[[Tensor], Tensor], make_episodes: MakeEpisodes, tmp_path: Path
) -> None:
    with pytest.raises(Killed):
        run(make_episodes(), checkpoint=tmp_path / "state", callbacks=kill_at(4))
    file = tmp_path / "state" / "state.safetensors"
    tensors = load_file(file)
    name = "weights.trunk.ln_out.weight"
    save_file({**tensors, name: change(tensors[name]).contiguous()}, file)
    with pytest.raises(TransferError, match="state.safetensors was changed after|state of another model"):
        run(make_episodes(), checkpoint=tmp_path / "state")
    rewrite(tmp_path / "state", lambda head: head.update(tensors=hashlib.sha256(file.read_bytes()).hexdigest()))
    with pytest.raises(TransferError, match="holds NaN|state of another model"):
        run(make_episodes(), checkpoint=tmp_path / "state")


def test_a_state_is_kept_where_it_was_typed(
    make_episodes: MakeEpisodes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    for text in ("~/one", str(tmp_path / "two" / "deep")):
        with pytest.raises(Killed):
            run(make_episodes(), checkpoint=text, callbacks=kill_at(4))
    assert (tmp_path / "one" / "state.json").is_file() and (tmp_path / "two" / "deep" / "state.json").is_file()


@pytest.mark.parametrize("folder", ["file", "file/below", "x" * 300, 5, "", "nul\0"])
def test_a_place_that_cannot_hold_a_state_is_refused_before_the_first_step(
    folder: Any, make_episodes: MakeEpisodes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("mine")
    with pytest.raises(TransferError, match="checkpoint="):
        run(make_episodes(), checkpoint=folder, callbacks=kill_at(1))
    assert [path.name for path in tmp_path.iterdir()] == ["file"] and (tmp_path / "file").read_text() == "mine"


def test_a_state_leaves_other_files_of_its_folder_alone(make_episodes: MakeEpisodes, tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("mine")
    with pytest.raises(Killed):
        run(make_episodes(), checkpoint=tmp_path, callbacks=kill_at(7))
    assert (tmp_path / "thesis.tex").read_text() == "mine" and (tmp_path / "state.json").is_file()


def test_a_kill_between_the_renames_of_a_save_loses_nothing(make_episodes: MakeEpisodes, tmp_path: Path) -> None:
    starts: list[int] = []
    with pytest.raises(Killed):
        run(make_episodes(), checkpoint=tmp_path / "state", callbacks=kill_at(4))
    head = json.loads((tmp_path / "state" / "state.json").read_text())
    (tmp_path / "state" / "state.safetensors").rename(tmp_path / "state" / f".state.{head['tensors'][:16]}.safetensors")
    run(make_episodes(), checkpoint=tmp_path / "state", callbacks=[Hooks(lambda _, done: starts.append(done))])
    assert starts == [3]
    assert sorted(path.name for path in (tmp_path / "state").iterdir()) == ["state.json", "state.safetensors"]


class Counter(Callback):
    """Counts its calls, and goes on counting when the training is resumed."""

    every = 2

    def __init__(self) -> None:
        self.count, self.loaded, self.steps = 0, -1, list[int]()

    def step(self, done: int) -> None:
        self.count += 1
        self.steps.append(done)

    def state(self) -> dict[str, Any]:
        return {"count": self.count}

    def load(self, state: dict[str, Any]) -> None:
        self.count = self.loaded = state["count"]


def test_callbacks_get_their_states_back_each_its_own(make_episodes: MakeEpisodes, tmp_path: Path) -> None:
    """The state is saved before the call of its step, which a resumed training repeats."""
    first = [Counter(), Counter(), *kill_at(7)]
    first[1].every = 3
    with pytest.raises(Killed):
        run(make_episodes(), checkpoint=tmp_path / "state", callbacks=first)
    assert (first[0].steps, first[1].steps) == ([2, 4, 6], [3, 6])
    again = [Counter(), Counter(), Hooks()]
    again[1].every = 3
    run(make_episodes(), checkpoint=tmp_path / "state", callbacks=again)
    assert [one.loaded for one in again[:2]] == [2, 1]
    assert (again[0].steps, again[1].steps) == ([6, 8, 10, 12], [6, 9, 12])
    assert [one.count for one in again[:2]] == [6, 4]
