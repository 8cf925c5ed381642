"""Modules of the user's own that the settings of a run name."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from transfer.data.environment.building.importing import import_from_here
from transfer.errors import TransferError
from transfer.recipes.settings.config import RunConfig
from transfer.recipes.settings.presets import presets


def named_modules(config: RunConfig) -> list[str]:
    """The modules in `[run] imports`, and in `env` of every `[source]` and `[target]`."""
    each = [*config.run.imports, *(module_of(section.env) for section in (*config.source, config.target))]
    return list(dict.fromkeys(filter(None, each)))


def import_modules_of(config: RunConfig, name_or_path: str, say: Callable[[str], object]) -> None:
    """Import the modules that a file of settings names; those of a run folder have to be on the command line as well.

    `say` takes a line before each import.

    Raises:
        TransferError: a run folder names a module that the command line did not, or one cannot be imported.
    """
    modules = named_modules(config)
    folder = Path(name_or_path)
    new = [one for one in modules if one not in sys.modules]
    if new and name_or_path not in presets() and (folder / "config.toml").is_file():
        raise TransferError(
            f"the run in {folder} imports {', '.join(new)}, and a run folder may be a stranger's. Name it yourself: "
            f"{resuming(modules, name_or_path)}"
        )
    for module in new:
        say(f"importing {module}, which {name_or_path} names")
        import_from_here([module])


def module_of(env: str) -> str:
    """The module in an id such as "my_env:MyEnv-v0", "" where there is none."""
    return env.rpartition(":")[0]


def resuming(modules: Sequence[str], folder: str) -> str:
    """The command that goes on with the run in a folder, with the modules that it needs."""
    named = [word for module in modules for word in ("--import", module)]
    return shlex.join(["transfer", "run", folder, "--resume", *named])
