"""Surveying a local Minari dataset in one pass, for the checks."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from transfer.data.environment.building.make import Spaces, spaces_at_hand, spaces_of
from transfer.data.environment.observations import Slices, ant_hint, slices_of_space, summary, vector_size
from transfer.data.environment.spec import EnvironmentSpec, as_spec, spec_of_data
from transfer.envs.catalog import KnownEnvironment, find
from transfer.envs.checks.measured import Array, EpisodeLayout, Measured, distances, measure_episode
from transfer.envs.dataset_ids import check_known, command_for, data_path, is_local, resolve
from transfer.envs.minari.hdf5 import CheckedArrays, again, episode_names, opened
from transfer.envs.minari.metadata import DatasetMetadata, read_metadata
from transfer.envs.minari.reading import check_file
from transfer.errors import NotAtHand, TransferError

GOAL_RADIUS = 0.45  # gymnasium_robotics, maze_v4.py, compute_reward
D4RL_RADIUS = 0.5  # D4RL, locomotion/goal_reaching_env.py and maze_env.py


@dataclass(frozen=True)
class Data:
    """The survey of a dataset."""

    dataset_id: str
    metadata: Mapping[str, Any]  # the JSON object of the dataset
    collected_in: Mapping[str, Any]  # Gymnasium spec (JSON) of the environment that made the data, empty if none
    evaluated_in: Mapping[str, Any]  # Gymnasium spec of the environment to evaluate in; default: `collected_in`
    layout: EpisodeLayout  # the arrays that every episode must have
    unsupported: tuple[str, ...]  # why observations or actions are not supported, a sentence each
    problem: str  # why the environment cannot be built, "" if it can
    mismatch: str  # how its spaces differ from the data's, "" if they do not
    spaces: Spaces | None  # sizes and bounds of the environment, None if not known
    spec: EnvironmentSpec | None  # of the environment, None if data or environment do not allow one
    episodes: tuple[Measured, ...]  # in the order of the file
    odd: tuple[str, ...]  # names in the file that only begin like an episode's

    @property
    def gym_id(self) -> str:
        """Gymnasium id of the environment to evaluate in, "" if there is none."""
        return str(self.evaluated_in.get("id", ""))

    @property
    def goal_radius(self) -> float:
        """Distance at which a maze's goal counts as reached in the data; D4RL's own files have another one."""
        return D4RL_RADIUS if self.metadata.get("imported") else GOAL_RADIUS

    @property
    def known(self) -> KnownEnvironment | None:
        """The catalog's row of the environment, None if there is none."""
        return find(self.gym_id)

    @property
    def settings(self) -> Mapping[str, Any]:
        """Arguments of the environment that made the data."""
        return self.collected_in.get("kwargs") or {}

    @property
    def antmaze(self) -> bool:
        """Whether the environment is an AntMaze of any size and version."""
        return self.gym_id.startswith("AntMaze")

    @property
    def limit(self) -> int | None:
        """Steps after which an evaluation truncates an episode, None if not known."""
        return self.spec.max_episode_steps if self.spec else self.evaluated_in.get("max_episode_steps")

    @functools.cached_property
    def steps(self) -> Array:
        """(E,) steps of each episode."""
        return np.array([one.steps for one in self.episodes], dtype=np.int64)

    @functools.cached_property
    def returns(self) -> Array:
        """(E,) undiscounted return of each episode."""
        return np.array([one.rewards.sum() for one in self.episodes], dtype=np.float64)

    @functools.cached_property
    def successes(self) -> list[bool]:
        """Success of the episodes that report it: in an AntMaze by the distance to the goal, else by the infos."""
        if self.antmaze:
            ways = [one.way for one in self.episodes if one.way is not None]
            return [bool((distances(way)[1:] <= self.goal_radius).any()) for way in ways]
        return [one.success for one in self.episodes if one.success is not None]


def survey(source: str, env: Any = None, trust: bool = False) -> Data:
    """Reads a dataset on this machine. Uses no network.

    Args:
        source: a Minari id or a bundled name of one dataset.
        env: the environment to evaluate in, in place of the metadata's; see `as_spec`.
        trust: import and call whatever the metadata name; see `transfer.data.environment.building.trust`.

    Raises:
        TransferError: an unknown name, a dataset that is not on this machine, a damaged file, or metadata that cannot
            be read.
    """
    dataset_id, file = _locate(source)
    metadata = read_metadata(dataset_id, file.parent, env is not None)
    played = metadata.played_in if env is None else as_spec(env, trust=trust).gym_spec
    spaces, problem, mismatch = _ask(played, trust)
    layout, unsupported = _layout(metadata, spaces)
    with opened(dataset_id, file) as groups:
        arrays, (names, odd) = CheckedArrays(groups, file), episode_names(groups)
        episodes = tuple(measure_episode(name, arrays, layout) for name in names)
    data = Data(
        dataset_id, dict(metadata.content), json.loads(metadata.collected_in or "{}"), json.loads(played or "{}"),
        layout, unsupported, problem, mismatch, spaces, None, episodes, tuple(odd),
    )  # fmt: skip
    if spaces is None or layout.slices is None or unsupported:
        return data
    finite = data.returns[np.isfinite(data.returns)]  # the scale is computed from these, everything else as in loading
    finite = finite if len(finite) else np.array([0.0, 1.0])
    spec = spec_of_data(played, spaces_at_hand(played, layout.slices, len(layout.low)), finite)
    return replace(data, mismatch=_mismatch(spaces, layout.slices, len(layout.low)), spec=spec)


def _locate(source: str) -> tuple[str, Path]:
    """Returns the Minari id of a source that names one dataset, and its data file."""
    ids = resolve(source)
    if len(ids) > 1:
        each = " && ".join(f"transfer data check {one}" for one in ids)
        raise TransferError(f"'{source}' stands for {len(ids)} datasets; check each: {each}")
    check_known(ids)
    file = data_path(ids[0]) / "main_data.hdf5"
    if not is_local(ids[0]):
        raise TransferError(f"dataset '{ids[0]}' is not on this machine. Get it: {command_for(ids[0])}")
    check_file(file, ids[0])
    return ids[0], file


def _ask(gym_spec: str, trust: bool) -> tuple[Spaces | None, str, str]:
    """Returns the environment's spaces or None, why it cannot be built, and why it cannot be used, "" if it can."""
    if not gym_spec:
        return None, "the metadata name none", ""
    try:
        return spaces_of(gym_spec, trust), "", ""
    except NotAtHand as error:
        return None, str(error), ""
    except TransferError as error:
        return None, "", str(error)


def _layout(metadata: DatasetMetadata, spaces: Spaces | None) -> tuple[EpisodeLayout, tuple[str, ...]]:
    """Returns the layout that the metadata declare, or that of the environment, and why it is not supported."""
    shown, taken = metadata.observation_space, metadata.action_space
    slices, size, low, high, unsupported = None, None, np.zeros(0), np.zeros(0), []
    if shown is not None and taken is not None:
        try:
            slices = slices_of_space(shown)
        except TransferError as error:
            unsupported.append(f"observations in {error}")
        try:
            size, low, high = vector_size(taken), taken.low, taken.high
        except TransferError as error:
            unsupported.append(f"actions in {error}")
    elif spaces is not None:
        slices, size, low, high = spaces.slices, len(spaces.low), np.array(spaces.low), np.array(spaces.high)
    else:
        raise TransferError(
            f"dataset '{metadata.dataset_id}': {metadata.file} cannot be used: it declares no spaces, and there is no "
            f"environment to ask. {again(metadata.dataset_id)}"
        )
    shapes: dict[str, tuple[int, ...]] = {"rewards": ()} | ({} if size is None else {"actions": (size,)})
    shapes |= {f"observations/{one.key}".rstrip("/"): (one.size,) for one in slices or ()}
    return EpisodeLayout(slices, shapes, low, high), tuple(unsupported)


def _mismatch(spaces: Spaces, slices: Slices, action_size: int) -> str:
    """Says how the spaces of the environment differ from the data's, "" if they do not."""
    if spaces.slices != slices:
        hint = ant_hint(spaces.slices, slices)
        return f"it shows {summary(spaces.slices)}, the data hold {summary(slices)}.{hint}"
    here = len(spaces.low)
    return f"it takes {here} action numbers, the data hold {action_size}" if here != action_size else ""
