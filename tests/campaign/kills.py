"""Processes that are killed at random moments: what goes on afterwards ends in the bytes of what nothing stopped."""

from __future__ import annotations

import os
import random
import shutil
import signal
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.campaign.engine import Verdict, open_up
from tests.campaign.run_folders import lasting
from tests.campaign.sandbox import Failure, Place, Refusal, captured, fork
from tests.campaign.shop import toml

SIGNALS = {"SIGKILL": signal.SIGKILL, "SIGTERM": signal.SIGTERM}
MADE = "bundled/hopper/medium-v0"
Bytes = dict[str, bytes]


@dataclass(frozen=True)
class Work:
    """Something that is killed.

    Attributes:
        start: what is killed.
        again: what is killed the second time.
        go_on: what is done afterwards.
        result: the files that count, by name.
        root: folder below which nothing hidden may be left, in the place.
    """

    start: Callable[[Place], object]
    again: Callable[[Place], object]
    go_on: Callable[[Place], object]
    result: Callable[[Place], Bytes]
    root: str


def run(place: Place, *more: str) -> str:
    """A whole run of two modes, with probes on steps whose state is saved."""
    (place.work / "tiny.toml").write_text(toml(), encoding="utf-8")
    probes = ("--set", "eval.probe_every=4", "--set", "eval.probe_episodes=1")
    return place.transfer("run", "tiny.toml", "--modes", "embeddings,full", *probes, "--name", "new", *more)


def make_data(place: Place) -> str:
    """A dataset that is there already, made again with another seed."""
    return place.transfer("data", "make", "hopper/medium", "--steps", "200", "--seed", "5", "--overwrite")


def save(place: Place) -> None:
    """An adapter and another one, in turns into one folder."""
    from tests.campaign.library_calls import Kit

    kit = Kit()
    for _ in range(200):
        kit.adapter.save("saved")
        kit.source.save("saved")


def load_and_save(place: Place) -> None:
    """What is there is one of the two, whole; then the first one is saved again."""
    from tests.campaign.library_calls import Kit
    from transfer import Adapter, fingerprint

    kit = Kit()
    if Path("saved").exists():
        assert fingerprint(Adapter.load("saved")) in (fingerprint(kit.adapter), fingerprint(kit.source))
    kit.adapter.save("saved")


def files(folder: str) -> Callable[[Place], Bytes]:
    """Every file below a folder of the place."""

    def read(place: Place) -> Bytes:
        root = place.root / folder
        return {p.relative_to(root).as_posix(): p.read_bytes() for p in sorted(root.rglob("*")) if p.is_file()}

    return read


def resume(place: Place) -> str:
    """Go on with the run."""
    return run(place, "--resume")


WORKS = {
    "run": Work(run, resume, resume, lambda place: lasting(place.work / "runs/new"), "work/runs"),
    "data make": Work(make_data, make_data, make_data, files(f"datasets/{MADE}"), "datasets"),
    "save": Work(save, save, load_and_save, files("work/saved"), "work"),
}


class Kills:
    """Kills one after another; what is unbroken is made once per work.

    Args:
        shop: see `tests.campaign.shop`.
        seed: kill i is a function of it and of i.
    """

    def __init__(self, shop: Path, seed: int) -> None:
        self.shop, self.seed = shop, seed
        self.whole: dict[str, tuple[Bytes, float]] = {}

    def unbroken(self, name: str) -> tuple[Bytes, float]:
        """The files of a work that nothing stopped, and its seconds."""
        if name not in self.whole:
            with tempfile.TemporaryDirectory(prefix="kill-") as folder:
                place, work, began = self.furnish(Path(folder)), WORKS[name], time.monotonic()
                answer, _ = fork(lambda: attempt(work.start, place), 120)
                seconds = time.monotonic() - began
                fork(lambda: attempt(work.go_on, place) if name == "save" else None, 120)
                if answer:
                    raise Failure(f"{name}: {answer}")
                self.whole[name] = work.result(place), seconds
        return self.whole[name]

    def furnish(self, folder: Path) -> Place:
        """A place with data and runs."""
        place = Place(folder / "place")
        for need in ("datasets", "work"):
            shutil.copytree(self.shop / need, place.root / need)
        return place

    def judge(self, index: int) -> tuple[str, Verdict]:
        """Kill number `index`: one or two stops of a work, then its end."""
        rng = random.Random(f"{self.seed}/kill/{index}")
        name, kind, stops = rng.choice(list(WORKS)), rng.choice(list(SIGNALS)), rng.choice((1, 1, 2))
        (whole, seconds), work, began = self.unbroken(name), WORKS[name], time.monotonic()
        moments = [rng.uniform(0, seconds) for _ in range(stops)]
        with tempfile.TemporaryDirectory(prefix="kill-", ignore_cleanup_errors=True) as folder:
            place = self.furnish(Path(folder))
            for number, moment in enumerate(moments):
                stop(work.again if number else work.start, place, kind, moment)
            faults = after(work, place, whole)
            open_up(Path(folder))
        shown = f"{name}, {kind} after {', '.join(f'{100 * one / seconds:.0f} %' for one in moments)}"
        return shown, Verdict("accepted", faults, time.monotonic() - began)


def after(work: Work, place: Place, whole: Bytes) -> dict[str, str]:
    """Go on with what was killed; what is wrong with what comes of it."""
    why, status = fork(lambda: attempt(work.go_on, place), 120)
    if status is None:
        return {"endless": "going on does not end"}
    if why or status:
        return {"traceback" if why else "died": why or f"status {status}"}
    if hidden := leftovers(place.root / work.root):
        return {"leftovers": ", ".join(hidden)}
    found = work.result(place)
    other = [file for file in whole.keys() | found.keys() if whole.get(file) != found.get(file)]
    return {"unequal bytes": ", ".join(sorted(other))} if other else {}


def attempt(work: Callable[[Place], object], place: Place) -> str:
    """Do it in this process; why it failed, "" when it did not."""
    place.enter()
    try:
        with captured(place.root.parent):
            work(place)
    except (Failure, Refusal) as error:
        return str(error) or "refused without a word"
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return ""


def stop(work: Callable[[Place], object], place: Place, kind: str, moment: float) -> None:
    """Begin it in a fork and send the signal."""
    child = os.fork()
    if not child:
        os.setsid()
        place.enter()
        out = os.open(os.devnull, os.O_WRONLY)
        os.dup2(out, 1)
        os.dup2(out, 2)
        try:
            work(place)
        finally:
            os._exit(0)
    time.sleep(moment)
    os.kill(child, SIGNALS[kind])
    for _ in range(200):
        if os.waitpid(child, os.WNOHANG)[0]:
            return
        time.sleep(0.05)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)


def leftovers(root: Path) -> list[str]:
    """What is hidden below a folder: half-written things have hidden names."""
    return sorted(path.relative_to(root).as_posix() for path in root.rglob(".*"))
