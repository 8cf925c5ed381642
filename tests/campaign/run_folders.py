"""Folders of runs whose files were cut, edited, exchanged for links or lost, before the commands that read them."""

from __future__ import annotations

import hashlib
import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.campaign.checkpoints import same_as
from tests.campaign.edits import DAMAGE, JSON_DAMAGE, Edit, Keys, leaves, wrong_edit
from tests.campaign.engine import Accepted, Either, Refused, Trial
from tests.campaign.sandbox import Place
from tests.campaign.shop import RUNS

RUN, STOPPED = Path("runs/good"), Path("runs/stopped")
CELL, STATE = RUN / "embeddings/0", STOPPED / "trunk/0/checkpoint"
# Values of results.json that may be null.
NULLABLE = ("unchanged", "pretrained", "before", "after", "success_rate", "successes", "success", "calibration")
# A file that is not there is made again, or not needed.
LOST = ("missing", "a link to nowhere", "a link to itself", "a folder in its place")
OTHERS = (f"work/{STOPPED}/mlp/", *(f"work/{STOPPED}/report.{suffix}" for suffix in ("md", "csv", "png")))
"""Of a cell that needs no trunk, which goes on where the trunk's state is refused, and the report of both."""
REPORTS = tuple(f"work/{RUN}/report.{suffix}" for suffix in ("md", "csv", "png"))


def make(rng: random.Random, shop: Path) -> Trial:
    """Damage to one file, an edit of one, a planted link, a lost folder, or nothing that matters."""
    makers = (harmless, results, state, other_files, links)
    return rng.choices(makers, (36, 22, 18, 14, 10))[0](rng, shop)


def report(place: Place) -> str:
    """The table of the run."""
    return place.transfer("report", RUN)


def resume(place: Place, *more: str) -> str:
    """What going on with the finished run prints."""
    return place.transfer("run", RUN, "--resume", *more)


def unchanged(shop: Path) -> Callable[[str], None]:
    """A check that a table is the one of the whole run."""
    wanted = (shop / "work" / RUN / "report.md").read_text(encoding="utf-8")

    def check(stdout: str) -> None:
        other = set(stdout.splitlines()) ^ set(wanted.splitlines())
        assert not other, other

    return check


def results(rng: random.Random, shop: Path) -> Trial:
    """results.json damaged, or with a value of another type.

    A reader that has no use for the value may ignore it: then its table is the one of the whole run.
    """
    act = rng.choice((report, resume))
    if rng.random() < 0.4:
        kinds = {name: one for name, one in (DAMAGE | JSON_DAMAGE).items() if name not in LOST}
        name = rng.choice(list(kinds))
        prepare = lambda place: kinds[name](place.work / CELL / "results.json")  # noqa: E731
        return Trial(f"{act.__name__}, results.json: {name}", act, Refused(("results.json",)), RUNS, prepare)
    content = json.loads((shop / "work" / CELL / "results.json").read_text(encoding="utf-8"))
    edit = wrong_edit(rng, content, lambda keys: keys[-1] in NULLABLE)
    wants = Either(unchanged(shop))
    return Trial(
        f"{act.__name__}, results.json: {edit}", act, wants, RUNS, lambda place: rewrite(CELL / "results.json", edit),
        writes=REPORTS,
    )  # fmt: skip


def state(rng: random.Random, shop: Path) -> Trial:
    """The state of an unfinished training, damaged or edited; or whole, and then the run ends as the unbroken one."""
    name = rng.choice(("state.json", "state.safetensors"))
    file, kind = STATE / name, rng.random()
    go = lambda place: place.transfer("run", STOPPED, "--resume")  # noqa: E731
    if kind < 0.3:
        return Trial("a stopped run goes on", finish, Accepted(equal_bytes(shop)), RUNS, writes=(f"work/{STOPPED}/",))
    if kind < 0.6 or name == "state.safetensors":
        kinds = DAMAGE | (JSON_DAMAGE if name == "state.json" else {"not finite": not_finite})
        how = rng.choice(list(kinds))
        return Trial(
            f"{name}: {how}",
            go,
            Refused((str(STATE),)),
            RUNS,
            lambda place: kinds[how](place.work / file),
            keeps=OTHERS,
        )
    content = json.loads((shop / "work" / file).read_text(encoding="utf-8"))
    edit = wrong_edit(rng, content, signature) if rng.random() < 0.6 else rng.choice(impossible(content))
    signed = rng.random() < 0.7
    return Trial(
        f"{name}, {'' if signed else 'not '}signed: {edit}", go, Refused((str(STATE),)), RUNS,
        lambda place: (rewrite(file, edit), signed and sign(STATE)), keeps=OTHERS,
    )  # fmt: skip


def signature(keys: Keys) -> bool:
    """What signing writes, and what says only who wrote it."""
    return keys[0] in ("tensors", "checksum", "library")


def sign(folder: Path) -> None:
    """Make the hashes of a state those of its files, so that its values are judged."""
    from transfer.storage.pairs import checksum

    content = json.loads((folder / "state.json").read_text(encoding="utf-8"))
    content["tensors"] = hashlib.sha256((folder / "state.safetensors").read_bytes()).hexdigest()
    content["checksum"] = checksum(content)
    (folder / "state.json").write_text(json.dumps(content), encoding="utf-8")


def impossible(content: dict[str, Any]) -> list[Edit]:
    """Numbers that are numbers, and not those of this training."""
    steps = [Edit(("step",), value) for value in (-1, 0, 10, 11, 3, 10**18)]
    keys: list[Keys] = [keys for keys, value in leaves(content["identity"]) if isinstance(value, int | float)]
    return steps + [Edit(("identity", *one), 77) for one in keys]


def not_finite(file: Path) -> None:
    """One weight is no number."""
    from safetensors.torch import load_file, save_file

    tensors = load_file(file)
    name = next(name for name in sorted(tensors) if name.startswith("weights.") and tensors[name].dim())
    tensors[name][(0,) * tensors[name].dim()] = float("nan")
    save_file(tensors, file)
    sign(file.parent)


def finish(place: Place) -> dict[str, bytes]:
    """Go on with the stopped run; the files that last."""
    place.transfer("run", STOPPED, "--resume")
    return lasting(place.work / STOPPED)


def lasting(run: Path) -> dict[str, bytes]:
    """The content of every file of a run that must not depend on when and how often it was run."""
    files = [path for path in run.rglob("*") if path.is_file() and path.parent != run]
    kept = [path for path in files if path.name != "timing.json" and ".tfevents." not in path.name]
    return {path.relative_to(run).as_posix(): path.read_bytes() for path in sorted(kept)}


def equal_bytes(shop: Path) -> Callable[[dict[str, bytes]], None]:
    """A check that the files are those of the unbroken run."""

    def check(found: dict[str, bytes]) -> None:
        wanted = lasting(shop / "work" / RUN)
        assert found.keys() == wanted.keys(), found.keys() ^ wanted.keys()
        assert not (other := [name for name in wanted if found[name] != wanted[name]]), other

    return check


def other_files(rng: random.Random, shop: Path) -> Trial:
    """Files beside the results, or folders, that are damaged or lost."""
    config, timing = RUN / "config.toml", CELL / "timing.json"
    damage = rng.choice([name for name in DAMAGE if name not in LOST])
    break_it = lambda file: lambda place: DAMAGE[damage](place.work / file)  # noqa: E731
    lose = lambda folder: lambda place: shutil.rmtree(place.work / folder)  # noqa: E731
    cell, run = Refused((str(CELL),)), Refused((str(RUN),))
    trials = [
        Trial(f"resume, config.toml: {damage}", resume, run, RUNS, break_it(config)),
        Trial(f"report, timing.json: {damage}", report, Refused(("timing.json",)), RUNS, break_it(timing)),
        Trial("report, no timing.json", report, Accepted(), RUNS, lambda p: (p.work / timing).unlink(), REPORTS),
        Trial("eval, no adapter", play, cell, RUNS, lose(CELL / "adapter")),
        Trial("eval, no trunk", play, Refused(("--trunk",)), RUNS, lose(RUN / "trunk")),
        Trial("report, nothing in it", report, run, RUNS, lambda place: empty(place.work / RUN)),
        Trial("ls, config.toml damaged", lambda place: place.transfer("ls"), Accepted(), RUNS, break_it(config)),
        Trial("show, config.toml damaged", lambda place: place.transfer("show", RUN), Either(), RUNS, break_it(config)),
    ]  # fmt: skip
    return rng.choice(trials)


def play(place: Place) -> dict[str, Any]:
    """Two episodes of the adapter."""
    played: dict[str, Any] = json.loads(place.transfer("eval", CELL, "--episodes", 2, "--json"))
    return played["evaluations"][0]


def empty(folder: Path) -> None:
    """Remove what is in a folder."""
    shutil.rmtree(folder)
    folder.mkdir()


def links(rng: random.Random, shop: Path) -> Trial:
    """Links that somebody planted in a run: what they point to stays as it is."""
    names = (
        ".report.md.new",
        ".report.csv.new",
        "report.md",
        "report.png",
        ".config.toml.new",
        ".adapter.new",
        "mlp/1",
    )
    name, act = rng.choice(names), rng.choice((report, resume))

    def prepare(place: Place) -> None:
        victim = place.work / "victim"
        victim.mkdir()
        (victim / "thesis.txt").write_text("mine")
        link = place.work / RUN / name
        link.unlink(missing_ok=True)
        link.symlink_to(victim if "." not in name[1:] else victim / "thesis.txt")

    return Trial(
        f"{act.__name__}, a link at {name}", act, Either(), RUNS, prepare, (f"work/{RUN}/",), (f"work/{RUN}/",)
    )


def harmless(rng: random.Random, shop: Path) -> Trial:
    """Commands on a whole run, and changes that change nothing."""
    table = Accepted(unchanged(shop))
    move = lambda place: (place.work / RUN).rename(place.work / "elsewhere")  # noqa: E731
    cell = f"work/{RUN}/"
    trials = [
        Trial("report", report, table, RUNS, writes=REPORTS),
        Trial("resume", resume, table, RUNS, writes=REPORTS),
        Trial("resume, another mode", lambda p: resume(p, "--modes", "full"), Accepted(), RUNS, writes=(cell,)),
        Trial("eval", play, same_as(shop, "adapter"), RUNS),
        Trial("eval, no results", play, same_as(shop, "adapter"), RUNS, lambda p: (CELL / "results.json").unlink()),
        Trial("a user's own folder", report, table, RUNS, lambda p: (RUN / "notes").mkdir(), REPORTS),
        Trial("a user's own file", report, table, RUNS, lambda p: (CELL / "my.txt").write_text("mine"), REPORTS),
        Trial("results in one line", report, table, RUNS, lambda p: rewrite(CELL / "results.json"), REPORTS),
        Trial("moved", lambda p: p.transfer("show", "elsewhere", "--json"), Accepted(json.loads), RUNS, move),
        Trial("through a link", lambda p: p.transfer("report", "link"), Accepted(), RUNS, link_to_run, REPORTS),
        Trial("a stopped run goes on", finish, Accepted(equal_bytes(shop)), RUNS, writes=(f"work/{STOPPED}/",)),
    ]  # fmt: skip
    return rng.choice(trials)


def link_to_run(place: Place) -> None:
    """A link of the user's own beside the runs."""
    (place.work / "link").symlink_to(RUN)


def rewrite(file: Path, edit: Edit | None = None) -> None:
    """Edit a JSON file, or write it in one line."""
    content = json.loads(file.read_text(encoding="utf-8"))
    if edit is not None:
        edit(content)
    file.write_text(json.dumps(content, indent=None if edit is None else 1), encoding="utf-8")
