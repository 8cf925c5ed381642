"""The data of a run: which datasets a config means here, what environment they are of, making and loading them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from transfer.envs.bundled import make_dataset
from transfer.envs.loading import at_hand, load_episodes
from transfer.envs.names import BUNDLED, resolve
from transfer.envs.specs import environment
from transfer.episodes import Episodes
from transfer.progress import Progress
from transfer.recipes.config import DataConfig, RunConfig
from transfer.specs import EnvironmentSpec


def pick_data(config: RunConfig) -> RunConfig:
    """The config with the datasets that `[source]` and `[target]` mean on this machine, and a whole `pretrain.from`.

    Nothing is made or downloaded. A source that names nothing stays as it is: some modes need none.

    Raises:
        TransferError: a name that is neither bundled nor a Minari id, in `fallback` too.
    """
    source = pick(config.source) if config.source.data or config.source.fallback else config.source
    origin = str(Path(config.pretrain.from_).expanduser().absolute()) if config.pretrain.from_ else ""
    return replace(config, source=source, target=pick(config.target), pretrain=replace(config.pretrain, from_=origin))


def pick(data: DataConfig) -> DataConfig:
    """`data` when it lies on this machine or there is nothing else, else `fallback`."""
    if data.fallback:
        resolve(data.fallback)  # a typing error in it does not wait for the day it is needed
    if data.data and (at_hand(data.data) or not data.fallback):
        return DataConfig(data.data)
    return DataConfig((data.fallback,))


def unmade(data: DataConfig) -> list[str]:
    """The bundled names among some data that have to be made first."""
    names = [name.strip() for item in data.data for name in item.split(",")]
    return [name for name in names if name in BUNDLED and not at_hand(name)]


def environment_of(data: DataConfig) -> EnvironmentSpec:
    """The environment of some data; bundled data is not made for it, other data is downloaded where it has to be."""
    names = unmade(data)
    return environment(names[0].partition("/")[0]) if names else load_episodes(data.data).env_spec


def make(data: DataConfig, say: Callable[[str], None]) -> None:
    """Make the bundled datasets among some data that are not there yet."""
    for name in unmade(data):
        say(f"{name}: made now by playing the bundled policies")
        with Progress(1, name) as progress:
            make_dataset(name, on_progress=progress.update)


def load(data: DataConfig, say: Callable[[str], None]) -> Episodes:
    """Episodes of a section, with a line that says what they are.

    Raises:
        TransferError: see `transfer.envs.loading.load_episodes`.
    """
    episodes = load_episodes(data.data)
    reference = episodes.env_spec.reference
    say(
        f"{', '.join(episodes.dataset_ids)}: {episodes.num_episodes} episodes, {episodes.num_steps} steps, mean "
        f"{reference.table} score {reference.score(float(episodes.returns.mean())):.1f}"
    )
    return episodes
