"""The `[used]` table of a run's config.toml: which data each section came to mean, and what was in them.

`[source]` and `[target]` keep what was asked for. `[used]` is written by the run and is no setting: a run that goes on
is bound by it, a new run looks for itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import tomli_w

from transfer.errors import TransferError
from transfer.recipes.settings.toml import parse_toml, read_toml

SECTIONS = ("source", "target")
COMMENT = "# The data that this run trains on and their content, written by the run.\n"


@dataclass(frozen=True)
class Used:
    """The data that a section of a run means.

    Attributes:
        data: names of the datasets.
        content: hash of the episodes, see `transfer.data.episodes.Episodes.content_hash`.
    """

    data: tuple[str, ...]
    content: str


def dump_used(used: Mapping[str, Used]) -> str:
    """The table as TOML text, "" for none."""
    sections = {name: {"data": list(one.data), "content": one.content} for name, one in used.items()}
    return f"\n{COMMENT}{tomli_w.dumps({'used': sections})}" if sections else ""


def read_used(run: Path) -> dict[str, Used]:
    """The table of a run folder by section. Raises TransferError as `used_in`."""
    return used_in(run / "config.toml")


def used_in(path: Path) -> dict[str, Used]:
    """The table of a config.toml by section, empty where there is none.

    Raises:
        TransferError: the file is damaged, or the table was edited.
    """
    if not path.is_file():
        return {}
    table = parse_toml(read_toml(path), str(path)).get("used", {})
    if not isinstance(table, dict) or not set(table) <= set(SECTIONS):
        raise edited(path)
    return {name: read_section(path, values) for name, values in table.items()}


def read_section(path: Path, values: object) -> Used:
    """One section of the table. Raises TransferError as `read_used`."""
    if not isinstance(values, dict) or set(values) != {"data", "content"}:
        raise edited(path)
    data, content = values["data"], values["content"]
    if not isinstance(data, list) or not data or not all(isinstance(one, str) for one in [*data, content]):
        raise edited(path)
    return Used(tuple(data), content)


def edited(path: Path) -> TransferError:
    """The error for a table that no run wrote."""
    return TransferError(
        f"{path} was edited: [used] is not as a run writes it. Start the run anew under another --name."
    )
