"""Modules of the user's own that the settings of a run name."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from transfer.data.environment.building.importing import import_from_here
from transfer.errors import TransferError
from transfer.recipes.settings.layers import MATRIX, Table, changes_of, checked_layers, several
from transfer.recipes.settings.presets import presets


def named_modules(table: Table) -> list[str]:
    """The modules in `[run] imports` of some settings, and in `env` of every `[source]`, `[target]` and `[matrix]`."""
    sources = table.get("source", {})
    bodies = [*(sources if isinstance(sources, list) else [sources]), table.get("target", {})]
    bodies += tables_in([table.get(MATRIX, {}).get(key, []) for key in ("sources", "targets")])
    each = [*table.get("run", {}).get("imports", ()), *(module_of(str(one.get("env", ""))) for one in bodies)]
    return list(dict.fromkeys(filter(None, each)))


def tables_in(value: object) -> list[Table]:
    """The tables in lists in lists."""
    if isinstance(value, list | tuple):
        return [table for one in value for table in tables_in(one)]
    return [value] if isinstance(value, Mapping) else []


def modules_of(name_or_path: str, sets: Sequence[str], quick: bool) -> list[str]:
    """The modules that a file of settings names, arguments as of `transfer.recipes.settings.config.load_config`.

    Kinds of parts are not looked up, because these modules may register them.
    """
    layers = checked_layers(name_or_path)
    tables = [*(one.table for one in layers), *(one.quick for one in layers if quick), changes_of(sets)]
    return named_modules(several(tables))


def import_modules_of(name_or_path: str, sets: Sequence[str], quick: bool, say: Callable[[str], object]) -> None:
    """Import the modules that a file of settings names; those of a run folder have to be on the command line as well.

    `say` takes a line before each import; the other arguments are those of `modules_of`.

    Raises:
        TransferError: a run folder names a module that the command line did not, or one cannot be imported.
    """
    modules, path = modules_of(name_or_path, sets, quick), Path(name_or_path)
    folder = path.parent if path.name == "config.toml" else path
    new = [one for one in modules if one not in sys.modules]
    if new and name_or_path not in presets() and (folder / "config.toml").is_file():
        raise TransferError(
            f"the run in {folder} imports {', '.join(new)}, and a run folder may be a stranger's. If you trust it, "
            f"add to the command: {naming(modules)}. To go on with that run: {resuming(modules, name_or_path)}"
        )
    for module in new:
        say(f"importing {module}, which {name_or_path} names")
        import_from_here([module])


def module_of(env: str) -> str:
    """The module in an id such as "my_env:MyEnv-v0", "" where there is none."""
    return env.rpartition(":")[0]


def resuming(modules: Sequence[str], folder: str) -> str:
    """The command that goes on with the run in a folder, with the modules that it needs."""
    return naming(modules, "run", folder, "--resume")


def naming(modules: Sequence[str], *words: str) -> str:
    """A command that imports some modules first, or the options alone."""
    command = ["transfer", *words] if words else []
    return shlex.join([*command, *(word for module in modules for word in ("--import", module))])
