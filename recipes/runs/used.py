"""The `[used]` table of a run's config.toml: the datasets of each section, and the hash of their content.

`[source]` and `[target]` are what the user asked for. `[used]` is written by the run and is no setting: a run that goes
on reads the same data, a new run looks for its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import tomli_w

from transfer.errors import TransferError
from transfer.recipes.settings.schema import Names, Schema
from transfer.recipes.settings.toml import parse_toml, read_toml

SECTIONS = ("source", "target")
COMMENT = "# The data that this run trains on and their content, written by the run.\n"


@dataclass(frozen=True)
class Used(Schema):
    """Names of the datasets of a section, and `transfer.data.episodes.Episodes.content_hash` of their episodes."""

    data: Names
    content: str


@dataclass(frozen=True)
class UsedTable(Schema):
    """The whole table; a section that a run has no data of is missing."""

    source: Used | None = None
    target: Used | None = None


def dump_used(used: Mapping[str, Used]) -> str:
    """The table as TOML text, "" for none."""
    sections = {name: one.to_json() for name, one in used.items()}
    return f"\n{COMMENT}{tomli_w.dumps({'used': sections})}" if sections else ""


def read_used(config: Path) -> dict[str, Used]:
    """The table of a config.toml by section, empty where there is none.

    Raises:
        TransferError: the file is damaged, or the table was edited.
    """
    if not config.is_file():
        return {}
    values = parse_toml(read_toml(config), str(config)).get("used", {})
    try:
        table = UsedTable.from_json(values, f"[used] in {config}")
    except TransferError as error:
        raise TransferError(f"{error} Start the run anew under another --name.") from error
    return {name: getattr(table, name) for name in values}
