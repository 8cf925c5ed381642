"""Trunks, adapters and MLPs that were damaged or edited, signed again so that the value itself is judged."""

from __future__ import annotations

import hashlib
import json
import random
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.campaign.edits import DAMAGE, JSON_DAMAGE, Edit, Keys, wrong_edit
from tests.campaign.engine import Accepted, Refused, Trial
from tests.campaign.sandbox import Place
from tests.campaign.shop import RUNS, facts

RUN = Path("runs/good")
HOMES = {"trunk": RUN / "trunk/0/trunk", "adapter": RUN / "embeddings/0/adapter", "mlp": RUN / "mlp/0/mlp"}
PLAYED = {"trunk": "embeddings", "adapter": "embeddings", "mlp": "mlp"}
# Provenance and labels: read by people, decide nothing.
FREE = ("library", "record", "checksum", "fingerprint", "tensors")
PAYLOAD = "import pathlib\npathlib.Path('canary').touch()\ndef boom(*args, **kwargs):\n    raise RuntimeError('boom')\n"
# Environments of a file that name code of their own.
CODE: dict[str, dict[str, Any]] = {
    "a module of the working folder": {"entry_point": "evil:boom"},
    "a module of the working folder, unknown id": {"id": "Evil-v0", "entry_point": "evil:boom"},
    "an id with a module": {"id": "evil:Evil-v0", "entry_point": None},
    "a function of the system": {"entry_point": "os:system", "kwargs": {"command": "touch canary"}},
    "a function of the system, unknown id": {
        "id": "Evil-v0", "entry_point": "os:system", "kwargs": {"command": "touch canary"},
    },
    "a class of subprocess": {"entry_point": "subprocess:Popen", "kwargs": {"args": ["touch", "canary"]}},
    "a vector entry point": {"vector_entry_point": "evil:boom", "id": "Evil-v0", "entry_point": "evil:boom"},
    "a wrapper": {
        "additional_wrappers": [{"name": "Evil", "entry_point": "evil:boom", "kwargs": {}}],
    },
    "a wrapper of Gymnasium's name": {
        "additional_wrappers": [{"name": "ClipAction", "entry_point": "evil:boom", "kwargs": {}}],
    },
}  # fmt: skip


def make(rng: random.Random, shop: Path) -> Trial:
    """Damage, an edit without a new signature, an edit with one, code, tensors, or nothing that matters."""
    part, kind = rng.choice(list(HOMES)), rng.random()
    if kind < 0.36:
        return harmless(rng, shop, part)
    if kind < 0.46:
        return damaged(rng, part)
    if kind < 0.52:
        return unsigned(rng, shop, part)
    if kind < 0.58:
        return code(rng, rng.choice(("adapter", "mlp")))
    if kind < 0.70:
        return tensors(rng, part)
    return edited(rng, shop, part)


def play(part: str, place: Place, *more: object) -> dict[str, Any]:
    """Two episodes of the policy that a part belongs to."""
    path = RUN / PLAYED[part] / "0"
    played: dict[str, Any] = json.loads(place.transfer("eval", path, "--episodes", 2, "--json", *more))
    return played["evaluations"][0]


def same_as(shop: Path, part: str) -> Accepted:
    """The episodes of the policy when it was whole."""
    wanted = facts(shop)[PLAYED[part]]["evaluations"][0]

    def check(played: dict[str, Any]) -> None:
        for key in ("returns", "lengths", "target_return"):
            assert played[key] == wanted[key], f"{key}: {played[key]}, not {wanted[key]}"

    return Accepted(check)


def damaged(rng: random.Random, part: str) -> Trial:
    """A file that is not whole, or not there."""
    suffix = rng.choice((".json", ".safetensors"))
    kinds = DAMAGE | (JSON_DAMAGE if suffix == ".json" else {})
    name, file = rng.choice(list(kinds)), HOMES[part] / f"{part}{suffix}"
    return Trial(
        f"{file.name}: {name}",
        lambda place: play(part, place),
        Refused(),
        RUNS,
        lambda place: kinds[name](place.work / file),
    )


def unsigned(rng: random.Random, shop: Path, part: str) -> Trial:
    """Any other value under the old signature."""
    edit = wrong_edit(rng, read(shop / "work" / HOMES[part], part), lambda keys: False)
    return Trial(
        f"{part}.json, not signed: {edit}",
        lambda place: play(part, place),
        Refused(),
        RUNS,
        lambda place: rewrite(HOMES[part], part, edit, sign=False),
    )


def edited(rng: random.Random, shop: Path, part: str) -> Trial:
    """A value that is none, under a signature that fits."""
    content = read(shop / "work" / HOMES[part], part)
    edit = wrong_edit(rng, content, free) if rng.random() < 0.6 else rng.choice(list(impossible(content)))
    return Trial(
        f"{part}.json: {edit}",
        lambda place: play(part, place),
        Refused(),
        RUNS,
        lambda place: rewrite(HOMES[part], part, edit),
    )


def free(keys: Keys) -> bool:
    """Whether a place may say what it likes."""
    labels = "gym_spec" in keys or keys[-1] in ("name", "table")
    return keys[0] in FREE or labels or keys == ("statistics", "calibration")


def impossible(content: dict[str, Any]) -> list[Edit]:
    """Numbers that are numbers, and cannot be right."""
    found = [Edit(("format",), 0), Edit(("format",), 99)]
    sizes: list[Keys] = [("width",), ("depth",), ("hidden",), ("config", "width"), ("config", "depth")]
    sizes += [("config", "heads"), ("environment", "state_size"), ("environment", "action_size")]
    sizes += [("environment", "max_episode_steps"), ("context",)]
    sizes += [("config", "action", "bins"), ("arguments", "action", "tokenizer", "bins")]
    sizes += [("arguments", "action", "width"), ("arguments", "action", "action_size")]
    sizes += [("arguments", "state", "width"), ("arguments", "state", "state_size")]
    for keys in sizes:
        if there(content, keys):
            most = () if keys[-1] == "max_episode_steps" else (10**7,)  # long episodes are no harm
            found += [Edit(keys, value) for value in (0, -1, *most, 10**18, 1.5)]
    if "environment" in content:
        specs = ("", "{", "[]", "{}", '{"id": 5}', "null", "[" * 5000 + "]" * 5000)
        found += [Edit(("environment", "gym_spec"), spec) for spec in specs]
        found += [Edit(("environment", "reference", "maximum"), -1e9), Edit(("environment", "slices", 0, "size"), 16)]
    if content.get("config", {}).get("dropout") is not None:
        found += [Edit(("config", "dropout"), 1), Edit(("config", "dropout"), -0.1)]
    return found


def there(content: dict[str, Any], keys: Keys) -> bool:
    """Whether a JSON has a place."""
    inner: Any = content
    for key in keys:
        if not isinstance(inner, dict) or key not in inner:
            return False
        inner = inner[key]
    return True


def code(rng: random.Random, part: str) -> Trial:
    """A spec that names code is refused, and nothing of it runs."""
    name = rng.choice(list(CODE))

    def prepare(place: Place) -> None:
        (place.work / "evil.py").write_text(PAYLOAD, encoding="utf-8")
        spec = read(HOMES[part], part)["environment"]["gym_spec"]
        rewrite(HOMES[part], part, Edit(("environment", "gym_spec"), json.dumps(json.loads(spec) | CODE[name])))

    return Trial(f"{part}.json names code: {name}", lambda place: play(part, place), Refused(), RUNS, prepare)


TENSORS = ("nan", "inf", "float64", "float16", "transposed", "a row more", "a row less", "missing", "extra", "renamed")


def tensors(rng: random.Random, part: str) -> Trial:
    """Tensors that are not those of the JSON, or hold numbers that are none; signed again where that can be done."""
    kind, place_in_file = rng.choice(TENSORS), rng.random()

    def prepare(place: Place) -> None:
        import torch
        from safetensors.torch import load_file, save_file

        file = HOMES[part] / f"{part}.safetensors"
        found = load_file(file)
        names = [name for name in sorted(found) if found[name].dim() == 2] or sorted(found)
        name = names[int(place_in_file * len(names))]
        value = found.pop(name)
        if kind in ("nan", "inf"):
            value[(0,) * value.dim()] = float(kind)
        new = {
            "float64": value.double(), "float16": value.half(), "transposed": value.mT.contiguous(),
            "a row more": torch.cat([value, value[:1]]), "a row less": value[1:].clone(),
        }.get(kind, value)  # fmt: skip
        found |= {} if kind == "missing" else {f"{name}.x" if kind == "renamed" else name: new}
        found |= {"extra": torch.zeros(1)} if kind == "extra" else {}
        save_file(found, file)
        sign(HOMES[part], part)

    return Trial(f"{part}.safetensors: {kind}", lambda place: play(part, place), Refused(), RUNS, prepare)


def harmless(rng: random.Random, shop: Path, part: str) -> Trial:
    """Changes that change nothing."""
    changes: dict[str, Callable[[Place], object]] = {
        "as it is": lambda place: None,
        "written in one line": lambda place: rewrite(HOMES[part], part, indent=None),
        "keys in another order": lambda place: rewrite(HOMES[part], part, reverse=True),
        "of another version of the library": lambda place: rewrite(HOMES[part], part, Edit(("library",), "9.9.9")),
        "a file of its user beside it": lambda place: (HOMES[part] / "thesis.txt").write_text("mine"),
        "loaded and saved": lambda place: save_again(HOMES[part], part),
    }
    name = rng.choice(list(changes))
    return Trial(f"{part}: {name}", lambda place: play(part, place), same_as(shop, part), RUNS, changes[name])


def read(home: Path, part: str) -> dict[str, Any]:
    """The JSON of a checkpoint."""
    content: dict[str, Any] = json.loads((home / f"{part}.json").read_text(encoding="utf-8"))
    return content


def rewrite(
    home: Path, part: str, edit: Edit | None = None, indent: int | None = 1, reverse: bool = False, sign: bool = True
) -> None:
    """Edit the JSON of a checkpoint; with `sign` its checksum and fingerprint are those of what it says then."""
    content = read(home, part)
    if edit is not None:
        edit(content)
    if reverse:
        content = dict(reversed(content.items()))
    (home / f"{part}.json").write_text(json.dumps(content, indent=indent), encoding="utf-8")
    if sign and edit is not None:
        globals()["sign"](home, part, indent)


def loaded(home: Path, part: str) -> Any:
    """What a checkpoint holds."""
    from transfer import Adapter, Trunk
    from transfer.models.mlp import MLPPolicy

    return {"trunk": Trunk, "adapter": Adapter, "mlp": MLPPolicy}[part].load(home)  # type: ignore[attr-defined]


def save_again(home: Path, part: str) -> None:
    """Load and save in place."""
    loaded(home, part).save(home)


def sign(home: Path, part: str, indent: int | None = 1) -> None:
    """Make hashes, checksum and fingerprint those of the files, as whoever edits them on purpose would do."""
    from transfer import TransferError
    from transfer.storage.pairs import checksum

    content = read(home, part)
    tensors = home / f"{part}.safetensors"
    for _ in range(2):  # the fingerprint is known when the rest fits
        content["tensors"] = hashlib.sha256(tensors.read_bytes()).hexdigest()
        content["checksum"] = checksum(content)
        (home / f"{part}.json").write_text(json.dumps(content, indent=indent), encoding="utf-8")
        try:
            loaded(home, part)
        except TransferError as error:
            others = set(re.findall(r"\b[0-9a-f]{64}\b", str(error))) - {content["fingerprint"]}
            content["fingerprint"] = others.pop() if len(others) == 1 else content["fingerprint"]
        except Exception:  # the trial meets it again, and there it counts
            return
