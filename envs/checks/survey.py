"""One pass over a local Minari dataset: all that the checks of doctor.py look at."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from transfer.data.environment.building.make import Spaces, spaces_of
from transfer.data.environment.observations import ant_hint, slices_of_space, summary, total, vector_size
from transfer.data.environment.spec import EnvironmentSpec, as_spec, describe
from transfer.envs.catalog import KnownEnvironment, find
from transfer.envs.checks.measured import Array, Layout, Measured, distances, measure_file
from transfer.envs.dataset_ids import check_known, command_for, data_path, is_local, resolve
from transfer.envs.minari.hdf5 import Arrays, again, episode_names, opened
from transfer.envs.minari.metadata import Recorded, read_recorded
from transfer.envs.minari.reading import check_file
from transfer.errors import NotAtHand, TransferError

GOAL_RADIUS = 0.45  # gymnasium_robotics, maze_v4.py, compute_reward
D4RL_RADIUS = 0.5  # D4RL, locomotion/goal_reaching_env.py and maze_env.py


@dataclass(frozen=True)
class Data:
    """A dataset as the checks see it.

    Attributes:
        dataset_id: a Minari id.
        metadata: of the dataset, parsed.
        collected_in: Gymnasium spec of the collection, parsed; empty where there is none.
        evaluated_in: that of the evaluation; the same where the dataset has no own.
        layout: what every episode has to hold.
        unsupported: why observations or actions cannot be used, a sentence each.
        problem: why the environment cannot be built; "" where it can.
        mismatch: how its spaces differ from the data's; "" where they do not.
        spaces: what it shows and takes, None where that is not known.
        spec: as the library describes the environment; None where data or environment do not allow it.
        episodes: in the order of the file.
        odd: names in the file that only look like episodes.
    """

    dataset_id: str
    metadata: Mapping[str, Any]
    collected_in: Mapping[str, Any]
    evaluated_in: Mapping[str, Any]
    layout: Layout
    unsupported: tuple[str, ...]
    problem: str
    mismatch: str
    spaces: Spaces | None
    spec: EnvironmentSpec | None
    episodes: tuple[Measured, ...]
    odd: tuple[str, ...]

    @property
    def gym_id(self) -> str:
        """Of the evaluation; "" where there is none."""
        return str(self.evaluated_in.get("id", ""))

    @property
    def goal_radius(self) -> float:
        """How near a maze's goal counts as there, in the data: D4RL's own files have another radius."""
        return D4RL_RADIUS if self.metadata.get("imported") else GOAL_RADIUS

    @property
    def known(self) -> KnownEnvironment | None:
        """The row of the table, if the environment has one."""
        return find(self.gym_id)

    @property
    def settings(self) -> Mapping[str, Any]:
        """What the environment of the collection was built with."""
        return self.collected_in.get("kwargs") or {}

    @property
    def antmaze(self) -> bool:
        """Whether an ant walks through a maze here, of any size and version."""
        return self.gym_id.startswith("AntMaze")

    @property
    def limit(self) -> int | None:
        """Steps after which an evaluation cuts an episode, None where it is not known."""
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
        """Of the episodes that tell: in an AntMaze by the distance to the goal, elsewhere by the infos."""
        if self.antmaze:
            ways = [one.way for one in self.episodes if one.way is not None]
            return [bool((distances(way)[1:] <= self.goal_radius).any()) for way in ways]
        return [one.success for one in self.episodes if one.success is not None]


def survey(source: str, env: Any = None, trust: bool = False) -> Data:
    """Reads a dataset that lies on this machine; never uses the network.

    Args:
        source: a Minari id or a bundled name of one dataset.
        env: the environment to evaluate in, in place of the one that the metadata name; see `as_spec`.
        trust: import and call whatever the metadata name; see `transfer.data.environment.building.trust`.

    Raises:
        TransferError: an unknown name, a dataset that is not here, a file that is not whole, or metadata that cannot
            be read.
    """
    dataset_id, file = _locate(source)
    recorded = read_recorded(dataset_id, file.parent, env is not None)
    played = recorded.played_in if env is None else as_spec(env, trust=trust).gym_spec
    spaces, problem, mismatch = _ask(played, trust)
    layout, unsupported = _layout(recorded, spaces)
    with opened(dataset_id, file) as groups:
        episodes, odd = measure_file(Arrays(groups, file), layout), episode_names(groups)[1]
    usable = spaces is not None and not unsupported
    data = Data(
        dataset_id, dict(recorded.metadata), json.loads(recorded.collected_in or "{}"), json.loads(played or "{}"),
        layout, unsupported, problem, (mismatch or _mismatch(spaces, layout)) if usable or mismatch else "",
        spaces, None, episodes, tuple(odd),
    )  # fmt: skip
    return replace(data, spec=_describe(data, played)) if usable else data


def _locate(source: str) -> tuple[str, Path]:
    """The one Minari id that is meant, and its data file."""
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
    """What the environment shows and takes, or None; why it cannot be built, and why it cannot be used, "" each."""
    if not gym_spec:
        return None, "the metadata name none", ""
    try:
        return spaces_of(gym_spec, trust), "", ""
    except NotAtHand as error:
        return None, str(error), ""
    except TransferError as error:
        return None, "", str(error)


def _layout(recorded: Recorded, spaces: Spaces | None) -> tuple[Layout, tuple[str, ...]]:
    """The layout that the metadata declare; where they do not, what the environment shows and takes."""
    if recorded.observation_space is not None and recorded.action_space is not None:
        return layout_of(recorded.observation_space, recorded.action_space)
    if spaces is None:
        raise TransferError(
            f"dataset '{recorded.dataset_id}': {recorded.file} cannot be used: it declares no spaces, and there is no "
            f"environment to ask. {again(recorded.dataset_id)}"
        )
    shapes: dict[str, tuple[int, ...]] = {"rewards": (), "actions": (len(spaces.low),)}
    shapes |= {f"observations/{one.key}".rstrip("/"): (one.size,) for one in spaces.slices}
    return Layout(spaces.slices, shapes, np.array(spaces.low), np.array(spaces.high)), ()


def layout_of(observation_space: Any, action_space: Any) -> tuple[Layout, tuple[str, ...]]:
    """What episodes of these spaces hold, and why the library cannot use them, a sentence for each space."""
    slices, low, high, unsupported = None, np.zeros(0), np.zeros(0), []
    shapes: dict[str, tuple[int, ...]] = {"rewards": ()}
    try:
        slices = slices_of_space(observation_space)
        shapes |= {f"observations/{one.key}".rstrip("/"): (one.size,) for one in slices}
    except TransferError as error:
        unsupported.append(f"observations in {error}")
    try:
        shapes["actions"] = (vector_size(action_space),)
        low, high = action_space.low, action_space.high
    except TransferError as error:
        unsupported.append(f"actions in {error}")
    return Layout(slices, shapes, low, high), tuple(unsupported)


def _mismatch(spaces: Spaces | None, layout: Layout) -> str:
    """How the spaces of the environment differ from the data's, "" where they do not."""
    if spaces is None or layout.slices is None:
        return ""
    if spaces.slices != layout.slices:
        hint = ant_hint(spaces.slices, layout.slices)
        return f"it shows {summary(spaces.slices)}, the data hold {summary(layout.slices)}.{hint}"
    here, there = len(spaces.low), len(layout.low)
    return f"it takes {here} action numbers, the data hold {there}" if here != there else ""


def _describe(data: Data, gym_spec: str) -> EnvironmentSpec:
    """As the loader describes it; returns that are not finite are reported elsewhere and no scale."""
    slices = data.layout.slices or ()
    finite = data.returns[np.isfinite(data.returns)]
    sizes = total(slices), len(data.layout.low)
    return describe(gym_spec, *sizes, finite if len(finite) else np.array([0.0, 1.0]), slices=slices)
