"""Every command and every Python example of README.md runs, in the order in which a reader meets them."""

import importlib.metadata
import re
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

import transfer
from transfer.recipes.cli.commands import cli
from transfer.training.train_config import TrainConfig

ROOT = Path(__file__).resolve().parent.parent
SHELL, PYTHON, PROSE = ("sh", "bash", "shell", "console"), ("python", "py"), ("", "text")
SMALL = "trunk.width=16 trunk.depth=1 trunk.heads=2 pretrain.steps=2 adapt.steps=2 eval.episodes=1".split()
SMALL += [f"{part}.{key}=2" for part in ("pretrain", "adapt") for key in ("batch_size", "context", "log_every")]
SMALL += ["eval.calibrate=0"]
SMALL += [f"{part}.save_every=2" for part in ("pretrain", "adapt")]
# What makes a command take a second: words put behind those that begin so, and keywords forced on library calls.
OVERRIDES = {
    "transfer run": [*(f"--set={item}" for item in SMALL), "--threads=1", "--jobs=1", "--device=cpu"],
    "transfer eval": ["--episodes=1", "--envs=1", "--device=cpu"],
    "transfer data make": ["--steps=50"],
    "transfer data ceiling": ["--episodes=1", "--bins=8"],
}
FORCED = {
    "adapt": {"steps": 2, "config": TrainConfig(batch_size=2, context=4)},
    "evaluate": {"num_episodes": 1},
}
# Programs of others: that they are installed is all that is checked.
INSTALLED = ("tensorboard",)


def blocks(text: str) -> list[tuple[str, str]]:
    """(language, content) of every fenced block."""
    found = re.findall(r"^```(\w*)[^\n]*\n(.*?)^```\s*$", text, re.MULTILINE | re.DOTALL)
    assert text.count("```") == 2 * len(found), "a fence is not closed"
    return found


def commands(block: str) -> list[list[str]]:
    """The words of every command in a shell block."""
    lines = block.replace("\\\n", " ").splitlines()
    parts = [part for line in lines for part in re.split(r"&&|;", line.strip().removeprefix("$ "))]
    return [words for part in parts if (words := shlex.split(part, comments=True))]


def recipes(makefile: str) -> dict[str, list[str]]:
    """The commands behind each target of a Makefile."""
    found: dict[str, list[str]] = {}
    for line in makefile.splitlines():
        target = re.match(r"([a-z][\w-]*)\s*:(?!=)", line)
        if target:
            found[target[1]] = []
        elif line.startswith("\t") and found:
            found[list(found)[-1]].append(line.strip().lstrip("@-"))
    return found


def run_command(words: list[str]) -> int:
    """Run one command; returns how many commands that was. Anything that cannot be run is an AssertionError."""
    program = Path(words[0]).name
    if program == "make":
        targets = recipes((ROOT / "Makefile").read_text(encoding="utf-8"))
        assert len(words) > 1 and set(words[1:]) <= set(targets), f"{words}: the Makefile has {', '.join(targets)}"
        inner = [shlex.split(line) for target in words[1:] for line in targets[target]]
        return 1 + sum(run_command(["transfer", *line[1:]]) for line in inner if line[0].endswith("/transfer"))
    if program in INSTALLED:
        scripts = importlib.metadata.entry_points(group="console_scripts", name=program)
        assert scripts, f"{program} is not installed"
        return 1
    if program == "torchrun":  # really in several processes: tests/recipes/programs/test_torchrun.py
        assert words[1:5] == ["--nproc-per-node", "2", "-m", "transfer.recipes"], words
        program, words = "transfer", words[4:]
    assert program == "transfer", f"README has '{shlex.join(words)}': say in {Path(__file__).name} how to run it"
    line = shlex.join(["transfer", *words[1:]])
    plain = re.sub(r" --import \S+", "", line)
    extra = [word for prefix, more in OVERRIDES.items() if plain.startswith(prefix) for word in more]
    result = CliRunner().invoke(cli, [*words[1:], *extra])
    assert result.exit_code == 0, f"`{line}` exits with {result.exit_code}: {result.output} {result.exception!r}"
    return 1


def play(text: str) -> tuple[int, int]:
    """Run everything in a README, in order; returns the number of commands and of Python examples."""
    counts = [0, 0]
    for language, block in blocks(text):
        assert language in (*SHELL, *PYTHON, *PROSE), f"what to do with a block of {language}?"
        if language in SHELL:
            counts[0] += sum(run_command(words) for words in commands(block))
        elif language in PYTHON:
            counts[1] += 1
            exec(compile(block, "README.md", "exec"), {"__name__": "__main__"})
        else:
            stray = [line for line in block.splitlines() if re.match(r"(\$ )?(make|transfer|pip|python3?) \w", line)]
            assert not stray, f"a command in a block that says nothing of its language: {stray}"
    return counts[0], counts[1]


@pytest.fixture
def reader(tiny_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of somebody who follows the README; the datasets are small and at hand."""
    shutil.copytree(tiny_data, tmp_path / "datasets")
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "datasets"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for name, forced in FORCED.items():
        monkeypatch.setattr(transfer, name, shortened(getattr(transfer, name), forced))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def shortened(function: Callable[..., object], forced: dict[str, object]) -> Callable[..., object]:
    return lambda *args, **options: function(*args, **{**options, **forced})


def test_everything_in_the_readme_runs(reader: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shell, examples = play((ROOT / "README.md").read_text(encoding="utf-8"))
    assert shell > 5 and examples >= 1


def fenced(language: str, *lines: str) -> str:
    return "\n".join([f"```{language}", *lines, "```", ""])


def test_commands_are_found_however_they_are_written() -> None:
    text = fenced("sh", "$ transfer ls  # what is there", "transfer cp \\", "  a b.toml && make test", "", "# nothing")
    ((_, block),) = blocks(text)
    assert commands(block) == [["transfer", "ls"], ["transfer", "cp", "a", "b.toml"], ["make", "test"]]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (fenced("sh", "transfer list"), "`transfer list` exits with 2"),
        (fenced("sh", "transfer run hoper-to-walker2d"), "Did you mean 'hopper-to-walker2d'"),
        (fenced("sh", "transfer show runs/none"), "no folder runs/none"),
        (fenced("sh", "make dmeo"), "the Makefile has .*demo"),
        (fenced("sh", "conda install embedding-swap"), "say in test_readme.py how to run it"),
        (fenced("", "transfer ls"), "says nothing of its language"),
        (fenced("rust", "let x = 1;"), "a block of rust"),
        ("```sh\ntransfer ls\n", "not closed"),
    ],
)
def test_a_mistake_in_a_readme_is_noticed(text: str, words: str, reader: Path) -> None:
    with pytest.raises(AssertionError, match=words):
        play(text)


def test_an_example_that_does_not_run_is_noticed(reader: Path) -> None:
    with pytest.raises(ImportError):
        play(fenced("python", "from transfer import adpat"))
