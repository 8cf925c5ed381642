"""Every option of every command: a command line that is right, with one option that is another or one more."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.campaign.engine import Accepted, Refused, Trial
from tests.campaign.shop import DATASET, PRESET, RUNS, facts

RUN, CELL, MLP = "runs/good", "runs/good/embeddings/0", "runs/good/mlp/0"
Check = Callable[[str], None]
COUNT = ("0", "-1", "x", "", "1.5", "nan", "inf", "1e3", "9" * 16, "9" * 30)
# What is wrong for an option, wherever it may be given.
WRONG: dict[str, tuple[str, ...]] = {
    "--episodes": COUNT,
    "--envs": COUNT,
    "--steps": COUNT,
    "--threads": ("-1", "x", "", "1.5", "9" * 16),
    "--seed": ("-1", "x", "", "1.5", "9" * 40),
    "--targets": ("", *", nan inf -inf 1e400 p101 p-1 pnan p p33 most p95,p95 3,3.0 p95;max".split()),
    "--decode": ("", "paralel", "AUTOREGRESSIVE", "0"),
    "--device": ("", "gpu", "cuda:99", "cuda:-1", "cpu:x", "cpu,cuda", "meta", "x" * 1000),
    "--trunk": ("other", "nowhere", "tiny.toml", "runs", "runs/good/embeddings/0/adapter", ""),
    "--video": ("out.mp4", "nowhere/out.gif", "", ".gif/"),
    "--set": (
        *("", "adapt.steps=\x1b[31m"),
        *"= a adapt.steps adapt.steps= =3 adapt..steps=3 .steps=3 adapt.steps=3=4 steps=3 ADAPT.STEPS=3".split(),
        *"adapt=3 quick.steps=3 adapt.steps.x=3 adapt.modes=[[[[ adapt.steps=true trunk.width=1e999".split(),
    ),
    # Escape codes in a name are escaped wherever it is printed.
    "--name": ("../x", "", ".", "..", "/abs", "a/b", ".hidden", "x" * 300, "good"),
    "--modes": ("", ",", "emb", "mlp,mlp", "random-trunk:full", "all", "embeddings+embeddings"),
    "--seeds": ("", ",", "-1", "0,0", "x", "1.5", "3-", "9" * 40, "true"),
    "--runs-dir": ("tiny.toml",),
    "--format": ("", "html", "CSV"),
    "--out": ("tiny.toml", "tiny.toml/x"),
    "--bins": ("", "1", "0", "-4", "x", "2.5", "4,x", "9" * 16, "9" * 30),
    "--tokenizers": ("", "quantil", "uniform,uniform,x", "mu_law"),
    "--env": ("", "hoper", "Hopper-v5x", "../x"),
    "--import": ("no_such_module", "", "a b", "../x", "runs/good", "1x"),
    "--id": ("x", "../x-v0", "/x-v0", "x-v", "x-v0\n", "a b-v0", "imported/../../x-v0"),
}


@dataclass(frozen=True)
class Command:
    """A command line that is right.

    Attributes:
        line: its words.
        options: what may be given besides; taken from `WRONG` when it is to be wrong.
        check: of its stdout.
        writes: what it may change.
        right: other words that may be added without changing the outcome.
    """

    line: tuple[str, ...]
    options: tuple[str, ...] = ()
    check: Check = lambda stdout: None
    writes: tuple[str, ...] = ()
    right: tuple[tuple[str, ...], ...] = ()


def has(*words: str) -> Check:
    """A check that stdout holds some words."""

    def check(stdout: str) -> None:
        assert not (missing := [word for word in words if word not in stdout]), f"{missing} not in {stdout[:500]}"

    return check


def plays(shop: Path, name: str) -> Check:
    """A check that the episodes are those of the whole policy."""
    wanted = facts(shop)[name]["evaluations"]

    def check(stdout: str) -> None:
        found = json.loads(stdout)["evaluations"]
        assert [one["returns"] for one in found] == [one["returns"] for one in wanted], found

    return check


def repeats(shop: Path) -> Check:
    """A check that a run has made the bytes that the same run has made before."""

    def check(stdout: str) -> None:
        for name in ("results.json", "adapter/adapter.json", "adapter/adapter.safetensors"):
            new, old = (folder / "embeddings/0" / name for folder in (Path("runs/new"), shop / "work" / RUN))
            assert new.read_bytes() == old.read_bytes(), name

    return check


def commands(shop: Path) -> list[Command]:
    """At least one of each command."""
    two = (("--tokenizers", "uniform,quantile"),)
    together = ("--episodes", "--envs", "--targets", "--decode", "--device", "--threads", "--import")
    alone = (*together, "--trunk", "--video", "--env")
    run_options = ("--set", "--name", "--modes", "--seeds", "--device", "--threads", "--runs-dir", "--import")
    played = ("eval", CELL, "--episodes", "2", "--json")
    return [
        Command(("--help",), check=has("Usage", "eval")),
        Command(("--version",), check=has("transfer ")),
        Command(("ls",), ("--runs-dir",), has(PRESET, CELL), right=(("--runs-dir", "runs"),)),
        Command(("show", RUN), check=has("walker2d"), right=(("--json",),)),
        Command(("show", f"{CELL}/adapter"), check=has("walker2d")),
        Command(("show", "tiny.toml"), check=has("walker2d"), right=(("--json",),)),
        Command(("show", f"{RUN}/trunk/0/trunk"), check=has("16"), right=(("--json",),)),
        Command(played, alone, plays(shop, "embeddings"), right=(("--threads", "1"), ("--import", "json"))),
        Command(played, alone, plays(shop, "embeddings"), right=(("--trunk", f"{RUN}/trunk/0/trunk"), ("--trust",))),
        Command(("eval", MLP, "--episodes", "2", "--json"), together, plays(shop, "mlp")),
        Command(("eval", CELL, f"{RUN}/trunk/0", "--together", "--episodes", "2"), together, has(CELL)),
        Command(("report", RUN), ("--format", "--out"), has("embeddings", "mlp"), (f"work/{RUN}/report.",)),
        Command(("report", RUN, "--out", "out"), ("--format",), has("embeddings"), ("work/out/",)),
        Command(("cp", PRESET, "my.toml"), check=has("my.toml"), writes=("work/my.toml",)),
        Command(("run", "tiny.toml", "--name", "new"), run_options, repeats(shop), ("work/runs/new/",)),
        Command(
            ("run", RUN, "--resume"), ("--set", "--modes", "--device"), has("embeddings"), (f"work/{RUN}/report.",)
        ),
        Command(("data", "ls"), check=has(DATASET)),
        Command(("data", "check", DATASET), check=has(DATASET), right=(("--json",),)),
        Command(
            ("data", "make", "hopper/medium", "--steps", "30", "--overwrite"), ("--steps", "--seed"),
            has("bundled/hopper/medium-v0"), ("datasets/",), (("--seed", "3"),),
        ),
        Command(
            ("data", "ceiling", DATASET, "--episodes", "1", "--bins", "4"),
            ("--bins", "--tokenizers", "--episodes", "--out"), has("quantile"), right=two,
        ),
        # The last one has no file to import: it is wrong with any option, and never right.
        Command(("data", "import", "tiny.toml", "--env", "hopper"), ("--env", "--id")),
    ]  # fmt: skip


# Lines that are wrong as a whole, with words of the message.
LINES: dict[tuple[str, ...], tuple[str, ...]] = {
    ("evall", CELL): ("evall",),
    ("eval",): (),
    ("eval", "nowhere"): ("nowhere",),
    ("eval", "runs"): ("runs",),
    ("eval", "tiny.toml"): ("tiny.toml",),
    ("eval", CELL, MLP): (),
    ("eval", CELL, "--together"): (),
    ("eval", CELL, CELL, "--together"): (),
    ("eval", CELL, MLP, "--together"): (),
    ("eval", CELL, "--no-such-option"): ("--no-such-option",),
    ("eval", CELL, "--episodes"): ("--episodes",),
    ("eval", f"{CELL}/adapter/adapter.json"): (),
    ("show", "nowhere"): ("nowhere",),
    ("show", "runs"): ("runs",),
    ("report", "nowhere"): ("nowhere",),
    ("report", "runs"): ("runs",),
    ("report", "runs/stopped"): ("stopped",),
    ("run",): (),
    ("run", "hoper-to-walker2d"): ("hoper-to-walker2d", PRESET),
    ("run", "nowhere.toml"): ("nowhere.toml",),
    ("run", "runs"): ("runs",),
    ("run", RUN): ("--resume",),
    ("run", "tiny.toml", "--quick"): ("quick",),
    ("run", "tiny.toml", "--runs-dir", "tiny.toml/x"): ("tiny.toml",),
    ("run", RUN, "--resume", "--set", "adapt.lr=0.5"): ("adapt.lr",),
    ("cp", "nonsense", "my.toml"): ("nonsense",),
    ("cp", PRESET, "tiny.toml"): ("tiny.toml",),
    ("cp", PRESET, "nowhere/my.toml"): ("nowhere",),
    ("cp", PRESET, "runs"): ("runs",),
    ("cp", PRESET, ""): (),
    ("data", "mak", "hopper/medium"): ("mak",),
    ("data", "make", "hoper/medium"): ("hoper/medium", "hopper/medium"),
    ("data", "make", ""): (),
    ("data", "make", "../x"): ("../x",),
    ("data", "check", "hoper/medium"): ("hoper/medium",),
    ("data", "check", "bundled/hopper/nonsense-v0"): ("nonsense",),
    ("data", "check", "../../etc/passwd-v0"): ("passwd",),
    ("data", "check", ""): (),
    ("data", "check", "x" * 5000 + "-v0"): (),
    ("data", "import", "tiny.toml"): ("--env",),
    ("data", "import", "tiny.toml", "--env", "hopper"): ("tiny.toml",),
    ("data", "import", "nowhere.hdf5", "--env", "hopper"): ("nowhere.hdf5",),
    ("data", "import", "runs", "--env", "hopper"): ("runs",),
    ("data", "ceiling", "nonsense"): ("nonsense",),
}


def make(rng: random.Random, shop: Path) -> Trial:
    """A right line, one with a wrong option, or one that is wrong as a whole."""
    kind = rng.random()
    if kind < 0.2:
        line = rng.choice(list(LINES))
        return Trial(spoken(line), lambda place: place.transfer(*line), Refused(LINES[line]), RUNS)
    command = rng.choice(commands(shop)[:-1] if kind < 0.58 else [one for one in commands(shop) if one.options])
    if kind < 0.58:
        line = (*command.line, *(rng.choice(((), *command.right))))
        wants: Accepted | Refused = Accepted(command.check)
    else:
        option = rng.choice(command.options)
        line = (*command.line, option, rng.choice(WRONG[option]))
        wants = Refused()
    return Trial(spoken(line), lambda place: place.transfer(*line), wants, RUNS, writes=command.writes)


def spoken(line: tuple[str, ...]) -> str:
    """A command line for people."""
    return " ".join(["transfer", *(word[:60] if word.isprintable() and word else repr(word)[:60] for word in line)])
