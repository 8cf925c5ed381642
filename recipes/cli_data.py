"""`transfer data`: datasets on this machine, and those that bundled policies can make."""

import click


@click.group()
def data() -> None:
    """Datasets: list them, make the bundled ones."""


@data.command("ls")
def list_data() -> None:
    """List local Minari datasets and the bundled names, made or not."""
    click.echo("\n".join(data_lines()))


@data.command("make")
@click.argument("name")
@click.option("--steps", default=100_000, type=click.IntRange(1), help="Steps per policy.")
@click.option("--seed", default=0, type=click.IntRange(0), help="Seed of environments and noise.")
@click.option("--overwrite", is_flag=True, help="Replace datasets that exist.")
def make(name: str, steps: int, seed: int, overwrite: bool) -> None:
    """Make a bundled dataset by playing its policies, as in: transfer data make hopper/medium-expert."""
    from transfer.envs.bundled import make_dataset
    from transfer.progress import Progress

    # The total is corrected by the first call: medium-expert plays two policies of this many steps.
    with Progress(steps, name, "steps") as progress:
        ids = make_dataset(name, steps=steps, seed=seed, on_progress=progress.update, overwrite=overwrite)
    if not ids.made:
        click.echo("Already there, kept as it is; --overwrite makes it again.", err=True)
    click.echo("\n".join(ids))


def data_lines() -> list[str]:
    """Local Minari ids, then bundled names with whether each is made."""
    from transfer.envs.names import BUNDLED, at_hand, local_ids

    lines = ["Local Minari datasets:", *(f"  {name}" for name in local_ids() or ["none"]), "", "Bundled:"]
    for name in BUNDLED:
        state = "made" if at_hand(name) else f"not made yet: transfer data make {name}"
        lines.append(f"  {name:<24} {state}")
    return lines
