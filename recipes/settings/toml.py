"""Read TOML; whatever is wrong with a file is one TransferError that names it."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from transfer.errors import TransferError
from transfer.storage.files import read_text

LARGEST = 200_000  # bytes; the presets have 4,000
DEEPEST = 8  # tables and lists inside each other; settings need 3
DOTS = 50  # in a line; the time that tomllib takes for a dotted key grows with the square of its parts


def read_toml(path: Path) -> str:
    """The text of a TOML file; a byte-order mark is left out.

    Raises:
        TransferError: see `transfer.storage.files.read_text`.
    """
    return read_text(path, LARGEST, "utf-8-sig")


def parse_toml(text: str, name: str) -> dict[str, Any]:
    """TOML text as a table; `name` says where it is from, for errors.

    Raises:
        TransferError: not valid TOML, or nested deeper than settings are.
    """
    deep = any(line.count(".") > DOTS for line in text.split("\n") if not line.lstrip().startswith("#"))
    try:
        table = {} if deep else tomllib.loads(text)
        deep = deep or _depth(table) > DEEPEST
    except RecursionError:
        deep = True
    except ValueError as error:  # TOMLDecodeError, and numbers of thousands of digits
        raise TransferError(f"{name} is not valid TOML: {error}") from None
    if deep:
        raise TransferError(f"{name} is nested deeper than settings are.")
    return table


def _depth(content: object) -> int:
    """The number of tables and lists inside each other."""
    if not isinstance(content, dict | list):
        return 0
    return 1 + max(map(_depth, content.values() if isinstance(content, dict) else content), default=0)
