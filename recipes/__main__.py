"""`python -m transfer.recipes` is the `transfer` command, as `torchrun -m` needs it."""

from transfer.recipes.cli import cli

if __name__ == "__main__":
    cli(prog_name="transfer")
