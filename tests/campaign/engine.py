"""One input: a valid one with a named mutation, the right outcome beside it, and what came of it."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.campaign.sandbox import Failure, Place, Refusal, captured, changes, fork, limit, snapshot
from transfer.errors import TransferError

CANARY = "work/canary"  # what a payload makes when something runs it
# Caches, ours and PyTorch's, are nobody's result: they may fill whether or not an input is refused.
ALWAYS = ("cache/", "tmp/torchinductor_")
FAULTS = ("traceback", "died", "wrongly accepted", "wrongly refused", "wrong value", "unclear", "endless")
FAULTS += ("leftovers", "executed", "unequal bytes", "not made")


@dataclass(frozen=True)
class Refused:
    """The input has to be refused with a message that holds all of these words."""

    words: tuple[str, ...] = ()


@dataclass(frozen=True)
class Accepted:
    """The input has to be accepted; `check` raises an error on another value than the right one."""

    check: Callable[[Any], None] = lambda value: None


@dataclass(frozen=True)
class Either:
    """Refused with a message, or accepted with what `check` takes: for values that a reader may ignore."""

    check: Callable[[Any], None] = lambda value: None


Outcome = Refused | Accepted | Either


@dataclass(frozen=True)
class Trial:
    """An input.

    Attributes:
        name: of the mutation, for people.
        act: what is judged; takes the place, returns what `wants.check` looks at.
        wants: the right outcome.
        needs: fixtures that are copied into the place first, see `tests.campaign.shop`.
        prepare: makes the mutation in the place.
        writes: paths below the place that an accepted input may change.
        keeps: paths below the place that a refused one may leave, because they were finished before.
        seconds: after which it counts as endless.
    """

    name: str
    act: Callable[[Place], Any]
    wants: Outcome
    needs: tuple[str, ...] = ()
    prepare: Callable[[Place], object] = lambda place: None
    writes: tuple[str, ...] = ()
    keeps: tuple[str, ...] = ()
    seconds: float = 20.0


@dataclass
class Verdict:
    """What came of an input: refused, accepted, raised, ended, endless or not made; and what is wrong with that."""

    outcome: str
    faults: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0


def judge(trial: Trial, shop: Path, sabotage: Callable[[], None] | None = None) -> Verdict:
    """Run a trial in a fork; `sabotage` takes a gate out of the library there."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="trial-", ignore_cleanup_errors=True) as name:
        place = Place(Path(name) / "place")
        answer, status = fork(lambda: run(trial, place, shop, sabotage), trial.seconds)
        open_up(Path(name))
    if status is None:
        verdict = Verdict("endless", {"endless": f"not over after {trial.seconds:g} s"})
    elif answer is None:
        verdict = Verdict("ended", {"died": f"the process ended with status {status}"})
    else:
        verdict = Verdict(**answer)
    verdict.seconds = time.monotonic() - began
    return verdict


def open_up(folder: Path) -> None:
    """Make writable again what a trial made unwritable, so that it can be removed."""
    with contextlib.suppress(OSError):
        for path in folder.rglob("*"):
            if path.is_dir() and not path.is_symlink():
                path.chmod(0o700)


def run(trial: Trial, place: Place, shop: Path, sabotage: Callable[[], None] | None) -> dict[str, Any]:
    """Prepare, act and compare; in the fork."""
    place.root.mkdir()
    for need in trial.needs:
        shutil.copytree(shop / need, place.root / need, symlinks=True, dirs_exist_ok=True)
    place.enter()
    try:
        trial.prepare(place)
        if sabotage is not None:
            sabotage()
    except Exception:
        return {"outcome": "not made", "faults": {"not made": traceback.format_exc()[-1200:]}}
    limit(trial.seconds)
    before, faults = snapshot(place.root), dict[str, str]()
    with captured(place.root.parent) as streams:
        outcome = act(trial, place, faults)
    if "Traceback" in streams[1]:
        faults["traceback"] = streams[1][-1200:]
    allowed = (*ALWAYS, *(trial.writes if outcome == "accepted" else trial.keeps))
    changed = [path for path in changes(before, snapshot(place.root)) if not path.startswith(allowed)]
    if CANARY in changed:
        faults["executed"] = "a payload ran"
    elif changed:
        faults["leftovers"] = ", ".join(changed[:10])
    return {"outcome": outcome, "faults": faults}


def act(trial: Trial, place: Place, faults: dict[str, str]) -> str:
    """The outcome; what is wrong with it goes to the faults."""
    try:
        value = trial.act(place)
    except (TransferError, Refusal) as error:
        faults |= wrong_refusal(trial.wants, str(error), getattr(error, "printed", ""))
        return "refused"
    except BaseException as error:
        said = str(error) if isinstance(error, Failure) else traceback.format_exc()
        faults["traceback"] = said[-1200:]
        return "raised"
    if isinstance(trial.wants, Refused):
        faults["wrongly accepted"] = f"{value!r}"[:300]
        return "accepted"
    try:
        trial.wants.check(value)
    except Exception:
        faults["wrong value"] = traceback.format_exc(limit=-1)[-1000:]
    return "accepted"


def wrong_refusal(wants: Outcome, message: str, printed: str) -> dict[str, str]:
    """What is wrong with a refusal that says this, and has printed that."""
    if isinstance(wants, Accepted):
        return {"wrongly refused": message}
    missing = [word for word in getattr(wants, "words", ()) if word not in message]
    if missing or not message:
        return {"unclear": f"{missing or 'nothing'} said in: {message}"}
    return {"unclear": f"refused, and printed {printed[:300]!r}"} if printed else {}
