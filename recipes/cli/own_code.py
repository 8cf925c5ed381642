"""Options about a user's own code: `--import`, `--trust` and `--env`."""

import functools
import os
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import click

Command = Callable[..., Any]
environment = click.option(
    "--env",
    metavar="ID",
    help="Environment to play in, as Hopper-v5 or my_env:MyEnv-v0.  [default: the one that the files name]",
)


def importing(command: Command) -> Command:
    """Adds `--import` to a command or group; the module in an id such as "my_env:MyEnv-v0" is imported too."""

    @click.option(
        "--import",
        "modules",
        multiple=True,
        metavar="MODULE",
        help="Import a module from the working folder first, so that its environments are registered; may be repeated.",
    )
    @functools.wraps(command)
    def with_modules(*args: Any, modules: tuple[str, ...], **options: Any) -> Any:
        module = (options.get("env") or "").rpartition(":")[0]
        if named := [*modules, *([module] if module else [])]:
            from transfer.data.environment.building.importing import import_from_here

            import_from_here(named)
        return command(*args, **options)

    return with_modules


def trusting(command: Command) -> Command:
    """Adds `--trust` to a command."""

    @click.option(
        "--trust",
        is_flag=True,
        help="Import and call what the files read here name as their environment; each call is printed first.",
    )
    @functools.wraps(command)
    def with_trust(*args: Any, trust: bool, **options: Any) -> Any:
        from transfer.data.environment.building.trust import trusting as trusting_files

        with trusting_files(say) if trust else nullcontext():
            return command(*args, **options)

    return with_trust


def say(line: str) -> None:
    """Print a line of rank 0 on stderr."""
    if os.environ.get("RANK", "0") == "0":
        click.echo(line, err=True)
