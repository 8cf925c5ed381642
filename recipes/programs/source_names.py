"""Names of sources, which are names of folders too: those that a user gives, and those made of an environment's."""

from __future__ import annotations

import re
from collections.abc import Iterable

from transfer.errors import TransferError
from transfer.numbers import seen

LONGEST = 80
NAME = re.compile(rf"[A-Za-z0-9_-]{{1,{LONGEST}}}")
# Folders of a policy in MODE/SEED, and what Windows keeps for devices.
TAKEN = {"adapter", "adapters", "trunk", "con", "prn", "aux", "nul"}
TAKEN |= {f"{port}{number}" for port in ("com", "lpt") for number in range(10)}


def check_name(name: object) -> str:
    """A name that a folder can have, on every file system and beside the files of a run.

    Raises:
        TransferError: it is none.
    """
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise TransferError(f"name {seen(name)}: letters, digits, '-' and '_' are needed, {LONGEST} at most")
    if name.lower() in TAKEN:
        raise TransferError(
            f"name {seen(name)} is that of other files of a run, or of a device: choose another, as '{name}-1'"
        )
    return name


def default_name(environment: str) -> str:
    """The name of a source that has none of its own, of that of its environment: "my_ns/Env.b-v0" is my_ns-Env-b-v0."""
    name = re.sub(r"[^A-Za-z0-9_-]+", "-", environment).strip("-")[:LONGEST] or "source"
    return f"{name}-1" if name.lower() in TAKEN else name


def twice(names: Iterable[str]) -> tuple[str, str] | None:
    """Two of some names that are one folder where letters are compared without their case; None where all differ."""
    known: dict[str, str] = {}
    for name in names:
        if name.lower() in known:
            return known[name.lower()], name
        known[name.lower()] = name
    return None
