"""`transfer data`: datasets on this machine: listed, made, imported, checked, and what tokenizing costs on them."""

import json
from pathlib import Path

import click

from transfer.errors import TransferError
from transfer.recipes.cli.option_types import Place, check_writable
from transfer.recipes.cli.own_code import environment, importing, trusting


@click.group()
def data() -> None:
    """Datasets: list, make, import, check, and what tokens cost on them."""


@data.command("ls")
def list_data() -> None:
    """List local Minari datasets and the bundled names, made or not."""
    from transfer.recipes.reports.escaping import plain

    click.echo("\n".join(map(plain, data_lines())))


@data.command("make")
@click.argument("name")
@click.option("--steps", default=100_000, type=click.IntRange(1, 10**8), help="Steps per policy.")
@click.option("--seed", default=0, type=click.IntRange(0, 2**63 - 1), help="Seed of environments and noise.")
@click.option("--overwrite", is_flag=True, help="Replace datasets that exist.")
def make(name: str, steps: int, seed: int, overwrite: bool) -> None:
    """Make a bundled dataset by playing its policies.

    As in: transfer data make hopper/medium-expert.
    """
    from transfer.envs.bundled.making import make_dataset
    from transfer.recipes.watching.progress import Progress

    # The total is corrected by the first call: medium-expert plays two policies of this many steps.
    with Progress(steps, name, "steps") as progress:
        ids = make_dataset(name, steps=steps, seed=seed, on_progress=progress.update, overwrite=overwrite)
    if not ids.made:
        click.echo("Already there, kept as it is; --overwrite makes it again.", err=True)
    click.echo("\n".join(ids))


@data.command("import")
@click.argument("file", type=Place())
@click.option("--env", required=True, help="Environment of the file, as hopper, pen or antmaze-umaze.")
@click.option(
    "--id", "dataset_id", default="", show_default=False, help="Minari id of the result.  [default: imported/NAME-vN]"
)
@click.option("--overwrite", is_flag=True, help="Replace a dataset that has this id.")
def import_file(file: Path, env: str, dataset_id: str, overwrite: bool) -> None:
    """Turn one of D4RL's own HDF5 files into a Minari dataset.

    Needs neither d4rl nor the old gym.
    """
    from transfer.envs.d4rl.importer import import_d4rl
    from transfer.recipes.watching.progress import Progress

    with Progress(1, file.name, "steps") as progress:
        made = import_d4rl(file, env, dataset_id, overwrite, progress.update)
    click.echo(made)
    click.echo(f"Next: transfer data check {made}", err=True)


@data.command("check")
@click.argument("dataset")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@environment
@click.pass_context
@importing
@trusting
def check(ctx: click.Context, dataset: str, as_json: bool, env: str | None) -> None:
    """Look for known faults of a dataset before training.

    The exit code is 1 when one of them would make results wrong.
    """
    from transfer.envs.checks.doctor import as_text, check_dataset

    found = check_dataset(dataset, env)
    click.echo(json.dumps(found.to_json(), indent=1) if as_json else as_text(found))
    ctx.exit(1 if found.wrong else 0)


@data.command("ceiling")
@click.argument("dataset")
@click.option("--bins", default="16,64,256", help="Bins per action dimension, comma-separated.")
@click.option("--tokenizers", default="quantile,uniform,mu-law", help="Which to try, comma-separated.")
@click.option("--episodes", default=20, type=click.IntRange(1, 10**6), help="Episodes to replay.")
@click.option("--out", type=Place("folder"), help="Folder for table, CSV, JSON and plot.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@environment
@importing
@trusting
def ceiling(
    dataset: str, bins: str, tokenizers: str, episodes: int, out: Path | None, as_json: bool, env: str | None
) -> None:
    """Replay encoded and decoded actions: the return that tokens cost.

    Nothing is trained for it.
    """
    from transfer.recipes.ceiling.ceiling import ceiling as measure
    from transfer.recipes.ceiling.ceiling_text import page, write
    from transfer.recipes.watching.progress import Progress

    if out is not None:
        check_writable(out)
    with Progress(episodes, dataset, "episodes") as progress:
        tried = whole_numbers("--bins", bins), names(tokenizers)
        report = measure(dataset, *tried, episodes, progress.update, env)
    click.echo(json.dumps(report.to_json(), indent=1) if as_json else page(report))
    if out is not None:
        click.echo(f"Written to {write(report, out)}", err=True)


def names(text: str) -> list[str]:
    """Comma-separated names, blanks dropped."""
    return [item.strip() for item in text.split(",") if item.strip()]


def whole_numbers(option: str, text: str) -> list[int]:
    """Comma-separated whole numbers from 2 on. Raises TransferError with what was given."""
    numbers = [int(item) if item.isdecimal() and len(item) < 10 else 0 for item in names(text)]
    if not numbers or min(numbers) < 2:
        raise TransferError(f"{option} wants whole numbers from 2 on, as 16,64,256; got '{text}'")
    return numbers


def data_lines() -> list[str]:
    """Local Minari ids, then bundled names with whether each is made."""
    from transfer.envs.dataset_ids import BUNDLED, at_hand, local_ids

    lines = ["Local Minari datasets:", *(f"  {name}" for name in local_ids() or ["none"]), "", "Bundled:"]
    for name in BUNDLED:
        state = "made" if at_hand(name) else f"not made yet: transfer data make {name}"
        lines.append(f"  {name:<24} {state}")
    return lines
