"""The `transfer` command: results on stdout, progress on stderr, mistakes as one message and exit code 2.

Only click and the standard library are imported here; each command imports what it needs, so that
`transfer --help` answers at once.
"""

import json
import os
import shlex
from pathlib import Path
from typing import Any

import click

from transfer.errors import TransferError
from transfer.recipes.cli.data_commands import data, names
from transfer.recipes.cli.group import Commands
from transfer.recipes.cli.option_types import Place, check_parent, check_writable, jobs_of, seeds
from transfer.recipes.cli.own_code import environment, importing, say, trusting


def print_version(ctx: click.Context, option: click.Parameter, wanted: bool) -> None:
    """Print the version, of a checkout too, and stop."""
    if wanted:
        from transfer import __version__

        click.echo(f"transfer {__version__}")
        ctx.exit()


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
@click.option(
    "--version", is_flag=True, is_eager=True, expose_value=False, callback=print_version, help="Show the version."
)
@importing
def cli() -> None:
    """Carry a pretrained trunk to another robot body by swapping its embeddings."""


@cli.command()
@click.option("--runs-dir", default="runs", type=Place("folder"), help="Where runs lie.")
def ls(runs_dir: Path) -> None:
    """List recipes, environments, adapters and datasets at hand."""
    from transfer.recipes.cli.text import listing

    click.echo(listing(runs_dir))


@cli.command()
@click.argument("preset_or_toml")
@click.option("--name", help="Name of the run's folder.  [default: the preset's or file's, -quick with --quick]")
@click.option("--quick", is_flag=True, help="Apply the [quick] table: minutes instead of hours.")
@click.option("--set", "sets", multiple=True, metavar="KEY=VALUE", help="As adapt.steps=2000; may be repeated.")
@click.option("--modes", help="What to train, comma-separated, in place of adapt.modes.")
@click.option("--seeds", "--seed", help="As 0,1,2 or 0-4, in place of run.seeds.")
@click.option("--resume", is_flag=True, help="Go on with a run that was stopped.")
@click.option("--device", help="auto, cpu, cuda or cuda:1, in place of run.device.")
@click.option("--threads", help="CPU threads of each cell, in place of run.threads.")
@click.option("--jobs", default="auto", help="Cells that are done at a time; auto: cores / threads.")
@click.option(
    "--ray",
    is_flag=False,
    flag_value="local",
    metavar="[ADDRESS]",
    help="Do the cells on a Ray cluster, as 10.0.0.1:6379; without an address on one of this machine.",
)
@click.option("--dry-run", is_flag=True, help="Say what would be done and how long it takes; write nothing.")
@click.option("--storage", type=Place("folder"), help="With --ray: where runs lie, on a path that all machines see.")
@click.option("--runs-dir", default="runs", type=Place("folder"), help="Where runs lie.")
@importing
@trusting
def run(
    preset_or_toml: str,
    name: str | None,
    quick: bool,
    sets: tuple[str, ...],
    resume: bool,
    jobs: str,
    ray: str | None,
    storage: Path | None,
    dry_run: bool,
    runs_dir: Path,
    **options: Any,
) -> None:
    """Pretrain, adapt, evaluate and report, as a preset or file says."""
    from transfer.recipes.cells.executors.choice import Where
    from transfer.recipes.matrix.start import planned, settings_of, start
    from transfer.recipes.settings.own_modules import import_modules_of
    from transfer.recipes.settings.presets import run_folder
    from transfer.runtime.distributed import connected, rank, rank_0_first

    keys = {"modes": "adapt.modes", "seeds": "run.seeds", "device": "run.device", "threads": "run.threads"}
    if options["seeds"] is not None:
        options["seeds"] = seeds(options["seeds"])
    where = Where(*jobs_of(jobs, ray, storage))
    changes = [*sets, *(f"{keys[key]}={value}" for key, value in options.items() if value is not None)]
    with connected():
        with rank_0_first():  # rank 0 alone reports a mistake
            import_modules_of(preset_or_toml, changes, quick, say)  # they may register kinds
            folder = run_folder(preset_or_toml, name, storage or runs_dir, "-quick" if quick else "")
            work = settings_of(preset_or_toml, changes, quick)
        if dry_run:
            click.echo(str(planned(work, folder, where)))
            return
        report, first = start(work, folder, resume, say, where), rank() == 0
    if first:
        click.echo(report.read_text(encoding="utf-8"))
        click.echo(f"Written to {report}", err=True)


@cli.command()
@click.argument("preset")
@click.argument("file", type=Place("file"))
def cp(preset: str, file: Path) -> None:
    """Copy a preset to a TOML file to edit; `transfer run FILE` runs it."""
    from transfer.recipes.settings.presets import own_copy
    from transfer.storage.files import write_text

    text = own_copy(preset)
    if os.path.lexists(file):
        raise TransferError(f"{file} exists and is left as it is; choose another name")
    check_parent(file)
    write_text(file, text)
    click.echo(f"Edit {file}, then: {shlex.join(['transfer', 'run', str(file)])}")


@cli.command()
@click.argument("path", metavar="PATH_OR_PRESET", type=Place())
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--quick", is_flag=True, help="Of settings: apply the [quick] table.")
@click.option("--set", "sets", multiple=True, metavar="KEY=VALUE", help="Of settings: as adapt.steps=2000.")
@importing
def show(path: Path, as_json: bool, quick: bool, sets: tuple[str, ...]) -> None:
    """Show what a trunk, adapter, run or preset holds.

    Of a preset or a TOML file, that is every setting, and what it is in the base settings where it differs.
    """
    from transfer.recipes.cli.text import summary_text
    from transfer.recipes.programs.show import is_settings, settings, summary

    if (quick or sets) and not is_settings(path):
        raise TransferError(f"--quick and --set are for a preset or a TOML file, and {path} is neither")
    facts = settings(str(path), sets, quick) if is_settings(path) else summary(path)
    click.echo(json.dumps(facts, indent=2) if as_json else summary_text(facts))


@cli.command()
@click.argument("adapter", type=Place("folder"))
@click.option("--out", required=True, type=Place("folder"), help="New folder for the merged trunk and its adapter.")
@click.option("--trunk", type=Place("folder"), help="Trunk folder, when not in its run.")
@click.option("--any-trunk", is_flag=True, help="Take that trunk even if the adapter was made on another.")
@importing
def merge(adapter: Path, out: Path, trunk: Path | None, any_trunk: bool) -> None:
    """Fold the tuning of an adapter into a copy of its trunk."""
    from transfer.recipes.programs.merge_path import merge_path

    check_parent(out)
    written = merge_path(adapter, out, trunk, any_trunk)
    click.echo(f"Written to {written}. Play it: {shlex.join(['transfer', 'eval', str(written / 'adapter')])}")


@cli.command("eval")
@click.argument("paths", nargs=-1, required=True, metavar="PATH...", type=Place())
@click.option(
    "--episodes", default=100, type=click.IntRange(1), help="Episodes per evaluation; episode i has seed 10000+i."
)
@click.option("--targets", help="Returns to ask for: best, calibrated, max, pNN or raw ones, comma-separated.")
@click.option(
    "--ask",
    "asks",
    multiple=True,
    metavar="NAME=VALUE",
    help="What to ask for, as return=3000,horizon=500; may be repeated.  [default: as the method does]",
)
@click.option("--envs", default=100, type=click.IntRange(1), help="Environments stepped at once, of each adapter.")
@click.option(
    "--decode",
    default="autoregressive",
    type=click.Choice(["autoregressive", "parallel"]),
    help="How action dimensions are generated.",
)
@click.option("--trunk", type=Place("folder"), help="Trunk folder, when not in its run.")
@click.option("--any-trunk", is_flag=True, help="Take that trunk even if the adapter was made on another.")
@click.option("--together", is_flag=True, help="Play two or more adapters of one trunk, one after another.")
@click.option("--video", type=Place("file"), help="Write a GIF of one episode here.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, with every episode.")
@click.option("--device", default="auto", help="auto, cpu, cuda or cuda:1.")
@click.option("--threads", default=0, type=click.IntRange(0), help="CPU threads; 0 leaves the number alone.")
@environment
@importing
@trusting
def evaluate(
    paths: tuple[Path, ...],
    targets: str | None,
    asks: tuple[str, ...],
    together: bool,
    video: Path | None,
    as_json: bool,
    device: str,
    threads: int,
    **options: Any,
) -> None:
    """Play episodes with a run, a MODE/SEED folder of it, or an adapter.

    With --together, two or more adapters of one trunk are played one after another.
    """
    from transfer.recipes.settings.sections import EvalConfig
    from transfer.recipes.settings.target_names import read_ask

    counts = {key: options.pop(key) for key in ("episodes", "envs", "decode")}
    named = () if targets is None else tuple({"return": name} for name in names(targets))
    given = (*named, *map(read_ask, asks))
    config = EvalConfig(ask=({},) if targets is None and not asks else given, **counts)
    if len(paths) > 1 and not together:
        raise TransferError(f"{len(paths)} paths are played with --together, or one by one.")
    if together and video is not None:
        raise TransferError("--video films one adapter: leave --together out and name one path.")
    if together and options["env"] is not None:
        raise TransferError("--env is for one adapter: leave --together out and name one path.")
    if video is not None:
        if video.suffix.lower() != ".gif":
            raise TransferError(f"--video writes a GIF: name it {video.with_suffix('.gif')}")
        check_parent(video)
    for path in paths:
        if not path.is_dir():
            raise TransferError(f"no folder {path}. What is at hand: transfer ls")
    from transfer.recipes.cli.text import evaluation_text
    from transfer.recipes.programs.evaluate_path import evaluate_paths
    from transfer.recipes.runs.checks import use_threads

    use_threads(threads)
    result = evaluate_paths(paths, config, device, together=together, video=video, **options)
    click.echo(json.dumps(result, indent=2) if as_json else evaluation_text(result))


@cli.command()
@click.argument("runs", nargs=-1, required=True, type=Place())
@click.option("--format", "kind", default="markdown", type=click.Choice(["markdown", "csv"]), help="What to print.")
@click.option(
    "--out",
    type=Place("folder"),
    help="Results folder to make: settings, CSV files, report.  [default: the report alone, in the run's folder]",
)
def report(runs: tuple[Path, ...], kind: str, out: Path | None) -> None:
    """Table and plot of one or several folders of runs or of results."""
    from transfer.recipes.reports.report import report as read_report
    from transfer.recipes.reports.report import write_report
    from transfer.recipes.reports.tables.publish import publish

    if out is not None:
        check_writable(out)
    result = read_report(runs)
    own = out is None or (len(runs) == 1 and out.resolve() == runs[0].resolve())
    written = publish(out, result) if out is not None and not own else None
    click.echo(result.markdown if kind == "markdown" else result.csv, nl=False)
    if own and len(runs) == 1:
        written = write_report(runs[0], result)
    if written is not None:
        click.echo(f"Written to {written}", err=True)


cli.add_command(data)

if __name__ == "__main__":
    cli(prog_name="transfer")
