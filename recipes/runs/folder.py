"""The folder of a run: whether a run may write there, and the settings that may change when it goes on."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path

from transfer.errors import TransferError
from transfer.numbers import seen
from transfer.recipes.programs.modes import find_mode, find_modes
from transfer.recipes.runs.cells import is_pretraining, is_results_folder, next_command, result_files
from transfer.recipes.runs.results import Results, read_results
from transfer.recipes.settings.config import RunConfig, config_table, load_config, training
from transfer.recipes.settings.own_modules import named_modules, resuming
from transfer.recipes.settings.presets import find_config
from transfer.recipes.settings.sections import AUTO, plain_keys
from transfer.recipes.settings.toml import parse_toml
from transfer.recipes.settings.typed import flatten
from transfer.storage.files import sweep
from transfer.storage.locks import lock

# What may differ between the beginning of a run and its continuation.
FREE = ("adapt.modes", "run.seeds", "run.device")
# What may be named then where it was empty, for no training can have used it: where trunks come from as a whole.
ORIGIN = ("source.data", "source.fallback", "pretrain.from")


def settle(folder: Path, config: RunConfig, resume: bool) -> RunConfig:
    """The config that a run folder is going to hold: the given one, with the modes and seeds that it has already.

    Nothing is written.

    Raises:
        TransferError: the folder is taken, holds a link, a run with other settings, half of them, or damaged results,
            or its name is no text.
    """
    check_name(folder)
    if is_results_folder(folder):
        raise TransferError(f"{folder} holds no run to go on with. {next_command(folder)}")
    if is_free(folder):
        return config
    path = folder / "config.toml"
    if not resume:
        raise TransferError(f"{folder} holds a run already. Add --resume to go on with it, or choose another --name.")
    check_links(folder)
    check_whole(path)
    before = load_config(str(path))
    if before.run.threads == AUTO:  # of an older version, which did not settle it
        before = replace(before, run=replace(before.run, threads=config.run.threads))
    differing = differences(before, config)
    if differing:
        raise TransferError(
            f"{folder} holds a run with other settings: {'; '.join(differing)}. --resume goes on with the same "
            f"settings only. {resume_command(folder)} takes them from the folder; else choose another --name."
        )
    for file in result_files(folder):
        check_made(file, read_results(file), config)
    modes = [mode.name for mode in find_modes(before.adapt.modes)]
    return with_cells(config, [*modes, *config.adapt.modes], [*before.run.seeds, *config.run.seeds])


def is_free(folder: Path) -> bool:
    """Whether a run may begin in a folder; False where one has begun there, whose config.toml says which.

    Raises:
        TransferError: it holds something else.
    """
    if (folder / "config.toml").is_file():
        return False
    if folder.is_dir():
        sweep(folder)  # of a run that was killed before its config.toml was written
    if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
        raise TransferError(f"{folder} exists and holds something else. Choose another --name.")
    return True


def differences(before: RunConfig, now: RunConfig) -> list[str]:
    """In words, the settings that may not differ when a run goes on, and do."""
    old, new = flatten(config_table(before)), flatten(config_table(now))
    free = (*FREE, *([] if before.adapt.inherit_from else ["adapt.inherit_from"]))
    if not any(old.get(key, True) for key in ORIGIN):
        free += ("pretrain.from", *(key for key in {*old, *new} if key.partition(".")[0] == "source"))
    keys = [key for key in dict.fromkeys([*old, *new]) if key not in free and old.get(key) != new.get(key)]
    return [f"{key} is {seen(old.get(key), 300)} there and {seen(new.get(key), 300)} here" for key in keys]


def check_made(file: Path, made: Results, config: RunConfig) -> None:
    """Raise TransferError for results that were made with other settings than the config has: it was edited."""
    pretraining = is_pretraining(made.mode)
    name, section = ("pretrain", config.pretrain) if pretraining else ("adapt", config.adapt)
    more = config.pretrain.steps if not pretraining and find_mode(made.mode).total_steps else 0
    wanted = {**asdict(training(section)), "steps": section.steps + more}
    then = {f"{name}.{key}": (made.training[key], now) for key, now in wanted.items() if key in made.training}
    then["eval.episodes"] = min(len(one.returns) for one in made.evaluations), config.eval.episodes
    if changed := [f"{key} was {seen(old)}, is {seen(now)}" for key, (old, now) in then.items() if old != now]:
        raise TransferError(
            f"{file} was made with other settings than config.toml says: {'; '.join(changed)}. What is trained next "
            "would not compare with it: bring the old settings back, or start anew under another --name."
        )


def check_whole(path: Path) -> None:
    """Raise TransferError when a run's config.toml lacks keys: defaults would replace them without a word."""
    there = parse_toml(find_config(str(path)).text, str(path))
    flat, sources = flatten(there), there.get("source")
    several = sources if isinstance(sources, list) else []
    known = {*flat, *(key.rpartition(".")[0] for key in flat)}  # a filter is a text, or a table of its options
    missing = [key for key in plain_keys() if key not in known and not (several and key.startswith("source."))]
    if not missing:
        wanted = config_table(load_config(str(path)))
        missing = [key for key in flatten(wanted) if key not in flat]
        missing += [f"source.{key}" for one in several for key in wanted["source"][0] if key not in one]
    if missing:
        some = ", ".join(missing[:5]) + (" and more" if len(missing) > 5 else "")
        raise TransferError(
            f"{path} lacks {some}: it was cut off or edited, and holds every setting when a run has written it. Bring "
            "it back from a copy, or begin again under another --name."
        )


def check_name(folder: Path) -> None:
    """Raise TransferError for a path that is not UTF-8: TensorBoard cannot write there."""
    try:
        str(folder).encode()
    except UnicodeEncodeError as error:
        raise TransferError(
            f"{folder} cannot hold a run: its name is no UTF-8 text here. Choose another --name or --runs-dir; where "
            "LC_ALL is C, LC_ALL=C.UTF-8 makes text of names that are not English."
        ) from error


def check_links(folder: Path) -> None:
    """Raise TransferError for a link inside a run folder, which would lead writes elsewhere.

    The folder itself may be a link of its user.
    """
    for place, folders, files in os.walk(folder):
        for path in (Path(place, name) for name in sorted([*folders, *files])):
            if path.is_symlink():
                raise TransferError(
                    f"{path} is a link, to {os.readlink(path)}: a run writes only into its own folder. Remove it; to "
                    "take a trunk from elsewhere there is --set pretrain.from=RUN"
                )


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Hold a lock on the folder, where the file system has locks; the system releases it when this process ends.

    Raises:
        TransferError: another process holds it.
    """
    handle = os.open(folder, os.O_RDONLY)
    try:
        if lock(handle) is False:
            raise TransferError(
                f"{folder} is in use: another process is at work on this run. Wait for it, or choose another --name."
            )
        yield
    finally:
        os.close(handle)


def with_cells(config: RunConfig, modes: Iterable[str], seeds: Iterable[int]) -> RunConfig:
    """The config with these modes and seeds, each once, in the order of their first mention."""
    adapting = replace(config.adapt, modes=tuple(dict.fromkeys(modes)))
    return replace(config, adapt=adapting, run=replace(config.run, seeds=tuple(dict.fromkeys(seeds))))


def resume_command(folder: Path) -> str:
    """The command that goes on with the run in a folder, in backquotes."""
    modules = named_modules(config_table(load_config(str(folder)))) if (folder / "config.toml").is_file() else []
    return f"`{resuming(modules, str(folder))}`"
