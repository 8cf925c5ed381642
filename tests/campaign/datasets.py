"""Minari datasets whose metadata, arrays or cache were edited: the loader and `data check` have to agree on them."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path

import h5py

from tests.campaign.checkpoints import CODE, PAYLOAD
from tests.campaign.edits import DAMAGE, JSON_DAMAGE, Edit, wrong_edit
from tests.campaign.engine import Accepted, Either, Refused, Trial
from tests.campaign.hdf5_edits import SAME, WRONG, Change
from tests.campaign.sandbox import Place
from tests.campaign.shop import DATA, OWN, facts

HOME = Path(OWN) / "data"


def make(rng: random.Random, shop: Path) -> Trial:
    """An edit of the arrays, of the metadata or of the cache, or one that changes nothing."""
    return rng.choices((harmless, arrays, metadata, code, cache), (36, 34, 16, 6, 8))[0](rng, shop)


def load(place: Place) -> str:
    """The hash of the arrays, not of what the cache says of them."""
    from transfer import load_episodes
    from transfer.data.packed import content_hash

    episodes = load_episodes(OWN)
    return content_hash({key: getattr(episodes, key) for key in ("states", "actions", "rewards", "offsets")})


def check(place: Place) -> str:
    """What the doctor says; exit code 1 counts as refused."""
    return place.transfer("data", "check", OWN, found=True)


def whole(shop: Path) -> Callable[[str], None]:
    """A check that the hash is the one of the whole data; the doctor's text has none."""
    wanted = facts(shop)["hash"][OWN]

    def same(found: str) -> None:
        assert "\n" in found or found == wanted, f"{found}, not {wanted}"

    return same


def file(change: Change) -> Callable[[Place], None]:
    """A change of the HDF5 file."""

    def prepare(place: Place) -> None:
        with h5py.File(place.data / HOME / "main_data.hdf5", "a") as content:
            change(content)

    return prepare


def arrays(rng: random.Random, shop: Path) -> Trial:
    """The HDF5 file is not whole, or not what the metadata say."""
    act = rng.choice((load, check))
    if rng.random() < 0.2:
        name = rng.choice([name for name in DAMAGE if name != "doubled"])  # HDF5 ends where its first block says
        prepare: Callable[[Place], object] = lambda place: DAMAGE[name](place.data / HOME / "main_data.hdf5")  # noqa: E731
    else:
        name = rng.choice(list(WRONG))
        prepare = file(WRONG[name])
    return Trial(f"{act.__name__}: {name}", act, Refused(), DATA, prepare)


def metadata(rng: random.Random, shop: Path) -> Trial:
    """metadata.json is damaged, or says something else; what a reader has no use for it may ignore."""
    act = rng.choice((load, check))
    path = HOME / "metadata.json"
    if rng.random() < 0.35:
        kinds = {name: one for name, one in (DAMAGE | JSON_DAMAGE).items() if name != "lists a hundred thousand deep"}
        name = rng.choice(list(kinds))
        return Trial(
            f"{act.__name__}, metadata: {name}", act, Refused(), DATA, lambda place: kinds[name](place.data / path)
        )
    content = json.loads((shop / "datasets" / path).read_text(encoding="utf-8"))
    texts = ("", "{", "[]", "null", '{"type": "Discrete", "n": 3}', "[" * 5000 + "]" * 5000)
    if rng.random() < 0.5:
        edit = Edit((rng.choice(("observation_space", "action_space")),), rng.choice(texts))
        wants: Refused | Either = Refused()
    else:
        edit, wants = wrong_edit(rng, content, lambda keys: False), Either(whole(shop))
    return Trial(f"{act.__name__}, metadata: {edit}", act, wants, DATA, lambda place: rewrite(place.data / path, edit))


def code(rng: random.Random, shop: Path) -> Trial:
    """A spec that names code: the arrays may load, and nothing runs."""
    act, name = rng.choice((load, check)), rng.choice(list(CODE))
    key = rng.choice(("env_spec", "eval_env_spec"))
    content = json.loads((shop / "datasets" / HOME / "metadata.json").read_text(encoding="utf-8"))
    edit = Edit((key,), json.dumps(json.loads(content["env_spec"]) | CODE[name]))

    def prepare(place: Place) -> None:
        Path("evil.py").write_text(PAYLOAD, encoding="utf-8")
        rewrite(place.data / HOME / "metadata.json", edit)

    return Trial(f"{act.__name__}, {key} names code: {name}", act, Either(whole(shop)), DATA, prepare)


def cache(rng: random.Random, shop: Path) -> Trial:
    """A packed copy that was cut or edited is noticed: the numbers are those of the dataset."""
    kinds = dict(DAMAGE) | {"one bit": flip}
    name, place_in_list = rng.choice(list(kinds)), rng.random()

    def prepare(place: Place) -> None:
        load(place)
        files = sorted(path for path in (place.root / "cache").rglob("*") if path.suffix in (".npy", ".json"))
        kinds[name](files[int(place_in_list * len(files))])

    return Trial(f"cache: {name}", load, Accepted(whole(shop)), DATA, prepare)


def flip(file: Path) -> None:
    """One bit in the last third is another."""
    content = bytearray(file.read_bytes())
    content[-len(content) // 3] ^= 1
    file.write_bytes(content)


def harmless(rng: random.Random, shop: Path) -> Trial:
    """Changes that change no number."""
    act, path = rng.choice((load, check)), HOME / "metadata.json"
    newer = Edit(("minari_version",), "0.5.3")
    changes: dict[str, Callable[[Place], object]] = {name: file(change) for name, change in SAME.items()} | {
        "metadata in lines": lambda place: rewrite(place.data / path, indent=2),
        "metadata with notes": lambda place: rewrite(place.data / path, Edit(("note",), ["mine"])),
        "metadata of another version of Minari": lambda place: rewrite(place.data / path, newer),
        "a file of its user beside it": lambda place: (place.data / HOME / "thesis.txt").write_text("mine"),
        "packed before": load,
        "datasets behind a link": behind_a_link,
    }  # fmt: skip
    name = rng.choice(list(changes))
    return Trial(f"{act.__name__}: {name}", act, Accepted(whole(shop)), DATA, changes[name])


def behind_a_link(place: Place) -> None:
    """The datasets folder is a link, as on machines with a disk for data."""
    place.data.rename(place.root / "disk")
    place.data.symlink_to(place.root / "disk")


def rewrite(file: Path, edit: Edit | None = None, indent: int | None = None) -> None:
    """Edit the metadata."""
    content = json.loads(file.read_text(encoding="utf-8"))
    if edit is not None:
        edit(content)
    file.write_text(json.dumps(content, indent=indent), encoding="utf-8")
