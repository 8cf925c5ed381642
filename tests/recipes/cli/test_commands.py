import errno
import json
import subprocess
import sys
import time
import types
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from transfer.errors import TransferError
from transfer.recipes.cli.commands import cli
from transfer.recipes.settings.presets import own_copy

ROOT = Path(__file__).resolve().parents[3]
COMMANDS = ["ls", "run", "cp", "show", "eval", "report", "data"]


def call(*args: object) -> Result:
    return CliRunner().invoke(cli, [str(arg) for arg in args])


@pytest.fixture
def recipe(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> types.SimpleNamespace:
    """Stands in for the run recipe: records its arguments, and raises or writes a report."""
    seen = types.SimpleNamespace(error=None)

    def run(config, folder, resume, say, where):
        seen.config, seen.folder, seen.resume = config, folder, resume
        say("training")
        if seen.error is not None:
            raise seen.error
        (tmp_path / "report.md").write_text("# done\n")
        return tmp_path / "report.md"

    monkeypatch.setattr("transfer.recipes.matrix.start.run", run)
    return seen


def test_help_imports_nothing_heavy_and_is_quick() -> None:
    code = (
        "import sys\nfrom transfer.recipes.cli.commands import cli\n"
        "try:\n    cli(['--help'])\nexcept SystemExit:\n    pass\n"
        "heavy = 'torch safetensors numpy sklearn minari gymnasium mujoco matplotlib tensorboard tqdm'.split()\n"
        "print('HEAVY', sorted(set(heavy) & set(sys.modules)))"
    )
    began = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    seconds = time.perf_counter() - began
    assert "HEAVY []" in done.stdout
    assert all(f"  {name} " in done.stdout for name in COMMANDS)
    assert seconds < 2  # about 0.1 s on an idle machine; what decides is the list above


@pytest.mark.parametrize("flag", ["-h", "--help"])
@pytest.mark.parametrize("command", [[], *([name] for name in COMMANDS), ["data", "ls"], ["data", "make"]])
def test_every_command_explains_itself(command: list[str], flag: str) -> None:
    result = call(*command, flag)
    assert result.exit_code == 0 and "Usage:" in result.stdout


def test_defaults_are_shown() -> None:
    text = " ".join(call("eval", "-h").stdout.split())
    for shown in ("[default: 100", "[default: as the method does]", "[default: autoregressive]", "[default: auto]"):
        assert shown in text


@pytest.mark.parametrize("group", [[], ["data"]])
def test_lists_of_commands_hold_whole_sentences(group: list[str]) -> None:
    lines = call(*group, "-h").stdout.partition("Commands:\n")[2].splitlines()
    assert len(lines) > 4
    assert [line for line in lines if not line.endswith(".") or line.endswith("...")] == []


def commands(group: click.Group) -> list[click.Command]:
    return [
        one for each in group.commands.values() for one in (commands(each) if hasattr(each, "commands") else [each])
    ]


@pytest.mark.parametrize("command", commands(cli), ids=lambda command: str(command.name))
def test_an_option_shows_one_default(command: click.Command) -> None:
    with click.Context(cli, show_default=True) as ctx:
        shown = [record for one in command.params if (record := one.get_help_record(ctx)) is not None]
    assert [text for text in shown if text[1].count("[default: ") > 1] == []


def test_version() -> None:
    assert call("--version").stdout.startswith("transfer ")


def test_run_passes_the_resolved_config(recipe: types.SimpleNamespace, tmp_path: Path) -> None:
    options = ["--modes", "full,mlp", "--seeds", "0,1", "--device", "cpu", "--threads", "1", "--runs-dir", tmp_path]
    result = call("run", "hopper-to-walker2d", "--set", "adapt.steps=7", "--set", "adapt.modes=scratch", *options)
    assert result.exit_code == 0, result.output
    assert recipe.config.adapt.steps == 7
    assert recipe.config.adapt.modes == ("full", "mlp")
    assert (recipe.config.run.seeds, recipe.config.run.device, recipe.config.run.threads) == ((0, 1), "cpu", 1)
    assert (recipe.folder, recipe.resume) == (tmp_path / "hopper-to-walker2d", False)
    assert result.stdout == "# done\n\n" and "training" in result.stderr


def test_the_name_of_a_run(recipe: types.SimpleNamespace, tmp_path: Path) -> None:
    assert call("run", "hopper-to-walker2d", "--quick").exit_code == 0
    assert recipe.folder == Path("runs/hopper-to-walker2d-quick")
    assert recipe.config.adapt.steps == 1000
    assert call("run", "hopper-to-walker2d", "--quick", "--name", "mine", "--resume").exit_code == 0
    assert (recipe.folder, recipe.resume) == (Path("runs/mine"), True)
    assert call("cp", "hopper-to-walker2d", tmp_path / "my.toml").exit_code == 0
    assert call("run", tmp_path / "my.toml").exit_code == 0
    assert recipe.folder == Path("runs/my")


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["hoper-to-walker2d"], ["Did you mean 'hopper-to-walker2d'", "transfer ls"]),
        (["none.toml"], ["no file none.toml", "transfer cp"]),
        (["hopper-to-walker2d", "--set", "adapt.stpes=1"], ["Did you mean 'adapt.steps'"]),
        (["hopper-to-walker2d", "--threads", "x"], ["run.threads", "'x'"]),
        (["hopper-to-walker2d", "--seeds", "0,a"], ["run.seeds", "'a'"]),
    ],
)
def test_mistakes_are_one_message_and_exit_code_2(args: list[str], words: list[str], recipe) -> None:
    result = call("run", *args)
    assert result.exit_code == 2
    assert result.stdout == "" and "Traceback" not in result.stderr
    assert all(word in result.stderr for word in words), result.stderr
    assert not hasattr(recipe, "config")


def test_an_interruption_names_the_command_that_goes_on(recipe: types.SimpleNamespace) -> None:
    recipe.error = KeyboardInterrupt()
    result = call("run", "hopper-to-walker2d", "--set", "run.seeds=[0, 1]")
    assert result.exit_code == 130
    assert "transfer run hopper-to-walker2d --set 'run.seeds=[0, 1]' --resume" in result.stderr
    resumed = call("run", "hopper-to-walker2d", "--resume")
    assert resumed.stderr.count("--resume") == 1


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (TransferError("the trunk is gone"), ["the trunk is gone"]),
        (OSError(errno.ENOSPC, "No space left on device"), ["disk is full", "--resume"]),
        (RuntimeError("I/O error: No space left on device (os error 28)"), ["disk is full", "--resume"]),
        (PermissionError(errno.EACCES, "Permission denied", "/x"), ["no permission", "/x"]),
    ],
)
def test_errors_of_the_machine_are_messages(error: Exception, words: list[str], recipe) -> None:
    recipe.error = error
    result = call("run", "hopper-to-walker2d")
    assert result.exit_code == 2 and all(word in result.stderr for word in words)


def test_other_errors_keep_their_traceback(recipe: types.SimpleNamespace) -> None:
    recipe.error = ZeroDivisionError()
    assert isinstance(call("run", "hopper-to-walker2d").exception, ZeroDivisionError)


def test_cp_copies_comments_and_never_overwrites(tmp_path: Path) -> None:
    file = tmp_path / "my.toml"
    first = call("cp", "hopper-to-walker2d", file)
    assert first.exit_code == 0 and f"transfer run {file}" in first.stdout
    assert file.read_text() == own_copy("hopper-to-walker2d")
    file.write_text("mine")
    again = call("cp", "walker2d-to-hopper", file)
    assert again.exit_code == 2 and "exists" in again.stderr and file.read_text() == "mine"
    assert "Did you mean" in call("cp", "hopper-to-walker", tmp_path / "b.toml").stderr
    assert not (tmp_path / "b.toml").exists()
    assert "make it first" in call("cp", "hopper-to-walker2d", tmp_path / "no" / "b.toml").stderr


def test_ls_lists_recipes_environments_data_and_runs(tmp_path: Path) -> None:
    (tmp_path / "walk").mkdir()
    (tmp_path / "walk" / "config.toml").write_text("")
    result = call("ls", "--runs-dir", tmp_path)
    assert result.exit_code == 0
    for word in (
        "hopper-to-walker2d",
        "Walker2d-v5",
        "scores by D4RL and Minari",
        "success",
        "hopper/medium-expert",
        str(tmp_path / "walk"),
    ):
        assert word in result.stdout


def test_data_ls_says_how_to_make_what_is_missing() -> None:
    result = call("data", "ls")
    assert result.exit_code == 0 and "transfer data make walker2d/medium-expert" in result.stdout


def test_data_make_prints_ids_and_shows_progress(monkeypatch: pytest.MonkeyPatch) -> None:
    class Made(tuple):
        made = True

    def make_dataset(name, steps, seed, on_progress, overwrite):
        on_progress(2 * steps, 2 * steps)
        return Made([f"{name}-{seed}-{overwrite}", "second"])

    monkeypatch.setattr("transfer.envs.bundled.making.make_dataset", make_dataset)
    result = call("data", "make", "hopper/medium", "--steps", 50, "--seed", 3)
    assert result.exit_code == 0, result.output
    assert result.stdout.split() == ["hopper/medium-3-False", "second"]
    assert "100 steps" in result.stderr and "Already there" not in result.stderr


def test_data_make_with_an_unknown_name() -> None:
    result = call("data", "make", "hopper/medum")
    assert result.exit_code == 2 and "Did you mean 'hopper/medium'" in result.stderr


def test_report_prints_a_table_and_writes_files(make_cell, tmp_path: Path) -> None:
    one = make_cell("full", 0, [500.0], run="one")
    two = make_cell("full", 0, [400.0], run="two")
    result = call("report", one)
    assert result.exit_code == 0 and result.stdout == (one / "report.md").read_text()
    assert (one / "report.png").is_file()
    both = call("report", one, two, "--format", "csv", "--out", tmp_path / "both")
    assert len(both.stdout.splitlines()) == 3 and (tmp_path / "both" / "report.md").is_file()
    missing = call("report", tmp_path / "none")
    assert missing.exit_code == 2 and "transfer ls" in missing.stderr
    assert call("report").exit_code == 2


def test_eval_asks_for_what_the_options_say(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, played) -> None:
    seen = []
    module = types.ModuleType("transfer.recipes.programs.evaluate_path")
    found = {"evaluations": [{"path": str(tmp_path), **played([100.0, 300.0])}]}
    module.evaluate_paths = lambda *args, **options: seen.append((*args, options)) or found  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "transfer.recipes.programs.evaluate_path", module)
    options = ["--episodes", 2, "--targets", "max,3000", "--envs", 2, "--decode", "parallel", "--device", "cpu"]
    result = call("eval", tmp_path, *options)
    assert result.exit_code == 0, result.output
    assert "score 20.0, return 200, length 100, 2 episodes" in result.stdout
    ((paths, config, device, rest),) = seen
    assert (paths, device) == ((tmp_path,), "cpu")
    assert not any(rest.values()) and set(rest) == {"together", "video", "trunk", "any_trunk", "env"}
    assert (config.episodes, config.envs, config.decode) == (2, 2, "parallel")
    assert config.ask == ({"return": "max"}, {"return": "3000"})
    for given, asked in (
        ([], ({},)),
        (
            ["--ask", "return=p95,horizon=500", "--ask", "goal=left"],
            ({"return": "p95", "horizon": 500.0}, {"goal": "left"}),
        ),
        (["--targets", "p50", "--ask", "return=max"], ({"return": "p50"}, {"return": "max"})),
    ):
        assert call("eval", tmp_path, *given).exit_code == 0
        assert seen[-1][1].ask == asked
    assert json.loads(call("eval", tmp_path, "--json").stdout) == found
    assert "p95" in call("eval", tmp_path, "--targets", "most").stderr
    assert ".gif" in call("eval", tmp_path, "--video", "out.mp4").stderr
    assert "transfer ls" in call("eval", tmp_path / "none").stderr


@pytest.mark.parametrize(
    ("text", "seeds"),
    [("0-3", (0, 1, 2, 3)), ("0-2,7", (0, 1, 2, 7)), ("5", (5,)), ("3-3", (3,)), (" 0 - 1 , 4", (0, 1, 4))],
)
def test_seeds_may_be_a_range(text: str, seeds: tuple[int, ...], recipe: types.SimpleNamespace) -> None:
    result = call("run", "hopper-to-walker2d", "--seeds", text)
    assert result.exit_code == 0, result.output
    assert recipe.config.run.seeds == seeds


@pytest.mark.parametrize("text", ["4-0", "0-1000000000", "0-3,2", "1-", "-1", "0-99999999999999999999", ""])
def test_a_range_that_is_none_is_refused(text: str, recipe: types.SimpleNamespace) -> None:
    result = call("run", "hopper-to-walker2d", f"--seeds={text}")
    assert result.exit_code == 2 and "seeds" in result.stderr and len(result.stderr) < 500


@pytest.mark.parametrize(
    "args",
    [
        ["ls", "--runs-dir", "~/x"],
        ["run", "~/x/my.toml"],
        ["run", "hopper-to-walker2d", "--runs-dir", "~/x"],
        ["cp", "hopper-to-walker2d", "~/x/my.toml"],
        ["show", "~/x"],
        ["eval", "~/x"],
        ["eval", "~/x", "--trunk", "~/x", "--video", "~/x/a.gif"],
        ["report", "~/x", "--out", "~/x"],
        ["data", "import", "~/x", "--env", "hopper"],
        ["data", "ceiling", "hopper/medium", "--out", "~/x"],
    ],
)
def test_a_tilde_is_the_home_folder_in_every_path(
    args: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file stands at ~/x, so that each command ends at once, and names it."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "datasets"))
    (tmp_path / "x").write_text("mine")
    result = call(*args)
    assert result.exit_code == 2 and str(tmp_path / "x") in result.stderr, result.output
    assert "~" not in result.stderr and [path.name for path in tmp_path.iterdir()] == ["x"]


def test_a_tilde_in_pretrain_from_is_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from transfer.recipes.runs.prepare import with_whole_origin
    from transfer.recipes.settings.config import load_config

    monkeypatch.setenv("HOME", str(tmp_path))
    config = with_whole_origin(load_config("hopper-to-walker2d", ["pretrain.from=~/run"]))
    assert config.pretrain.from_ == str(tmp_path / "run")


@pytest.mark.parametrize("path", ["", "a\0b", "x" * 5000, "~nobody-of-this-name/x"])
@pytest.mark.parametrize("command", ["show", "eval", "report", "run", "ls --runs-dir", "cp hopper-to-walker2d"])
def test_what_is_no_path_is_refused(command: str, path: str) -> None:
    result = call(*command.split(), path)
    assert result.exit_code == 2 and "Traceback" not in result.stderr, result.output
    assert len(result.stderr) < 11_000


def test_a_run_that_is_not_there_is_said_to_be_one() -> None:
    result = call("run", "runs/nope", "--resume")
    assert result.exit_code == 2 and "no run and no file runs/nope" in result.stderr and "transfer ls" in result.stderr
