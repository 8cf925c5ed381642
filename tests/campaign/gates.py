"""The check of the checker: with one gate of the library open, an input that it has to stop must count as a failure."""

from __future__ import annotations

import importlib
import random
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tests.campaign.engine import Trial, judge
from tests.campaign.families import FAMILIES


@dataclass(frozen=True)
class Gate:
    """A function of the library that stops what is wrong.

    Attributes:
        place: module and name of the function, or of a method.
        instead: takes its place and stops nothing.
        family: of the inputs that it has to stop.
        words: in the names of those inputs.
    """

    place: str
    instead: Callable[..., Any]
    family: str
    words: str

    def open(self) -> None:
        """Take it out, in every module that has imported it."""
        module, _, name = self.place.partition(":")
        owner: Any = importlib.import_module(module)
        *path, last = name.split(".")
        for part in path:
            owner = getattr(owner, part)
        shut = getattr(owner, last)
        setattr(owner, last, self.instead)
        for other in [one for key, one in sys.modules.items() if key.partition(".")[0] == "transfer"]:
            for key, value in list(vars(other).items()):
                if value is shut:
                    setattr(other, key, self.instead)


def itself(value: Any, *given: Any, **more: Any) -> Any:
    """Whatever it is."""
    return value


def nothing(*given: Any, **more: Any) -> None:
    """No complaint."""


def first_number(value: Any) -> float:
    """One of however many there are."""
    return float(np.ravel(value)[0])


def array(values: Any, name: str, ndim: int | None = None, dtype: Any = np.float32) -> Any:
    """What NumPy makes of it."""
    return np.array(values, dtype)


def unread(key: str, value: Any, wanted: object) -> Any:
    """The value of a TOML key as it stands there."""
    return value


def own_checksum(content: dict[str, Any]) -> Any:
    """The one that is written there."""
    return content.get("checksum")


def any_spec(gym_spec: str, trust: bool = False) -> Any:
    """The spec as the file says."""
    from transfer.data.environment.building.trust import parsed

    return parsed(gym_spec)


ENVIRONMENT, RESUME, SETTINGS = "transfer.data.environment", "transfer.training.resume", "transfer.recipes.settings"
GATES: dict[str, Gate] = {
    "whole numbers": Gate("transfer.numbers:whole", itself, "library", "TrainConfig(steps=2.5"),
    "real numbers": Gate("transfer.numbers:real", itself, "library", "TrainConfig(lr=nan"),
    "flags": Gate("transfer.numbers:flag", itself, "library", "build_adapter(tuning=3"),
    "arrays": Gate("transfer.data.arrays:own", array, "arrays", "states: masked"),
    "finite numbers": Gate("transfer.data.packed:check_finite", nothing, "arrays", "states: nan"),
    "paths": Gate("transfer.storage.files:as_path", lambda value, name="": Path(value), "paths", "Trunk.save: nothing"),
    "home folders": Gate("transfer.storage.files:as_path", lambda value, name="": Path(value), "paths", ": home"),
    "checksum of the JSON": Gate("transfer.storage.pairs:checksum", own_checksum, "checkpoints", "not signed: record"),
    "the adapter's trunk": Gate("transfer.models.adapter:check_pair", nothing, "command line", "--trunk other"),
    "one body": Gate(f"{ENVIRONMENT}.belonging:check_body", nothing, "library", "evaluate(env='HalfCheetah-v5')"),
    "trust": Gate(f"{ENVIRONMENT}.building.trust:allowed", any_spec, "checkpoints", "of the system, unknown id"),
    "declared sizes": Gate(
        "transfer.envs.minari.hdf5:CheckedArrays._check", nothing, "datasets", "load: observations, bytes of"
    ),
    "targets": Gate("transfer.evaluation.targets:real", itself, "targets", "target_return=nan"),
    "answers of environments": Gate(
        f"{ENVIRONMENT}.answers:reward", first_number, "environments", "rewards of two agents"
    ),
    "types of results": Gate(f"{SETTINGS}.schema:refuse", nothing, "run folders", "results.json: versions"),
    "whose state it is": Gate(f"{RESUME}:_check_head", nothing, "run folders", "state.json, signed: identity."),
    "types of TOML": Gate("transfer.recipes.settings.typed:convert", unread, "toml", "run.compile = 0"),
}  # fmt: skip


def caught(gate: Gate, shop: Path, seed: int, tries: int = 3) -> tuple[str, str]:
    """An input that fails when the gate is open and not when it is shut, and how; "" and why there is none."""
    why = "no such input"
    for name, trial in inputs(gate, shop, seed, tries):
        opened = judge(trial, shop, gate.open)
        if opened.faults.keys() - {"not made"} and not judge(trial, shop).faults:
            return f"{name}: {trial.name}", ", ".join(opened.faults)
        why = f"{trial.name}: {opened.faults or 'right'} when it is open"
    return "", why


def inputs(gate: Gate, shop: Path, seed: int, count: int) -> Iterator[tuple[str, Trial]]:
    """The first inputs that a gate has to stop."""
    found = 0
    for number in range(20_000):
        name = f"{gate.family}/{number}"
        trial = FAMILIES[gate.family](random.Random(f"{seed}/{name}"), shop)
        if gate.words in trial.name:
            yield name, trial
            found += 1
            if found == count:
                return
