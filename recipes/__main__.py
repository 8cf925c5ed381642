"""`python -m transfer.recipes` is the `transfer` command, as `torchrun -m` needs it."""

import os
import sys

from transfer.recipes.cli.commands import cli

if __name__ == "__main__":
    # `python -m` puts the working folder before everything else, where a stranger's files may lie. The package needs
    # it no longer, and `--import` names what is wanted of it.
    if sys.path and not sys.flags.safe_path and sys.path[0] in ("", os.getcwd()):
        del sys.path[0]
    cli(prog_name="transfer")
