"""Names of the runs of a matrix, which are names of folders too, and of the bodies in them.

They are made of the settings alone, so that they are the same on every machine, whatever data lie there.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from transfer.envs.dataset_ids import BUNDLED
from transfer.envs.minari.remote import REMOTE
from transfer.recipes.programs.source_names import default_name
from transfer.recipes.settings.config import section_table
from transfer.recipes.settings.sections import DataConfig
from transfer.registry import PartSpec

LONGEST = 100
"""Characters of a label: with the folders of a run inside, far below what file systems take."""
DETAILS = 4
"""Names of a body: its environment, the level of its data too, whole names of data, and a hash of its settings too."""


class Place(NamedTuple):
    """Where a run lies in a matrix; "" and None for what is no coordinate of it."""

    source: str
    target: str
    method: str
    size: int | None
    axes: Mapping[str, Any]


def labels_of(runs: Sequence[Place]) -> list[str]:
    """The names of some runs, each another one where letters are compared without their case, too."""
    plain = [_label(one) for one in runs]
    count = Counter(name.lower() for name in plain)
    return [
        _hashed(name, one) if count[name.lower()] > 1 or len(name) > LONGEST else name
        for name, one in zip(plain, runs, strict=True)
    ]


def _label(one: Place) -> str:
    words = [f"{one.source}-to-{one.target}" if one.source else one.target, *filter(None, [one.method])]
    if one.size is not None:
        words.append(f"{one.size or 'all'}-episodes")
    words += [f"{key}={_text(value)}" for key, value in one.axes.items()]
    return re.sub(r"[^A-Za-z0-9_.,=+-]+", "-", "-".join(words)).rstrip(".-")


def _hashed(name: str, one: Place) -> str:
    return f"{name[: LONGEST - 9]}-{_short_hash(one, 8)}"


def _short_hash(value: object, length: int) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:length]


def _text(value: Any) -> str:
    """A value of an axis in a name."""
    if isinstance(value, Mapping):
        return ",".join(f"{key}={_text(one)}" for key, one in value.items())
    if isinstance(value, list | tuple):
        return ",".join(map(_text, value))
    return str(value).lower() if isinstance(value, bool) else str(value)


def source_names(entries: Sequence[tuple[DataConfig, ...]]) -> list[str]:
    """The names of some trunks by their bodies, as "hopper+walker2d"; "" for one without data."""
    return _apart(entries, lambda bodies, detail: "+".join(filter(None, (body_name(one, detail) for one in bodies))))


def target_names(entries: Sequence[DataConfig]) -> list[str]:
    """The names of some targets; those that differ in their number of episodes alone have one name."""
    return _apart([replace(one, episodes=0) for one in entries], body_name)


def method_names(specs: Sequence[PartSpec]) -> list[str]:
    """The names of some methods: their kinds, with the options where a kind is there twice."""
    return _apart(
        specs, lambda spec, detail: spec.kind + (f",{_text(spec.options)}" if detail and spec.options else "")
    )


def origin_name(origin: str) -> str:
    """The name of the run that a trunk is taken from (`pretrain.from`): "" for none."""
    path = Path(origin)
    seed = path.name.isdigit() and path.parent.name == "trunk"
    return default_name((path.parents[1] if seed else path).name) if origin else ""


def _apart(entries: Sequence[Any], name: Callable[[Any, int], str]) -> list[str]:
    """A name for each entry, the shortest that tells it from those that are not equal to it."""
    details = [0] * len(entries)
    while True:
        names = [name(one, detail) for one, detail in zip(entries, details, strict=True)]
        alike = [
            number
            for number, one in enumerate(entries)
            if details[number] < DETAILS - 1
            and any(names[number].lower() == other.lower() and one != entries[at] for at, other in enumerate(names))
        ]
        if not alike:
            return names
        for number in alike:
            details[number] += 1


def body_name(body: DataConfig, detail: int = 0) -> str:
    """The name of a body, in one of `DETAILS`."""
    datasets = [one.strip() for item in body.data or (body.fallback,) for one in item.split(",") if one.strip()]
    if not datasets:
        return ""
    parts = [_parts(one) for one in datasets]
    own = getattr(body, "name", "") or re.sub(r"-v\d+$", "", body.env.rpartition(":")[2])
    levels = [level for _, level in parts if level]
    words = [own, *datasets] if detail == 2 else [own or parts[0][0], *(levels if detail else [])]
    hashed = [_short_hash(section_table(body), 6)] if detail == DETAILS - 1 else []
    return default_name("-".join(filter(None, [*words, *hashed])))


def _parts(dataset: str) -> tuple[str, str]:
    """The short name of the environment of a dataset, and its level; that is "" where the name tells none."""
    words = re.sub(r"-v\d+$", "", dataset).split("/")
    if dataset in BUNDLED:
        return words[0], words[1]
    if len(words) < 3:
        return "-".join(words), ""
    return REMOTE.get(dataset) or words[-2], words[-1]
