"""Reading TOML: every way in which a file can be wrong is one TransferError that names it."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from transfer.errors import TransferError

LARGEST = 1_000_000  # bytes; the presets have 4,000
DEEPEST = 8  # tables and lists inside each other; settings need 3


def read_toml(path: Path) -> str:
    """The text of a TOML file; a byte-order mark is left out.

    Raises:
        TransferError: not a plain file, a huge one, one that cannot be opened, or text that is not UTF-8.
    """
    if not path.is_file():  # a pipe or a device would be read for ever
        raise TransferError(f"{path} is not a file.")
    try:
        with path.open("rb") as stream:
            content = stream.read(LARGEST + 1)
    except OSError as error:
        raise TransferError(f"{path} cannot be read: {error.strerror}.") from error
    if len(content) > LARGEST:
        raise TransferError(f"{path} has more than {LARGEST:,} bytes, so it is no file of settings.")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise TransferError(f"{path} is not a TOML file in UTF-8: {error}.") from error


def parse_toml(text: str, name: str) -> dict[str, Any]:
    """TOML text as a table.

    Args:
        text: the text.
        name: where it is from, for errors.

    Raises:
        TransferError: not valid TOML, or nested deeper than settings are.
    """
    try:
        table = tomllib.loads(text)
    except RecursionError:
        raise TransferError(f"{name} is nested deeper than settings are.") from None
    except ValueError as error:  # TOMLDecodeError, and numbers of thousands of digits
        raise TransferError(f"{name} is not valid TOML: {error}") from None
    if depth(table) > DEEPEST:
        raise TransferError(f"{name} is nested deeper than settings are.")
    return table


def depth(content: object) -> int:
    """How many tables and lists lie inside each other; does not call itself, so that no depth is too much."""
    level, layer = 0, [content]
    while layer := [
        inside
        for one in layer
        if isinstance(one, dict | list)
        for inside in (one.values() if isinstance(one, dict) else one)
    ]:
        level += 1
    return level
