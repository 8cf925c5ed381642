"""Strangers' files run no code from the command line; a user's own module does when it is named."""

import json
import os
import subprocess
import sys
import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from click.testing import CliRunner, Result

from tests.toys import toy
from transfer import registry
from transfer.adapters.build import build_adapter
from transfer.data.episodes import Episodes
from transfer.models.trunk import Trunk, TrunkConfig
from transfer.recipes.ceiling.ceiling import ceiling
from transfer.recipes.cli.commands import cli
from transfer.recipes.settings.config import config_table, load_config
from transfer.recipes.settings.own_modules import import_modules_of, named_modules, resuming

EVIL = """
from pathlib import Path
Path(__file__).with_name("imported").touch()
def Env(**kwargs):
    Path(__file__).with_name("called").touch()
    from tests.toys import Toy
    return Toy(**kwargs)
"""
MINE = """
import gymnasium
from tests.toys import Toy
if "TestMine-v0" not in gymnasium.registry:
    gymnasium.register("TestMine-v0", "tests.toys:Toy", max_episode_steps=5, kwargs={"state_size": 3, "action_size": 2})
"""
TRUNK = TrunkConfig(width=16, depth=1, heads=2)
DATA = "mine/toy-v0"
HOSTILE = {
    "entry point": {"id": "TestEvil-v0", "entry_point": "evilmod:Env"},
    "another entry point": {"entry_point": "evilmod:Env"},
    "id": {"id": "evilmod:TestToy-v0"},
    "wrapper": {"additional_wrappers": [{"name": "Env", "entry_point": "evilmod:Env", "kwargs": {}}]},
}


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A working folder with a stranger's module and one's own, a dataset and an adapter of a toy environment."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "datasets"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "evilmod.py").write_text(EVIL)
    (tmp_path / "my_env.py").write_text(MINE)
    path = list(sys.path)
    yield tmp_path
    sys.path[:] = path
    for name in ("evilmod", "my_env"):
        sys.modules.pop(name, None)
    gymnasium.registry.pop("TestMine-v0", None)


def episodes() -> Episodes:
    rng = np.random.default_rng(0)
    arrays = rng.normal(size=(40, 3)), rng.uniform(-1, 1, (40, 2)), rng.normal(size=40)
    return Episodes.from_arrays(*arrays, [10] * 4, toy(3, 2))


def edited(gym_spec: str, changes: dict[str, Any]) -> str:
    return json.dumps({**json.loads(gym_spec), **changes})


def dataset(place: Path, key: str = "env_spec", **changes: Any) -> None:
    """A local dataset whose metadata name another environment."""
    import minari
    from minari.data_collector import EpisodeBuffer

    env, rng, buffers = gymnasium.make(toy(3, 2)), np.random.default_rng(0), []
    for seed in range(4):
        seen, rewards, actions = [env.reset(seed=seed)[0]], [], rng.uniform(-1, 1, (10, 2)).astype(np.float32)
        for action in actions:
            observation, reward, *_ = env.step(action)
            seen.append(observation)
            rewards.append(reward)
        flags = {"terminations": np.zeros(10, bool), "truncations": np.arange(10) == 9}
        buffers.append(EpisodeBuffer(seed=seed, observations=seen, actions=actions, rewards=rewards, **flags))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        minari.create_dataset_from_buffers(DATA, buffers, env=toy(3, 2))
    file = place / "datasets" / DATA / "data" / "metadata.json"
    content = json.loads(file.read_text())
    file.write_text(json.dumps({**content, key: edited(content["env_spec"], changes)}))


def adapter(place: Path, **changes: Any) -> Path:
    """The folder of an adapter whose file names another environment."""
    data, trunk = episodes(), Trunk(TRUNK)
    spec = replace(data.env_spec, gym_spec=edited(data.env_spec.gym_spec, changes))
    made = build_adapter(Episodes.over({k: getattr(data, k) for k in ARRAYS}, spec, ("mine",)), trunk.config)
    made.made_on(trunk)
    trunk.save(place / "run" / "trunk")
    made.save(place / "run" / "adapter")
    return place / "run" / "adapter"


ARRAYS = ("states", "actions", "rewards", "offsets")


def toml(place: Path, data: str = DATA, **tables: dict[str, Any]) -> Path:
    """The settings of a run that trains in a moment."""
    import tomli_w

    small = {"steps": 2, "batch_size": 2, "context": 4}
    content = {
        "target": {"data": [data], **tables.get("target", {})},
        "trunk": {"width": 16, "depth": 1, "heads": 2},
        "adapter": {"state": {"kind": "linear"}, "action": {"bins": 8}},
        "adapt": {**small, "modes": ["scratch"]},
        "pretrain": small,
        "eval": {"episodes": 1, "envs": 1, "calibrate": 0},
        "run": tables.get("run", {}),
    }
    (place / "mine.toml").write_text(tomli_w.dumps(content))
    return place / "mine.toml"


def call(*args: object) -> Result:
    return CliRunner().invoke(cli, [str(arg) for arg in args])


def traces(place: Path) -> set[str]:
    return {path.name for path in place.iterdir()} & {"imported", "called"}


def commands(place: Path, changes: dict[str, Any]) -> dict[str, list[Any]]:
    dataset(place, **changes)
    folder = adapter(place, **changes)
    return {
        "check": ["data", "check", DATA],
        "ceiling": ["data", "ceiling", DATA, "--episodes", 1],
        "eval": ["eval", folder, "--trunk", place / "run" / "trunk", "--episodes", 1, "--targets", "0"],
        "video": ["eval", folder, "--trunk", place / "run" / "trunk", "--video", "a.gif", "--targets", "0"],
        "run": ["run", toml(place), "--name", "a"],
    }


@pytest.mark.parametrize("changes", HOSTILE.values(), ids=HOSTILE)
def test_no_command_imports_or_calls_what_a_file_names(
    changes: dict[str, Any], place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(place)  # even where Python would find it
    for name, args in commands(place, changes).items():
        result = call(*args)
        assert result.exit_code == (1 if name == "check" else 2), (name, result.output)
        assert "trust" in result.output and "Traceback" not in result.output, (name, result.output)
        assert traces(place) == set(), name
        assert "evilmod" not in sys.modules
    assert not (place / "runs").exists()  # said before the first step


def test_the_environment_of_an_evaluation_is_no_other_road(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(place)
    dataset(place, "eval_env_spec", entry_point="evilmod:Env")
    assert call("data", "check", DATA).exit_code == 1 and call("run", toml(place)).exit_code == 2
    assert traces(place) == set()


def test_with_trust_every_call_is_printed(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(place)
    for name, args in commands(place, HOSTILE["another entry point"]).items():
        if name == "video":
            continue  # the toy cannot be rendered
        result = call(*args, "--trust")
        assert result.exit_code in ((0, 1) if name == "check" else (0,)), (name, result.output)
        assert "calling evilmod:Env(state_size=3, action_size=2, low=-1.0, high=1.0)" in result.stderr
        assert traces(place) == {"imported", "called"}
    (place / "called").unlink()
    assert call("data", "check", DATA).exit_code == 1 and traces(place) == {"imported"}  # stored nowhere
    assert "trust" not in "".join(file.read_text() for file in (place / "runs").rglob("*.toml"))


def in_process(place: Path, *args: object) -> subprocess.CompletedProcess[str]:
    root = str(Path(__file__).resolve().parents[3])
    return subprocess.run(
        [sys.executable, "-m", "transfer.recipes", *map(str, args)],
        cwd=place, capture_output=True, text=True, timeout=120, env={**os.environ, "PYTHONPATH": root},
    )  # fmt: skip


def test_the_working_folder_is_not_searched_for_a_files_sake(place: Path) -> None:
    dataset(place, entry_point="evilmod:Env")
    (place / "h5py.py").write_text(EVIL)  # what commands import is not found there either
    result = in_process(place, "data", "check", DATA, "--trust")
    assert result.returncode == 1 and traces(place) == set()
    assert "No module named 'evilmod'" in result.stdout and "transfer --import evilmod" in result.stdout
    result = in_process(place, "--import", "evilmod", "data", "check", DATA, "--trust")
    assert "calling evilmod:Env(" in result.stderr and traces(place) == {"imported", "called"}


def test_a_module_of_ones_own_is_imported_where_it_is_named(place: Path) -> None:
    folder = adapter(place, id="TestMine-v0", entry_point="tests.toys:Toy")
    play = ["eval", folder, "--trunk", place / "run" / "trunk", "--episodes", 1, "--targets", "0"]
    result = call(*play)
    assert result.exit_code == 2 and "no environment 'TestMine-v0' is registered here" in result.stderr
    for args in (["--import", "my_env", *play], [*play, "--import", "my_env"], [*play, "--env", "my_env:TestMine-v0"]):
        gymnasium.registry.pop("TestMine-v0", None)
        sys.modules.pop("my_env", None)
        result = call(*args)
        assert result.exit_code == 0, result.output


def test_an_environment_can_be_named_for_data_without_one(place: Path) -> None:
    dataset(place)
    file = place / "datasets" / DATA / "data" / "metadata.json"
    content = json.loads(file.read_text())
    content.pop("env_spec")
    file.write_text(json.dumps(content))
    result = call("run", toml(place))
    assert result.exit_code == 2 and "names no environment" in result.stderr and "[target] env" in result.stderr
    assert call("data", "check", DATA).exit_code == 1
    assert call("data", "check", DATA, "--env", "my_env:TestMine-v0").exit_code == 0
    assert call("data", "ceiling", DATA, "--env", "TestMine-v0", "--episodes", 1).exit_code == 0
    result = call("run", toml(place, target={"env": "my_env:TestMine-v0"}), "--name", "b")
    assert result.exit_code == 0, result.output


@pytest.mark.parametrize(
    ("module", "message"),
    [
        ("my_envs", "unknown module 'my_envs'. Did you mean 'my_env'"),
        ("my_env.py", "unknown module 'my_env.py'"),
        ("./my_env", "'./my_env' is no name of a module"),
        ("my-env", "'my-env' is no name of a module"),
        ("needs", "module 'needs' needs another one: No module named 'not_here'"),
        ("broken", "module 'broken' cannot be imported: ZeroDivisionError"),
        ("typo", "module 'typo' cannot be imported: SyntaxError"),
    ],
)
def test_a_module_that_cannot_be_imported_is_named(module: str, message: str, place: Path) -> None:
    (place / "needs.py").write_text("import not_here")
    (place / "broken.py").write_text("1 / 0")
    (place / "typo.py").write_text("def")
    for args in (["--import", module, "ls"], ["data", "check", DATA, "--import", module]):
        result = call(*args)
        assert result.exit_code == 2 and message in result.stderr, result.output
        assert "gymnasium[mujoco]" not in result.stderr and "Traceback" not in result.stderr
    result = call("run", toml(place, run={"imports": [module]}))
    assert result.exit_code == 2 and message in result.stderr and not (place / "runs").exists()


def test_a_run_imports_what_its_file_names_and_what_its_folder_names_only_when_told(place: Path) -> None:
    dataset(place, id="TestMine-v0", entry_point="tests.toys:Toy")
    file = toml(place, run={"imports": ["my_env"]})
    result = call("run", file, "--name", "a")
    assert result.exit_code == 0, result.output
    assert f"importing my_env, which {file} names" in result.stderr
    sys.modules.pop("my_env")
    result = call("run", "runs/a", "--resume")
    assert result.exit_code == 2 and "transfer run runs/a --resume --import my_env" in result.stderr
    assert "my_env" not in sys.modules
    assert call("run", "runs/a", "--resume", "--import", "my_env").exit_code == 0
    assert call("--import", "my_env", "run", "runs/a", "--resume").exit_code == 0


KINDS = """
from transfer import registry
def mine(episodes, *, share: float = 1.0):
    return episodes
registry.register("filter", "of-my-module", mine)
"""


def test_a_module_is_imported_before_the_kinds_that_it_registers_are_looked_up(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(registry._table(), "filter", dict(registry._table()["filter"]))
    (place / "my_kinds.py").write_text(KINDS)
    dataset(place)
    target = {"filter": {"kind": "of-my-module", "share": 0.5}}
    unnamed = toml(place, target=target)
    result = call("show", unnamed)
    assert result.exit_code == 2 and "unknown filter kind 'of-my-module'" in result.stderr
    assert call("show", unnamed, "--import", "my_kinds").exit_code == 0

    def forget() -> None:
        sys.modules.pop("my_kinds", None)
        registry._table()["filter"].pop("of-my-module", None)

    file = toml(place, target=target, run={"imports": ["my_kinds"]})
    forget()
    result = call("run", file, "--name", "a", "--jobs", 1)
    assert result.exit_code == 0 and f"importing my_kinds, which {file} names" in result.stderr, result.output
    forget()
    result = call("show", file)  # which imports none
    assert result.exit_code == 2 and "my_kinds" not in sys.modules
    assert f"transfer show {file} --import my_kinds" in result.stderr, result.output
    for args, command in (
        (("run", "runs/a", "--resume"), "transfer run runs/a --resume --import my_kinds"),
        (("show", "runs/a/config.toml"), "transfer show runs/a/config.toml --import my_kinds"),
    ):
        result = call(*args)
        assert result.exit_code == 2 and command in result.stderr and "my_kinds" not in sys.modules, result.output
    assert call("show", "runs/a/config.toml", "--import", "my_kinds").exit_code == 0
    for args in (("report", "runs/a"), ("eval", "runs/a", "--episodes", 1), ("show", "runs/a"), ("ls",)):
        forget()
        result = call(*args)  # they need no kind of a filter
        assert result.exit_code == 0, result.output
    forget()


def test_a_preset_names_nothing_to_import() -> None:
    assert named_modules(config_table(load_config("hopper-to-walker2d"))) == []
    import_modules_of("hopper-to-walker2d", [], False, print)
    assert resuming([], "runs/a") == "transfer run runs/a --resume"


def test_a_ceiling_is_trusted_as_a_library_call_too(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(place)
    dataset(place, entry_point="evilmod:Env")
    assert ceiling(DATA, (8,), ("uniform",), 1, trust=True).episodes == 1 and "called" in traces(place)
