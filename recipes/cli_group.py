"""The group behind the `transfer` command: the one place where errors become messages and exit codes."""

import errno
import os
import shlex
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import click

from transfer.errors import TransferError


class Mistake(click.ClickException):
    """A message for the user; exit code 2, as click's own usage errors."""

    exit_code = 2


class Commands(click.Group):
    """Commands in the order of work, whose mistakes are one message and exit code 2."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Commands in the order of work, not of the alphabet."""
        return list(self.commands)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Keep the command line, to name it again when it is interrupted."""
        ctx.meta["transfer.args"] = list(args)
        return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command. Mistakes and a full disk exit with 2, an interruption with 130."""
        args: list[str] = ctx.meta["transfer.args"]
        try:
            check_alone(args)
            with one_report():
                return super().invoke(ctx)
        except TransferError as error:
            full = disk_full(error.__cause__)
            raise Mistake(f"{error} Make room, then: {again(args)}" if full else str(error)) from error
        except KeyboardInterrupt:
            if os.environ.get("RANK", "0") == "0":  # each process that torchrun started is interrupted
                click.echo(interrupted(args), err=True)
            ctx.exit(130)
        except Exception as error:
            if disk_full(error):
                raise Mistake(f"the disk is full ({error}). Make room, then: {again(args)}") from error
            if isinstance(error, PermissionError):
                raise Mistake(f"no permission for {error.filename}: {error.strerror}") from error
            raise


def check_alone(args: Sequence[str]) -> None:
    """Raise TransferError when torchrun started several processes of a command that has no work to share."""
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size > 1 and args[:1] != ["run"]:
        raise TransferError(
            f"torchrun started {size} processes, and only `transfer run` shares its work among several. Start it "
            f"alone: {again(args)}"
        )


@contextmanager
def one_report() -> Iterator[None]:
    """Inside, a full disk is reported once.

    TensorBoard writes in a thread, which hands its error to the main thread, and Python would print it as well.
    """
    before = threading.excepthook
    threading.excepthook = lambda args: None if disk_full(args.exc_value) else before(args)
    try:
        yield
    finally:
        threading.excepthook = before


def disk_full(error: BaseException | None) -> bool:
    """Whether an error comes from a full disk; safetensors and HDF5 report it in the text alone."""
    text = str(error)
    full = getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT)
    return full or "os error 28" in text or "errno = 28" in text


def again(args: Sequence[str]) -> str:
    """The command that goes on with what these arguments began."""
    resumed = [*args, "--resume"] if args[:1] == ["run"] and "--resume" not in args else list(args)
    return shlex.join(["transfer", *resumed])


def interrupted(args: Sequence[str]) -> str:
    """The line for a command stopped from the keyboard."""
    word = "Go on" if args[:1] == ["run"] else "Start again"
    return f"\nInterrupted. {word} with: {again(args)}"
