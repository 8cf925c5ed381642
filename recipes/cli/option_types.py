"""Values of options that click has no type for; quick to import."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import click

from transfer.errors import TransferError
from transfer.storage.files import as_path, unwritable

MOST_SEEDS = 1_000


class Place(click.ParamType):
    """A path as typed, with `~` expanded.

    Args:
        kind: "folder" or "file" refuses the other where something is there already; "path" takes both.
    """

    def __init__(self, kind: str = "path") -> None:
        self.name = kind

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        """The path; fails for what is no path."""
        try:
            path = as_path(value, "path")
            if path.exists() and self.name != "path" and path.is_dir() != (self.name == "folder"):
                raise TransferError(f"{path} is a {'folder' if path.is_dir() else 'file'}, not a {self.name}.")
        except (TransferError, OSError) as error:  # OSError: names that are too long, folders that cannot be entered
            self.fail(str(error), param, ctx)
        return path


def check_writable(folder: Path) -> None:
    """Raise TransferError, before any work, where a folder cannot be written to or made."""
    if reason := unwritable(folder):
        raise TransferError(f"{folder} cannot be written to: {reason}.")


def check_parent(file: Path) -> None:
    """Raise TransferError where the folder of a file to write does not exist."""
    if not file.parent.is_dir():
        raise TransferError(f"no folder {file.parent} to write {file.name} to; make it first")


def jobs_of(jobs: str, ray: str | None, storage: Path | None) -> tuple[int | str, str, bool]:
    """Jobs, a number or "auto", address of a cluster, "" for none, and whether all its machines see the runs.

    Raises:
        TransferError: no such number, or options of which one leaves no room for the other.
    """
    if jobs != "auto" and not re.fullmatch(r"[1-9][0-9]{0,2}", jobs):
        raise TransferError(f"--jobs {jobs}: a number of cells from 1 to 999 is needed, or auto")
    if ray is not None and jobs != "auto":
        raise TransferError(
            f"--jobs {jobs} beside --ray: the cluster takes as many cells as it has cores for. Leave one out"
        )
    if storage is not None and ray is None:
        raise TransferError("--storage is for --ray: where runs lie on this machine is --runs-dir")
    return (int(jobs) if jobs != "auto" else jobs), ray or "", storage is not None


def seeds(text: str) -> str:
    """`0-4,7` as `0,1,2,3,4,7`; what is no range stays as it is.

    Raises:
        TransferError: a range that ends before it begins, or one of very many seeds.
    """
    found: list[str] = []
    for item in text.split(","):
        ends = re.fullmatch(r"\s*(\d{1,18})\s*-\s*(\d{1,18})\s*", item, re.ASCII)
        first, last = map(int, ends.groups()) if ends else (0, 0)
        if ends and not 0 <= last - first < MOST_SEEDS:
            raise TransferError(f"--seeds {item.strip()} is no range of up to {MOST_SEEDS:,} seeds, as 0-4 is")
        found += map(str, range(first, last + 1)) if ends else [item]
    return ",".join(found)
