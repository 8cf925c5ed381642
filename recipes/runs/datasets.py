"""The data of a run: the datasets that a section of its config means, their environment, getting and loading them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from transfer.data.environment.spec import EnvironmentSpec
from transfer.data.episodes import Episodes
from transfer.envs.bundled.making import make_dataset
from transfer.envs.catalog import environment
from transfer.envs.dataset_ids import BUNDLED, at_hand, check_known, is_local, resolve
from transfer.envs.loading import load_episodes
from transfer.envs.minari.download import fetch
from transfer.envs.minari.remote import REMOTE
from transfer.errors import TransferError
from transfer.recipes.runs.used import Used
from transfer.recipes.settings.config import DataConfig
from transfer.recipes.watching.progress import Progress

Say = Callable[[str], None]


def named(data: DataConfig) -> tuple[str, ...]:
    """The names in a section: its data, or its fallback where it has none. Nothing is looked for.

    Raises:
        TransferError: a name that is neither bundled nor a Minari id, in `fallback` too.
    """
    if data.fallback:
        resolve(data.fallback)  # a typing error in it is refused even when it is not needed
    names = data.data or ((data.fallback,) if data.fallback else ())
    return names if not names or resolve(names) else ()


def obtain(section: str, data: DataConfig, before: Used | None, say: Say) -> tuple[str, ...]:
    """The names of the data of a section; afterwards all but unmade bundled ones lie on this machine.

    Missing data are downloaded. Where that fails, the fallback is used if it is of the same environment, and a line
    says so. A run that goes on uses the data of `before` again.

    Raises:
        TransferError: an id that is neither here nor known, or data that cannot be had, without a fitting fallback.
    """
    names = before.data if before is not None else named(data)
    check_known(names)
    try:
        if absent := away(names):
            say(f"{', '.join(absent)}: not on this machine, so asked for at Minari")
            fetch(absent)
        return names
    except TransferError as error:
        if before is not None or not data.fallback:
            raise
        wanted, other = environment_of(data.data).name, environment_of((data.fallback,)).name
        if wanted != other:
            raise TransferError(
                f"{error}\nThe fallback {data.fallback} is of {other}, not of {wanted}, so it is not used."
            ) from error
        reason = str(error).partition(". ")[0]
        say(f"[{section}] {reason}. The fallback of the same environment is used instead: {data.fallback}")
        return (data.fallback,)


def away(names: Sequence[str]) -> list[str]:
    """The Minari ids among some data that have to be downloaded."""
    return [one for one in resolve(names) if not is_local(one) and not one.startswith("bundled/")]


def unmade(names: Sequence[str]) -> list[str]:
    """The bundled names among some data that have to be made first."""
    each = [one.strip() for item in names for one in item.split(",")]
    return [one for one in each if one in BUNDLED and not at_hand(one)]


def environment_of(names: Sequence[str], env: str = "") -> EnvironmentSpec:
    """The environment of some data; nothing is made or downloaded for it.

    Raises:
        TransferError: an id that is neither here nor known, or data that cannot be loaded.
    """
    check_known(names)
    later = [one.partition("/")[0] for one in unmade(names)] + [REMOTE.get(one, "") for one in away(names)]
    if later and not later[0]:
        raise TransferError(
            f"{', '.join(names)} cannot be had, and its environment is in no table of this library; no fallback is "
            "known to be of the same one."
        )
    return environment(later[0]) if later else load_episodes(names, env or None).env_spec


def make(names: Sequence[str], say: Say) -> None:
    """Make the bundled datasets among some data that are not there yet."""
    for name in unmade(names):
        say(f"{name}: made now by playing the bundled policies")
        with Progress(1, name) as progress:
            make_dataset(name, on_progress=progress.update)


def load(section: str, names: Sequence[str], before: Used | None, say: Say, env: str = "") -> Episodes:
    """Episodes of a section, with a line about their number and score.

    Raises:
        TransferError: see `transfer.envs.loading.load_episodes`; other episodes than those that the run began with.
    """
    episodes = load_episodes(names, env or None)
    if before is not None and before.content != episodes.content_hash:
        raise TransferError(
            f"the data of [{section}], {', '.join(names)}, changed since this run began: content "
            f"{before.content[:12]} then, {episodes.content_hash[:12]} now. What it has trained would not compare with "
            "what it trains next: bring the old data back, or start anew under another --name."
        )
    reference = episodes.env_spec.reference
    say(
        f"{', '.join(episodes.dataset_ids)}: {episodes.num_episodes} episodes, {episodes.num_steps} steps, mean "
        f"{reference.table} score {reference.score(float(episodes.returns.mean())):.1f}"
    )
    return episodes
