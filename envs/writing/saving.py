"""Saving episodes as local Minari datasets, which every command finds by their id."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from gymnasium.spaces import Box, Dict, Space

from transfer.data.environment.building.recording import warn_of_gaps
from transfer.data.environment.spec import EnvironmentSpec, as_spec
from transfer.data.episode import Episode
from transfer.data.episodes import Episodes
from transfer.envs.writing.minari_format import WholeEpisode, check_new_id, publish, spaces_in, staging, write_dataset
from transfer.envs.writing.recorder import Recorder
from transfer.errors import NotAtHand, TransferError
from transfer.numbers import flag, seen


def save_dataset(
    episodes: Episodes | Recorder,
    dataset_id: str,
    env: Any = None,
    overwrite: bool = False,
    description: str = "",
) -> str:
    """Saves episodes as a local Minari dataset. It appears as a whole, or not at all after an error.

    `load_episodes` and `minari.load_dataset` read it; the latter can recover the environment. A `Recorder` has the
    observation after the last action of each episode, and knows whether it was terminated. `Episodes` have neither: the
    last observation is stored twice, and the episode as truncated. A log line says what of the environment no file can
    hold.

    Args:
        episodes: the episodes to save.
        dataset_id: such as "mine/pendulum-v0".
        env: the environment that made them, an object, an id or a spec; default: the episodes' own.
        overwrite: replace a dataset with this id. The old one is removed when the new one is complete.
        description: free text.

    Returns:
        The id.

    Raises:
        TransferError: another type than episodes, nothing recorded, an invalid or taken id, an environment of other
            sizes or without a Gymnasium spec, or a disk that cannot be written to.
    """
    if not isinstance(episodes, Episodes | Recorder):
        raise TransferError(f"only Episodes and a Recorder are saved, got {seen(episodes)}")
    if not isinstance(description, str):
        raise TransferError(f"the description must be text, got {seen(description)}")
    check_new_id(dataset_id, flag(overwrite, "overwrite"), "Replace it with overwrite=True")
    spec = _spec(episodes, env)
    about = {"description": description} if description else {}
    spaces = _spaces(spec, episodes)
    with staging() as folder:
        write_dataset(folder / "0", dataset_id, spec.gym_spec, _parts(episodes, spec), about, spaces)
        publish(folder / "0", dataset_id)
    warn_of_gaps(spec.gym_spec)
    return dataset_id


def _spaces(spec: EnvironmentSpec, episodes: Episodes | Recorder) -> tuple[Any, Any]:
    """The spaces of observations and actions: the environment's, or the data's if it cannot be built here."""
    if isinstance(episodes, Recorder):
        return episodes.env.observation_space, episodes.env.action_space
    try:
        return spaces_in(spec.gym_spec)
    except NotAtHand:
        boxes: dict[str, Space[Any]] = {one.key: Box(-np.inf, np.inf, (one.size,), np.float64) for one in spec.slices}
        boxes |= {one.minus: boxes[one.key] for one in spec.slices if one.minus}
        shown = boxes[""] if "" in boxes and len(boxes) == 1 else Dict(boxes)
        return shown, Box(np.array(spec.action_low, np.float32), np.array(spec.action_high, np.float32))


def _spec(episodes: Episodes | Recorder, env: Any) -> EnvironmentSpec:
    """The spec of the environment that made the episodes. Those of a recorder are checked on the way."""
    own: Any = episodes.env if isinstance(episodes, Recorder) else episodes.env_spec
    checked = episodes.episodes() if isinstance(episodes, Recorder) else episodes
    return as_spec(own if env is None else env, data=checked.env_spec.spaces)


def _parts(episodes: Episodes | Recorder, spec: EnvironmentSpec) -> Iterator[WholeEpisode]:
    if isinstance(episodes, Recorder):
        for one in episodes.recordings():
            actions, rewards = np.stack(one.actions), np.array(one.rewards)
            yield WholeEpisode(one.stacked(), actions, rewards, one.terminated, one.seed, one.infos())
    else:
        for episode in episodes:
            yield WholeEpisode(_observations(episode, spec), episode.actions, episode.rewards, terminated=False)


def _observations(episode: Episode, spec: EnvironmentSpec) -> Any:
    """Observations (T + 1, S), or a mapping of them by key, restored from the states."""
    states = np.concatenate([episode.states, episode.states[-1:]])
    if not any(one.key for one in spec.slices):
        return states
    ends = np.cumsum([one.size for one in spec.slices])
    # In float64 the goal minus the position is restored exactly.
    parts = dict(zip(spec.slices, np.split(states.astype(np.float64), ends[:-1], axis=1), strict=True))
    shown = {one.key: values for one, values in parts.items() if not one.minus}
    return shown | {one.key: values + shown[one.minus] for one, values in parts.items() if one.minus}
