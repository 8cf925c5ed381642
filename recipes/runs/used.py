"""The `[used]` table of a run's config.toml: the datasets of each body, the hash of their content, names of sources.

`[source]` and `[target]` are what the user asked for. `[used]` is written by the run and is no setting: a run that goes
on reads the same data, a new run looks for its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tomli_w

from transfer.errors import TransferError
from transfer.recipes.programs.source_names import check_name
from transfer.recipes.settings.schema import Names, Schema
from transfer.recipes.settings.toml import parse_toml, read_toml

TARGET = "target"
COMMENT = "# The data that this run trains on and their content, written by the run.\n"


def source_key(number: int, count: int) -> str:
    """The key of one of several sources, counted from 0, or of one alone: "source", or "source.2" for the second."""
    return "source" if count == 1 else f"source.{number + 1}"


@dataclass(frozen=True)
class Used(Schema):
    """Names of the datasets of a body, and `transfer.data.episodes.Episodes.content_hash` of what is trained on.

    Filtered, drawn and held-out episodes are left out of the hash before it is taken. `name` is that of a source, which
    its adapter has; "" for the target, and in files of older versions.
    """

    data: Names
    content: str
    name: str = ""

    def __post_init__(self) -> None:
        """Raises TransferError for a name that is no name of a source."""
        if self.name:
            check_name(self.name)

    def to_json(self) -> dict[str, Any]:
        """Plain values; `from_json` restores an equal object."""
        return {key: value for key, value in super().to_json().items() if key != "name" or value}


def dump_used(used: Mapping[str, Used]) -> str:
    """The table as TOML text, "" for none. Its keys are "target" and those of `source_key`."""
    tables: dict[str, Any] = {}
    for key, one in used.items():
        name, dot, number = key.partition(".")
        tables[name] = {**tables.get(name, {}), number: one.to_json()} if dot else one.to_json()
    return f"\n{COMMENT}{tomli_w.dumps({'used': tables})}" if tables else ""


def read_used(config: Path) -> dict[str, Used]:
    """The table of a config.toml by key, empty where there is none.

    Raises:
        TransferError: the file is damaged, or the table was edited.
    """
    if not config.is_file():
        return {}
    values = parse_toml(read_toml(config), str(config)).get("used", {})
    try:
        return {key: Used.from_json(one, f"[used.{key}] in {config}") for key, one in _entries(values, config)}
    except TransferError as error:
        raise TransferError(f"{error} Start the run anew under another --name.") from error


def source_names(config: Path) -> list[str]:
    """The names of the sources of a run, as its config.toml has them; none where it pretrains nothing, or is older.

    Raises:
        TransferError: as `read_used`.
    """
    names = [one.name for key, one in read_used(config).items() if key != TARGET]
    return names if all(names) else []


def _entries(values: Any, config: Path) -> list[tuple[str, Any]]:
    """The tables by key; those of several sources lie in one."""
    if not isinstance(values, dict) or values.keys() - {"source", TARGET}:
        raise TransferError(f"[used] in {config} was edited: it holds source and target.")
    found: list[tuple[str, Any]] = []
    for name, one in values.items():
        numbered = name == "source" and isinstance(one, dict) and one and all(key.isdecimal() for key in one)
        found += [(f"{name}.{number}", each) for number, each in one.items()] if numbered else [(name, one)]
    return found
