"""The data of a run: the datasets that a section of its config means, their environment, getting and loading them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from transfer import registry
from transfer.data.environment.spec import EnvironmentSpec
from transfer.data.episodes import Episodes
from transfer.data.splits import held_out
from transfer.envs.catalog import environment, find
from transfer.envs.dataset_ids import BUNDLED, at_hand, check_known, is_local, resolve
from transfer.envs.loading import load_episodes
from transfer.envs.minari.download import fetch
from transfer.envs.minari.remote import REMOTE
from transfer.errors import BrokenKind, TransferError, check_type
from transfer.numbers import seen
from transfer.recipes.runs.used import Used
from transfer.recipes.settings.sections import DataConfig

Say = Callable[[str], None]
SEED = 0
"""Of the episodes that are drawn: the same for every mode and every seed of a run, whichever of them are trained."""


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
    if later:
        return environment(later[0])
    spec = load_episodes(names, env or None).env_spec
    check_env(names, env, spec)
    return spec


def check_env(names: Sequence[str], env: str, spec: EnvironmentSpec) -> None:
    """Raise TransferError where `env` is a known environment of another body than the one that the data name.

    Its reference scores would not be those of the data. An environment of the user's own may be a variant of that body.
    """
    own = None
    with suppress(TransferError):  # data that name no environment
        own = load_episodes(names).env_spec if env else None
    if own is not None and own.body != spec.body and find(spec.gym_id) is not None:
        raise TransferError(
            f"env = '{env}' is another body than that of {', '.join(names)}, {own.gym_id}, whatever its sizes. Leave "
            "env out, or name data of that body"
        )


@dataclass(frozen=True)
class Data:
    """The episodes of a body that are trained on, and those that are held out of it; None where none are.

    Attributes:
        content: hash of all its episodes, before any was held out or filtered.
    """

    episodes: Episodes
    held_out: Episodes | None = None
    content: str = ""


def load(key: str, data: DataConfig, names: Sequence[str], before: Used | None, say: Say, hold: bool = False) -> Data:
    """The episodes of a body, with a line about their number and score.

    Args:
        key: of the body, as in `[used]`.
        data: its settings. Some episodes are held out, its filter chooses among those and among the rest, of which its
            number of episodes is drawn.
        names: of its datasets.
        before: what the run began with, where it goes on.
        say: takes the line.
        hold: whether some are held out.

    Raises:
        TransferError: see `transfer.envs.loading.load_episodes`; fewer episodes than are to be drawn, none to hold out,
            or other episodes than those that the run began with.
    """
    whole = loaded(key, data, names)
    check_env(names, data.env, whole.env_spec)
    # Episodes are held out before a filter, so that bodies of the same data hold out the same ones.
    rest, kept_out = held_out(whole) if hold else (whole, None)
    kept_out = None if kept_out is None else filtered(key, data, kept_out)
    found = Data(drawn(key, data, filtered(key, data, rest), hold), kept_out, whole.content_hash)
    if (mixture := found.episodes.mixture) is not None:
        mixture.chances(found.episodes.lengths)  # refuses a share of the windows for a dataset without episodes
    content = found.episodes.content_hash
    if before is not None and before.content != content:
        raise TransferError(
            f"the data of [{key}], {', '.join(names)}, changed since this run began: content "
            f"{before.content[:12]} then, {content[:12]} now. What it has trained would not compare with what it "
            "trains next: bring the old data back, or start anew under another --name."
        )
    reference, used = whole.env_spec.reference, found.episodes
    kept = f", trained on {len(used)} of them, {used.num_steps} steps" if len(used) < len(whole) or hold else ""
    say(
        f"{', '.join(whole.dataset_ids)}: {whole.num_episodes} episodes, {whole.num_steps} steps, mean "
        f"{reference.table} score {reference.score(float(whole.returns.mean())):.1f}{kept}"
    )
    return found


def loaded(key: str, data: DataConfig, names: Sequence[str]) -> Episodes:
    """All episodes of some datasets, with the weights that a section gives them.

    Raises:
        TransferError: as `load`; weights of data that a fallback stands in for.
    """
    if not data.weights:
        return load_episodes(names, data.env or None)
    if tuple(names) != data.data:
        raise TransferError(
            f"{key}.weights are those of {', '.join(data.data)}, which cannot be had: the fallback {', '.join(names)} "
            "has none. Leave them out, or name data that are on this machine"
        )
    return Episodes.join([load_episodes(name, data.env or None) for name in names], data.weights)


def filtered(key: str, data: DataConfig, episodes: Episodes) -> Episodes:
    """The episodes that a section's filter leaves.

    Raises:
        TransferError: a filter that fails or leaves none, by its name.
    """
    spec = data.filter
    if spec is None:
        return episodes
    options = ", ".join(f"{name} = {seen(value)}" for name, value in spec.options.items())
    named = f"the filter '{spec.kind}'{f' ({options})' if options else ''} of [{key}]"
    try:
        left = check_type(registry.build("filter", spec, episodes), Episodes, "what it returns")
    except BrokenKind:
        raise
    except TransferError as error:
        of = f"{len(episodes):,} episodes of {', '.join(episodes.dataset_ids)}"
        raise TransferError(f"{named} leaves nothing of the {of}: {error}") from error
    if episodes.mixture is not None and left.mixture is None:
        raise TransferError(f"{named} returns episodes without their weights: choose by episodes.pick(...)")
    return left


def drawn(key: str, data: DataConfig, episodes: Episodes, hold: bool) -> Episodes:
    """As many episodes as a section names, drawn by `SEED`: those of a smaller number are among those of a larger.

    Raises:
        TransferError: fewer than are to be drawn.
    """
    if data.episodes > len(episodes):
        behind = [word for word, there in (("its filter", data.filter is not None), ("those held out", hold)) if there]
        left = f"has, behind {' and '.join(behind)}," if behind else "has"
        raise TransferError(
            f"{key}.episodes is {data.episodes:,}, and {', '.join(episodes.dataset_ids)} {left} {len(episodes):,}: set "
            f"it to {len(episodes)} or less, or to 0 for all"
        )
    return episodes.sample(data.episodes, SEED) if data.episodes else episodes
