"""Paths as people type them, on every road that takes one: where it has to lead, or that it is none."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.campaign.engine import Accepted, Refused, Trial
from tests.campaign.library_calls import RUN, Kit
from tests.campaign.sandbox import Place
from tests.campaign.shop import RUNS


class Like:
    """Somebody's own kind of path."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __fspath__(self) -> str:
        return self.text


# Path as given -> where it leads, below the place.
RIGHT: dict[str, tuple[Any, str]] = {
    "text": ("new", "work/new"),
    "a Path": (Path("new"), "work/new"),
    "a kind of path": (Like("new"), "work/new"),
    "home": ("~/new", "home/new"),
    "home, as a Path": (Path("~/new"), "home/new"),
    "new folders above": ("a/b/c/new", "work/a/b/c/new"),
    "up and down": ("runs/../new", "work/new"),
    "a slash behind": ("new/", "work/new"),
    "blanks": ("my new trunk", "work/my new trunk"),
    "other scripts": ("Größe-大きさ", "work/Größe-大きさ"),
    "a dot in front": (".new", "work/.new"),
    "a folder with files of the user": ("full", "work/full"),
    "the working folder": (".", "work"),
    "a link to a folder": ("link", "work/full"),
    "below a link": ("link/new", "work/full/new"),
}
WRONG: dict[str, Any] = {
    "nothing": "",
    "a NUL": "a\0b",
    "a number": 3,
    "None": None,
    "bytes": b"new",
    "a list": ["new"],
    "half a letter": "\ud800",
    "a file": "tiny.toml",
    "below a file": "tiny.toml/new",
    "a name that is too long": "x" * 300,
    "a path that is too long": "/".join(["x" * 200] * 40),
    "below a device": "/dev/null/new",
    "in /proc": "/proc/new",
    "a link to itself": "loop/new",
    "the home of nobody": "~no_such_user/new",
}
THESIS = "full/thesis.txt"


def prepare(place: Place) -> None:
    """A folder with something in it, and links."""
    (place.work / "full").mkdir()
    (place.work / THESIS).write_text("mine")
    (place.work / "link").symlink_to("full")
    (place.work / "loop").symlink_to("loop")


def make(rng: random.Random, shop: Path) -> Trial:
    """Saving, loading and the command, with a path that leads somewhere or nowhere."""
    if rng.random() < 0.45:
        name, part = rng.choice(list(RIGHT)), rng.choice(("trunk", "adapter"))
        given, leads = RIGHT[name]
        road = rng.choice((there_and_back, where_a_shell_looks))
        shown = f"{part}, {road.__name__}: {name}"
        own = tuple(f"{leads}/{file}" for file in ("", f"{part}.json", f"{part}.safetensors"))
        wants = Accepted(arrived(part, leads))
        return Trial(shown, lambda place: road(part, given), wants, RUNS, prepare, (*own, "work/a/"))
    name, road = rng.choice(list(WRONG)), rng.choice(list(ROADS))
    if (name, road) == ("in /proc", "transfer report --out"):  # refused when it is written to: the table is out by then
        return make(rng, shop)
    if (name, road) == ("a file", "transfer show"):  # a file of settings is shown
        return make(rng, shop)
    if (isinstance(WRONG[name], str) and name != "a NUL") or road in TYPED:
        return Trial(f"{road}: {name}", lambda place: ROADS[road](place, WRONG[name]), Refused(), RUNS, prepare)
    return make(rng, shop)  # a shell gives text alone, without NUL


def there_and_back(part: str, path: Any) -> str:
    """Save, then load from the same path; the fingerprint."""
    from transfer import Adapter, Trunk, fingerprint

    getattr(Kit(), part).save(path)
    return fingerprint({"trunk": Trunk, "adapter": Adapter}[part].load(path))  # type: ignore[attr-defined]


def where_a_shell_looks(part: str, path: Any) -> str:
    """Save; it lies where a shell would look for it."""
    from transfer import fingerprint

    getattr(Kit(), part).save(path)
    folder = Path(os.path.expanduser(os.fspath(path)))
    assert (folder / f"{part}.json").is_file(), sorted(folder.iterdir())
    return fingerprint(getattr(Kit(), part))


def arrived(part: str, leads: str) -> Callable[[str], None]:
    """A check that it lies where the path leads, and that everything of the user is as it was."""

    def check(found: str) -> None:
        from transfer import fingerprint

        assert found == fingerprint(getattr(Kit(), part))
        home = Path("..") / leads
        assert {f"{part}.json", f"{part}.safetensors"} <= {file.name for file in home.iterdir()}
        assert Path(THESIS).read_text() == "mine" and Path("link").is_symlink() and not Path("~").exists()
        assert (home / f"{part}.json").stat().st_mode == (home / f"{part}.safetensors").stat().st_mode

    return check


def load(name: str) -> Callable[[Place, Any], Any]:
    """Loading of one kind."""

    def road(place: Place, path: Any) -> Any:
        import transfer
        from transfer.models.mlp import MLPPolicy

        return (MLPPolicy if name == "MLPPolicy" else getattr(transfer, name)).load(path)

    return road


def adapt(place: Place, path: Any) -> Any:
    """A training that keeps its state there."""
    from transfer import adapt

    kit = Kit()
    return adapt(kit.trunk, kit.episodes, config=kit.tiny, checkpoint=path)


ROADS: dict[str, Callable[[Place, Any], Any]] = {
    "Trunk.save": lambda place, path: Kit().trunk.save(path),
    "Adapter.save": lambda place, path: Kit().adapter.save(path),
    "Trunk.load": load("Trunk"),
    "Adapter.load": load("Adapter"),
    "MLPPolicy.load": load("MLPPolicy"),
    "adapt, checkpoint": lambda place, path: adapt(place, "" if path is None else path),
    "transfer eval": lambda place, path: place.transfer("eval", path, "--episodes", 1),
    "transfer eval --trunk": lambda p, path: p.transfer("eval", RUN / "embeddings/0", "--episodes", 1, "--trunk", path),
    "transfer show": lambda place, path: place.transfer("show", path),
    "transfer report": lambda place, path: place.transfer("report", path),
    "transfer report --out": lambda place, path: place.transfer("report", RUN, "--out", path),
    "transfer run --runs-dir": lambda place, path: place.transfer("run", "tiny.toml", "--runs-dir", path),
    "transfer cp": lambda place, path: place.transfer("cp", "hopper-to-walker2d", path),
}
TYPED = ("Trunk.save", "Adapter.save", "Trunk.load", "Adapter.load", "MLPPolicy.load", "adapt, checkpoint")
