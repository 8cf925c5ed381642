"""The group behind the `transfer` command: the one place where errors become messages and exit codes."""

import os
import shlex
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import click

from transfer.errors import TransferError
from transfer.recipes.cli.stopping import exit_code, stoppable
from transfer.recipes.cli.terminal import lasting_streams
from transfer.recipes.reports.trouble import machine, trouble


class Mistake(click.ClickException):
    """A message for the user; exit code 2, as click's own usage errors, unless an error has another."""

    def __init__(self, message: str, code: int = 2) -> None:
        super().__init__(message)
        self.exit_code = code  # type: ignore[misc]  # a class variable there


class Commands(click.Group):
    """Commands in the order of work, whose mistakes are one message and exit code 2."""

    def main(self, *args: Any, **options: Any) -> Any:
        """Run the command of a process, with streams that last and signals that interrupt."""
        with lasting_streams(), stoppable():
            return super().main(*args, **options)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Commands in the order of work, not of the alphabet."""
        return list(self.commands)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Keep the command line, to name it again when it is interrupted."""
        ctx.meta["transfer.args"] = list(args)
        return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command. Mistakes and trouble of the machine exit with 2, an interruption with 130."""
        args: list[str] = ctx.meta["transfer.args"]
        try:
            check_alone(args)
            with reported_once():
                return super().invoke(ctx)
        except KeyboardInterrupt as error:
            if os.environ.get("RANK", "0") == "0":  # each process that torchrun started is interrupted
                by, word = f" by {error}" if str(error) else "", "Go on" if command_of(args) == "run" else "Start again"
                click.echo(f"\nInterrupted{by}. {word} with: {again(args)}", err=True)
            ctx.exit(exit_code(error))
        except TransferError as error:
            message = f"{error} When that is put right: {again(args)}" if machine(error) else str(error)
            raise Mistake(message, getattr(error, "exit_code", 2)) from error
        except Exception as error:
            if reason := trouble(error):
                raise Mistake(f"{reason}. When that is put right: {again(args)}") from error
            raise


def command_of(args: Sequence[str]) -> str:
    """The command among the arguments of `transfer`, whose own options may come first."""
    rest = iter(args)
    for arg in rest:
        if arg == "--import":
            next(rest, None)
        elif not arg.startswith("-"):
            return arg
    return ""


def check_alone(args: Sequence[str]) -> None:
    """Raise TransferError when torchrun started several processes of a command that has no work to share."""
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size > 1 and command_of(args) != "run":
        raise TransferError(
            f"torchrun started {size} processes, and only `transfer run` shares its work among several. Start it "
            f"alone: {again(args)}"
        )


@contextmanager
def reported_once() -> Iterator[None]:
    """Inside, trouble of the machine in a thread is not printed: TensorBoard's hands it to the main thread as well."""
    before = threading.excepthook
    threading.excepthook = lambda args: None if args.exc_value and trouble(args.exc_value) else before(args)
    try:
        yield
    finally:
        threading.excepthook = before


def again(args: Sequence[str]) -> str:
    """The command that goes on with what these arguments began."""
    resumed = [*args, "--resume"] if command_of(args) == "run" and "--resume" not in args else list(args)
    return shlex.join(["transfer", *resumed])
