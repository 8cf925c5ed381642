"""The data of a run: which datasets a section of its config means here, what environment they are of, getting them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

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
    """What a section asks for: its data, or its fallback where it names none. Nothing is looked for.

    Raises:
        TransferError: a name that is neither bundled nor a Minari id, in `fallback` too.
    """
    if data.fallback:
        resolve(data.fallback)  # a typing error in it does not wait for the day it is needed
    names = data.data or ((data.fallback,) if data.fallback else ())
    return names if not names or resolve(names) else ()


def obtain(section: str, data: DataConfig, before: Used | None, say: Say) -> tuple[str, ...]:
    """The names of the data that a section means here; afterwards all but unmade bundled ones lie on this machine.

    What is at hand is used, else it is downloaded. Where that fails, the fallback is used if it is of the same
    environment, and a line says so.

    Args:
        section: "source" or "target", for messages.
        data: the section.
        before: what the run used until now, when it goes on: the same again.
        say: takes lines for people.

    Raises:
        TransferError: an id that is neither here nor known, or data that cannot be had, without a fitting fallback.
    """
    names = before.data if before is not None else named(data)
    check_known(names)
    try:
        if absent := away(names):
            say(f"{', '.join(absent)}: not on this machine, so asked for at Minari")
            fetch(absent)
    except TransferError as error:
        if before is not None or not data.fallback:
            raise
        check_same(data, error)
        reason = str(error).partition(". ")[0]
        say(f"[{section}] {reason}. The fallback of the same environment is used instead: {data.fallback}")
        return (data.fallback,)
    return names


def check_same(data: DataConfig, error: TransferError) -> None:
    """Raise TransferError, with the error that came first, unless the fallback is of the environment asked for."""
    wanted, other = environment_of(data.data).name, environment_of((data.fallback,)).name
    if wanted != other:
        raise TransferError(
            f"{error}\nThe fallback {data.fallback} is of {other}, not of {wanted}, so it is not used."
        ) from error


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
    """Episodes of a section, with a line that says what they are.

    Raises:
        TransferError: see `transfer.envs.loading.load_episodes`; episodes that are not those that the run began with.
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


def check_playable(episodes: Mapping[str, Episodes]) -> None:
    """Build the environment of each section once, so that none of them turns out missing after all training.

    Raises:
        TransferError: why it cannot be built.
    """
    for section, one in episodes.items():
        try:
            one.env_spec.make().close()
        except TransferError as error:
            raise TransferError(f"[{section}] the run could not play what it trains: {error}") from error
