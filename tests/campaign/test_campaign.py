"""A fixed sample of the campaign, and what the campaign itself has to notice."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.campaign.engine import Accepted, Either, Refused, Trial, judge
from tests.campaign.gates import GATES
from tests.campaign.results import Result, report, table
from tests.campaign.sandbox import Place
from tests.campaign.toml_keys import KEYS
from transfer.errors import TransferError

ROOT = Path(__file__).resolve().parents[2]
INPUTS, KILLS = 20, 1


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> subprocess.CompletedProcess[str]:
    """The first inputs of every family and every gate opened, in a process that nothing else has used."""
    out = tmp_path_factory.mktemp("campaign")
    command = [
        sys.executable,
        "-m",
        "tests.campaign",
        "--gates",
        f"--count={INPUTS}",
        f"--kills={KILLS}",
        f"--out={out}",
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    failures = out / "failures.txt"
    done.stdout += failures.read_text(encoding="utf-8") if failures.is_file() else ""
    return done


def test_the_sample_ends_as_it_has_to(sample: subprocess.CompletedProcess[str]) -> None:
    assert f"{INPUTS + KILLS} inputs" in sample.stdout, sample.stderr
    assert "; 0 failures" in sample.stdout and "outside of its own place" not in sample.stdout, sample.stdout


def test_a_third_of_the_sample_is_valid(sample: subprocess.CompletedProcess[str]) -> None:
    counts = re.search(r"\| all \| (\d+) \| (\d+) \|", sample.stdout)
    assert counts and 3 * int(counts[2]) >= int(counts[1])


@pytest.mark.parametrize("name", GATES)
def test_a_gate_that_is_open_is_noticed(name: str, sample: subprocess.CompletedProcess[str]) -> None:
    assert f"\n{name}: noticed by " in f"\n{sample.stdout}", sample.stdout


def test_every_key_of_the_config_is_tried() -> None:
    from transfer.recipes.settings.sections import known_keys

    assert set(KEYS) | {"adapter.state.hidden"} == set(known_keys())


def refuse(place: Place, message: str = "steps is -1") -> None:
    raise TransferError(message)


def leave(place: Place) -> None:
    (place.work / ".half").write_text("x")
    raise TransferError("no")


def touch(place: Place) -> None:
    (place.work / "canary").touch()
    raise TransferError("no")


# What an input does -> the fault that is found.
ACTS: dict[str, tuple[Callable[[Place], Any], Any, str]] = {
    "right": (refuse, Refused(("steps", "-1")), ""),
    "right number": (lambda place: 3, Accepted(lambda value: value == 3 or 1 / 0), ""),
    "either": (refuse, Either(), ""),
    "traceback": (lambda place: 1 / 0, Refused(), "traceback"),
    "traceback in a thread": (lambda place: os.write(2, b"Traceback (most recent)"), Accepted(), "traceback"),
    "died": (lambda place: os.kill(os.getpid(), signal.SIGKILL), Refused(), "died"),
    "left": (lambda place: os._exit(0), Accepted(), "died"),
    "endless": (lambda place: time.sleep(60), Refused(), "endless"),
    "too much memory": (lambda place: bytearray(2**36), Refused(), "traceback"),
    "wrongly accepted": (lambda place: 3, Refused(), "wrongly accepted"),
    "wrongly refused": (refuse, Accepted(), "wrongly refused"),
    "wrong number": (lambda place: 3, Accepted(lambda value: value == 4 or 1 / 0), "wrong value"),
    "no word of it": (refuse, Refused(("lr",)), "unclear"),
    "no message": (lambda place: refuse(place, ""), Refused(), "unclear"),
    "leftovers": (leave, Refused(), "leftovers"),
    "a payload": (touch, Refused(), "executed"),
}  # fmt: skip


@pytest.mark.parametrize("name", ACTS)
def test_what_is_wrong_has_a_name(name: str, tmp_path: Path) -> None:
    act, wants, fault = ACTS[name]
    found = judge(Trial(name, act, wants, seconds=0.5 if fault == "endless" else 20), tmp_path)
    assert list(found.faults) == [fault] * bool(fault), found


def test_an_input_that_cannot_be_made_is_a_failure(tmp_path: Path) -> None:
    found = judge(Trial("x", lambda place: 3, Accepted(), prepare=lambda place: 1 / 0), tmp_path)
    assert list(found.faults) == ["not made"] and "ZeroDivisionError" in found.faults["not made"]


def test_the_table_counts_by_family_and_a_failure_tells_how_to_repeat_it() -> None:
    from tests.campaign.engine import Verdict

    results = [
        Result("toml", 0, "a", True, Verdict("accepted")),
        Result("toml", 1, "b = nan", False, Verdict("accepted", {"wrongly accepted": "nan"})),
        Result("paths", 0, "c", False, Verdict("refused")),
    ]
    rows = {line.split(" | ")[0].strip("| "): line.split(" | ")[1:5] for line in table(results).splitlines()[2:]}
    assert rows == {"toml": ["2", "1", "0", "2"], "paths": ["1", "0", "1", "0"], "all": ["3", "1", "1", "2"]}
    text = "\n".join(report(results, seed=7))
    assert "wrongly accepted: 1" in text and "python -m tests.campaign --seed 7 --input 'toml/1'" in text
