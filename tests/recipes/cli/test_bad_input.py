"""What goes wrong is one message and exit code 2, says what to do next, and leaves nothing behind."""

import itertools
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import Result
from gymnasium.error import DependencyNotInstalled

from transfer.models.adapter import Adapter
from transfer.models.mlp import MLPPolicy
from transfer.recipes.settings.presets import preset_text

Transfer = Callable[..., Result]
Refused = Callable[..., None]
MAIN = "hopper-to-walker2d"

pytestmark = pytest.mark.usefixtures("workplace")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--modes", "embedings+ia3"], ["unknown mode", "'embedings+ia3'", "Did you mean 'embeddings+ia3'"]),
        (["--modes", "random-trunk:full"], ["unknown mode", "random-trunk:embeddings"]),
        (["--set", "target.fallback=walker/medium"], ["unknown dataset", "Did you mean 'walker2d/medium'"]),
        (["--set", "source.data=hoper/medium"], ["unknown dataset", "Did you mean 'hopper/medium'"]),
        (["--set", "target.data=bundled/walker2d/medum-v0"], ["Did you mean 'walker2d/medium'"]),
        (["--set", "adapter.state.kind=mpl"], ["unknown state kind", "Did you mean 'mlp'"]),
        (
            ["--set", "adapter.action.kind=SpreadEmbedding"],
            ["unknown action kind", "Did you mean 'ActionSpreadEmbedding'"],
        ),
        (["--set", "adapter.action.tokenizer=uniforn"], ["unknown tokenizer kind", "Did you mean 'uniform'"]),
        (["--set", "adapt.stpes=3"], ["unknown key", "Did you mean 'adapt.steps'"]),
        (["--set", "adpat.steps=3"], ["unknown key", "adapt.steps"]),
        (["--set", "adapt.steps=many"], ["adapt.steps is 'many'", "a whole number"]),
        (["--set", "adapt.lr=fast"], ["adapt.lr is 'fast'", "a number"]),
        (["--set", "eval.decode=paralel"], ["Did you mean 'parallel'"]),
        (["--set", "adapter.action=ActionEmbedding"], ["adapter.action is now adapter.action.kind"]),
        (["--set", "adapter.action.bin=8"], ["unknown option", "Did you mean 'bins'"]),
        (["--set", "eval.targets=p95"], ["eval.targets is now eval.ask"]),
        (["--set", "eval.ask=[{return='p950'}]"], ["'p950'", "p95"]),
        (["--set", "eval.ask=[{horizn=3}]"], ["eval.ask for", "unknown thing to ask for 'horizn'", "return"]),
        (["--set", "target.filter=best"], ["filter kind 'best'"]),
        (["--set", "adapt.inherit_from=hoper"], ["unknown source in adapt.inherit_from 'hoper'", "hopper"]),
        (["--set", "run.held_out=3"], ["run.held_out is 3", "true or false"]),
        (["--set", "eval.probe_every=-1"], ["eval.probe_every=-1", "at least 0"]),
        (["--set", "eval.probe_episodes=0"], ["eval.probe_episodes=0", "at least 1"]),
        (["--set", "adapt.context=0"], ["[adapt] context=0", "at least 1"]),
        (["--set", "pretrain.context=0"], ["[pretrain] context=0", "at least 1"]),
        (["--set", "adapt.save_every=3"], ["save_every=3", "log_every=2"]),
        (["--device", "gpu"], ["unknown device 'gpu'", "Did you mean 'cuda'"]),
        (["--device", "cuda:99"], ["'cuda:99' is not available", "--device auto"]),
        (["--name", "../elsewhere"], ["'../elsewhere' is not the name of a folder", "--runs-dir"]),
        (["--name", ""], ["'' is not the name of a folder"]),
        (["--modes", "ia3"], ["mode 'ia3' would run the untrained state.", "Use mode 'embeddings'"]),
        (["--modes", "random-trunk:state"], ["would run the untrained action.index", "'walker2d'"]),
        (
            ["--set", "adapter.action.kind=ActionEmbedding", "--set", "adapter.action.readout=categorical"],
            ["unknown option"],
        ),
        (["--set", "pretrain.from=nowhere"], ["pretrain.from", "nowhere", "a run folder or its trunk/SEED"]),
        (["--set", "source.fallback=", "--set", "source.data="], ["pretrained trunk is needed", "pretrain.from"]),
    ],
)
def test_bad_settings_are_refused_before_anything_is_made(
    refused: Refused,
    options: list[str],
    words: list[str],
    tiny: list[str],
    transfer: Transfer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # No data at hand and no network: making it, or asking for it, would be noticed.
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "datasets"))
    monkeypatch.setattr("transfer.recipes.runs.making.make_dataset", lambda *_, **__: pytest.fail("data was made"))
    for module in ("transfer.envs.minari.located", "transfer.recipes.runs.datasets"):
        monkeypatch.setattr(f"{module}.fetch", lambda ids: pytest.fail("data was asked for"))
    refused(transfer("run", MAIN, *tiny, "--runs-dir", tmp_path / "runs", *options), *words)
    assert not list(tmp_path.iterdir())


def test_a_folder_whose_name_is_no_text_is_refused_before_anything_is_made(
    refused: Refused, tiny: list[str], transfer: Transfer, tmp_path: Path
) -> None:
    result = transfer("run", MAIN, *tiny, "--runs-dir", tmp_path, "--name", "x\udcff")
    refused(result, "cannot hold a run: its name is no UTF-8 text", "LC_ALL=C.UTF-8")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("steps = 3000", "steps = true"), ["adapt.steps is True", "a whole number"]),
        (("[eval]", "[eval]\nepisodes = 100.5"), ["eval.episodes is 100.5", "a whole number"]),
        (("steps = 3000", "inherit = 3"), ["adapt.inherit is 3", "text"]),
        (("[eval]", "[run]\nseeds = 0\n[eval]"), ["run.seeds is 0", "a list"]),
        (("[eval]", "[trunk]\nhead = 4\n[eval]"), ["Did you mean 'trunk.heads'"]),
        (("[eval]", "[evall]"), ["Did you mean 'eval'"]),
        (("[eval]", "[eval"), ["not valid TOML"]),
        (("# Pretrain", "\udcff"), ["not UTF-8 text"]),
        (('"base"', '"bse"'), ["unknown preset to extend 'bse'", "Did you mean 'base'"]),
        (('"base"', '"my.toml"'), ["extends itself"]),
        (('"base"', '"../no.toml"'), ["no file", "no.toml"]),
    ],
)
def test_a_bad_file_is_refused(
    refused: Refused, change: tuple[str, str], words: list[str], transfer: Transfer, tmp_path: Path
) -> None:
    file = tmp_path / "my.toml"
    text = preset_text(MAIN)
    assert change[0] in text
    file.write_bytes(text.replace(*change, 1).encode(errors="surrogateescape"))
    refused(transfer("run", file, "--runs-dir", tmp_path / "runs"), *words)
    assert list(tmp_path.iterdir()) == [file]


def test_a_folder_is_not_a_config(refused: Refused, transfer: Transfer, tmp_path: Path) -> None:
    refused(transfer("run", tmp_path, "--runs-dir", tmp_path / "runs"), "without a config.toml", "transfer ls")


def test_a_place_that_is_taken_stays_as_it_is(
    refused: Refused, tiny: list[str], run: Path, transfer: Transfer, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("mine")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").write_text("mine")
    for name in ("file", "full"):
        result = transfer("run", MAIN, *tiny, "--runs-dir", tmp_path, "--name", name)
        refused(result, "holds something else", "--name")
        refused(transfer("run", MAIN, *tiny, "--runs-dir", tmp_path, "--name", name, "--resume"), "--name")
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["file", "full", "thesis.txt"]
    result = transfer("run", MAIN, *tiny, "--modes", "embeddings", "--name", "good")
    refused(result, "holds a run already", "--resume", "--name")


def test_resuming_with_other_settings_names_them(
    refused: Refused, tiny: list[str], run: Path, transfer: Transfer
) -> None:
    before = (run / "config.toml").read_bytes()
    options = ["--name", "good", "--resume", "--set", "adapt.lr=0.5", "--set", "target.data=walker2d/expert"]
    result = transfer("run", MAIN, *tiny, "--modes", "embeddings", *options)
    refused(result, "adapt.lr is 0.001 there and 0.5 here", "target.data is ['mujoco/walker2d/")
    assert "pretrain.lr" not in result.stderr and f"transfer run {Path('runs/good')} --resume" in result.stderr
    assert (run / "config.toml").read_bytes() == before


def test_parts_that_fit_no_other_body_are_refused_with_a_trunk_from_elsewhere_too(
    refused: Refused, tiny: list[str], run: Path, transfer: Transfer, tmp_path: Path
) -> None:
    def go(*options: str) -> Result:
        return transfer("run", MAIN, *tiny, "--runs-dir", tmp_path, "--set", f"pretrain.from={run}", *options)

    refused(go("--modes", "ia3"), "would run the untrained state.", "'walker2d'")
    refused(go("--modes", "embeddings", "--seeds", "0,7"), "no finished trunk of seed 7", "it has 0")
    refused(go("--modes", "embeddings", "--set", "trunk.width=32"), "other sizes", "--set trunk.width=16")
    refused(go("--modes", "embeddings", "--set", "adapt.inherit=actions"), "Did you mean 'action'")
    assert not list(tmp_path.iterdir())


def test_an_adapter_plays_on_another_trunk_only_when_told_to(
    refused: Refused, tiny: list[str], run: Path, transfer: Transfer, tmp_path: Path
) -> None:
    result = transfer("run", MAIN, *tiny, "--modes", "embeddings", "--seeds", 1, "--runs-dir", tmp_path)
    assert result.exit_code == 0, result.output
    other = tmp_path / MAIN / "trunk" / "1" / "trunk"
    both = [json.loads((folder / "trunk.json").read_text())["fingerprint"] for folder in (other, run / "trunk/0/trunk")]
    options = ["eval", run / "embeddings/0/adapter", "--episodes", 1, "--trunk", other]
    refused(transfer(*options), *both, "any_trunk=True")
    assert transfer(*options, "--any-trunk").exit_code == 0


def renamed(file: Path, name: str, folder: Path) -> Path:
    """A folder with a checkpoint under the names of another kind."""
    folder.mkdir()
    for suffix in (".json", ".safetensors"):
        shutil.copy(file.with_suffix(suffix), folder / f"{name}{suffix}")
    return folder


def test_a_checkpoint_of_another_kind_is_named(
    refused: Refused, tiny: list[str], run: Path, transfer: Transfer, workplace: Path, tmp_path: Path
) -> None:
    trunk, adapter = run / "trunk/0/trunk", run / "embeddings/0/adapter"
    model, mlp = Adapter.load(adapter), tmp_path / "mlp"
    MLPPolicy(model.env_spec, model.statistics, 4).save(mlp)
    strange = {
        (name, other): renamed(file, name, tmp_path / f"{name} of {other}")
        for other, file in {"trunk": trunk / "trunk", "adapter": adapter / "adapter", "mlp": mlp / "mlp"}.items()
        for name in ("trunk", "adapter", "mlp")
    }
    before = sorted((path, path.stat().st_mtime_ns) for path in (*workplace.rglob("*"), *tmp_path.rglob("*")))
    play = ["--episodes", 1]
    refused(transfer("eval", trunk, *play), "holds a trunk, and no adapter.json", "--trunk")
    for (name, other), folder in strange.items():
        words = (f"{name}.json is the JSON of", f"{other}.json:", "is needed here", "transfer ls")
        if name == "trunk" != other:
            refused(transfer("eval", adapter, *play, "--trunk", folder), *words)
        elif name != other:
            refused(transfer("eval", folder, *play), *words)
    for folder, holds in ((adapter, "an adapter"), (mlp, "an MLP")):
        refused(transfer("eval", adapter, *play, "--trunk", folder), f"holds {holds}, and no trunk.json", "a trunk is")
        go = ["run", MAIN, *tiny, "--name", "other", "--set", f"pretrain.from={folder}"]
        refused(transfer(*go), f"that folder holds {holds}; it takes a run folder or its trunk/SEED")
    assert before == sorted((path, path.stat().st_mtime_ns) for path in (*workplace.rglob("*"), *tmp_path.rglob("*")))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--targets", "p33"], ["unknown target 'p33'", "p95"]),
        (["--targets", "most"], ["'most'", "p95"]),
        (["--targets", ""], ["eval.ask has 0 entries"]),
        (["--ask", "return"], ["--ask wants NAME=VALUE", "'return'"]),
        (["--ask", "return=1,return=2"], ["names return twice"]),
        (["--ask", "horizon=500"], ["unknown thing to ask for 'horizon'", "return"]),
        (["--ask", "Return=1"], ["'Return' is no name"]),
        (["--episodes", "0"], ["--episodes"]),
        (["--decode", "paralel"], ["parallel"]),
        (["--device", "tpu"], ["unknown device 'tpu'"]),
        (["--video", "out.mp4"], ["out.gif"]),
        (["--video", "none/out.gif"], ["no folder none", "make it first"]),
        (["--trunk", "nowhere"], ["nowhere"]),
    ],
)
def test_bad_options_of_eval_are_refused(
    refused: Refused, options: list[str], words: list[str], run: Path, transfer: Transfer
) -> None:
    refused(transfer("eval", run / "embeddings" / "0", *options), *words)


def test_places_that_hold_nothing_to_play_or_show(
    refused: Refused, workplace: Path, transfer: Transfer, tmp_path: Path
) -> None:
    refused(transfer("eval", tmp_path), "no trained adapter", "transfer ls")
    refused(transfer("eval", tmp_path / "none"), "transfer ls")
    refused(transfer("show", tmp_path), "no trunk.json, adapter.json, mlp.json or config.toml")
    refused(transfer("report", tmp_path), "no results yet")


@pytest.mark.parametrize(
    ("drawn", "words", "hint"),
    [
        (RuntimeError("no display"), "no video: RuntimeError: no display.", True),
        (DependencyNotInstalled("pygame is not installed"), "DependencyNotInstalled: pygame is not installed.", False),
        (ModuleNotFoundError("No module named 'cv2'"), "No module named 'cv2'.", False),
        (None, "draws None, no picture", False),
        (np.zeros((4, 4)), "no picture", False),
        (np.zeros((0, 4, 3), np.uint8), "no picture", False),
    ],
)
def test_a_video_that_cannot_be_made_has_one_cause(
    drawn: object,
    words: str,
    hint: bool,
    refused: Refused,
    run: Path,
    transfer: Transfer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def render(env: object) -> object:
        if isinstance(drawn, Exception):
            raise drawn
        return drawn

    monkeypatch.setattr("gymnasium.envs.mujoco.mujoco_env.MujocoEnv.render", render)
    result = transfer("eval", run / "embeddings" / "0", "--episodes", 1, "--video", tmp_path / "out.gif")
    refused(result, "no video: ", words)
    assert ("MUJOCO_GL=egl" in result.stderr) == hint
    assert not list(tmp_path.iterdir())


def test_a_video_of_pictures_of_two_sizes_is_refused(
    run: Path, transfer: Transfer, refused: Refused, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = itertools.count(8)
    monkeypatch.setattr(
        "gymnasium.envs.mujoco.mujoco_env.MujocoEnv.render", lambda _: np.zeros((next(sizes), 8, 3), np.uint8)
    )
    result = transfer("eval", run / "embeddings" / "0", "--episodes", 1, "--video", tmp_path / "out.gif")
    refused(result, "no video: 'walker2d' draws (8, 8) pixels at first, (9, 8) later")
    assert not list(tmp_path.iterdir())


def test_a_video_ends_where_episodes_do(
    run: Path, transfer: Transfer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An environment without a time limit of its own is not filmed for ever."""
    monkeypatch.setattr(
        "gymnasium.envs.mujoco.mujoco_env.MujocoEnv.render", lambda _: np.zeros((8, 8, 3), np.uint8), raising=True
    )
    monkeypatch.setattr("gymnasium.wrappers.TimeLimit.step", lambda self, action: self.env.step(action))
    monkeypatch.setattr("gymnasium.envs.mujoco.walker2d_v5.Walker2dEnv.is_healthy", True)
    result = transfer("eval", run / "embeddings" / "0", "--episodes", 1, "--video", tmp_path / "out.gif")
    assert result.exit_code == 0, result.output
    assert (tmp_path / "out.gif").read_bytes().startswith(b"GIF89a")


def test_a_video_is_of_the_environment_that_was_named(
    run: Path, transfer: Transfer, refused: Refused, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[str] = []
    monkeypatch.setattr(
        "gymnasium.envs.mujoco.mujoco_env.MujocoEnv.render",
        lambda self: drawn.append(self.spec.id) or np.zeros((8, 8, 3), np.uint8),
    )
    options = ["--episodes", 1, "--video", tmp_path / "out.gif", "--env"]
    result = transfer("eval", run / "embeddings" / "0", *options, "Walker2d-v4")
    assert result.exit_code == 0, result.output
    assert set(drawn) == {"Walker2d-v4"}
    refused(transfer("eval", run / "embeddings" / "0", *options, "HalfCheetah-v5"), "another body")
    assert set(drawn) == {"Walker2d-v4"}
