"""Importing modules that a user names, so that the environments in them are registered."""

from __future__ import annotations

import importlib
import os
import re
import sys
from collections.abc import Iterable
from pathlib import Path

from transfer.errors import TransferError, unknown
from transfer.numbers import seen

_NAME = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*")
_imported: list[tuple[str, str]] = []


def import_named(module: object) -> None:
    """Imports a module by its dotted name. Raises TransferError if there is none, or if it fails as it runs."""
    if not isinstance(module, str) or not _NAME.fullmatch(module):
        raise TransferError(f"{seen(module)} is no name of a module, such as my_env or my_package.envs.")
    try:
        importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name and f"{module}.".startswith(f"{error.name}."):
            raise _missing(module) from error
        raise TransferError(f"module '{module}' needs another one: {error}. Install that, or put it there.") from error
    except Exception as error:  # a user's module raises anything
        raise TransferError(f"module '{module}' cannot be imported: {type(error).__name__}: {error}") from error


def import_from_here(modules: Iterable[object]) -> None:
    """As `import_named`, with the working folder searched first; it stays on Python's path as the last entry."""
    here = os.getcwd()
    sys.path.insert(0, here)
    try:
        for module in modules:
            import_named(module)
            _imported.append((here, str(module)))
    finally:
        sys.path.remove(here)
        # These modules may import others beside them while they run. The last entry hides no installed package.
        if here not in sys.path:
            sys.path.append(here)


def imported_from_here() -> tuple[str, ...]:
    """The modules that `import_from_here` has imported in this process, in this working folder, each once."""
    here = os.getcwd()
    return tuple(dict.fromkeys(module for place, module in _imported if place == here))


def _missing(module: str) -> TransferError:
    """Names the closest module in the working folder, if that is searched."""
    here = Path.cwd()
    if not {"", str(here)} & set(sys.path):
        return TransferError(f"no module named '{module}' is installed here or on Python's path")
    packages = {path.parent.name for path in here.glob("*/__init__.py")}
    beside = sorted(packages | {path.stem for path in here.glob("*.py")})
    return unknown("module", module, beside, f"Neither installed nor in the working folder {here}")


def cause_of(error: BaseException) -> str:
    """Why an environment was not built, and what to do; a missing module is named if that is the reason."""
    reason: BaseException | None = error
    while reason is not None and not isinstance(reason, ModuleNotFoundError):
        reason = reason.__cause__ or reason.__context__
    if reason is None or not reason.name:
        return f"{type(error).__name__}: {error}"
    if reason.name.partition(".")[0] in ("mujoco", "gymnasium_robotics"):
        return f'{reason}. Install it: pip install "gymnasium[mujoco]" gymnasium-robotics'
    return (
        f"{reason}. Install the package it belongs to; if the module is your own, import it first, or name it with "
        f"transfer --import {reason.name}"
    )
