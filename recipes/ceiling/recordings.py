"""Episodes as a Minari dataset stores them: what `load_episodes` packs, and what is stored about their start.

Letters: S state size, A action size, T steps of an episode.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from transfer.data.environment.answers import SUCCESS
from transfer.data.environment.spec import EnvironmentSpec
from transfer.data.episodes import Episodes
from transfer.envs.dataset_ids import data_path
from transfer.envs.minari.hdf5 import episode_names, opened
from transfer.envs.minari.metadata import read_metadata


@dataclass(frozen=True, eq=False)
class Recording:
    """One episode of a dataset, and what is stored about its start.

    Attributes:
        spec: the environment that recorded it, without time limit: the data say how long the episode is.
        first: (S,) state vector at the start.
        actions: (T, A) float32.
        returned: undiscounted return in the data.
        success: whether the infos ever told of one, None where none is stored.
        seed: of the reset, None where none is stored.
        options: of the reset.
        infos: first row of everything in the infos, by name, such as qpos and qvel.
    """

    spec: EnvironmentSpec
    first: NDArray[np.float32]
    actions: NDArray[np.float32]
    returned: float
    success: bool | None
    seed: int | None
    options: dict[str, Any]
    infos: dict[str, Any]


def recordings(episodes: Episodes, count: int) -> list[Recording]:
    """`count` episodes, or all if there are fewer, evenly spread over the local Minari datasets they came from.

    Raises:
        TransferError: a data file or its metadata cannot be read.
    """
    chosen = np.linspace(0, episodes.num_episodes - 1, min(count, episodes.num_episodes)).round().astype(int)
    found: list[Recording] = []
    start = 0
    for dataset_id in episodes.dataset_ids:
        folder = data_path(dataset_id)
        # AntMaze records and evaluates in different mazes.
        recorded = read_metadata(dataset_id, folder).collected_in or episodes.env_spec.gym_spec
        endless = json.dumps(json.loads(recorded) | {"max_episode_steps": None})
        spec = replace(episodes.env_spec, gym_spec=endless)
        with opened(dataset_id, folder / "main_data.hdf5") as groups:
            names, _ = episode_names(groups)
            inside = [int(i) for i in chosen if start <= i < start + len(names)]
            found += [_recording(groups[names[i - start]], episodes, i, spec) for i in inside]
        start += len(names)
    return found


def _recording(group: Any, episodes: Episodes, index: int, spec: EnvironmentSpec) -> Recording:
    first, end = episodes.offsets[index : index + 2]
    infos = _arrays(group["infos"]) if "infos" in group else {}
    return Recording(
        spec=spec,
        first=np.array(episodes.states[first]),
        actions=np.array(episodes.actions[first:end]),
        returned=float(episodes.returns[index]),
        success=_success(infos),
        seed=int(group.attrs["seed"]) if "seed" in group.attrs else None,
        options=_options(group.attrs),
        infos={name: array[0] for name, array in infos.items()},
    )


def _success(infos: dict[str, Any]) -> bool | None:
    """Whether an episode succeeded, under any name in use; None where nothing is stored about it."""
    stored = [np.asarray(infos[name][()], np.float64) for name in SUCCESS if name in infos]
    return any(bool((one >= 1).any()) for one in stored) if stored else None


def _arrays(group: Any) -> dict[str, Any]:
    """Every non-empty array in a group and the groups inside it, by the last part of its name."""
    found: dict[str, Any] = {}
    for name, inside in group.items():
        if hasattr(inside, "items"):
            found |= _arrays(inside)
        elif inside.ndim and len(inside):
            found[name] = inside
    return found


def _options(attributes: Any) -> dict[str, Any]:
    """The options of the reset, which Minari flattens to attributes "options/a/b"."""
    options: dict[str, Any] = {}
    for name in (key for key in attributes if key.startswith("options/")):
        *above, last = name.split("/")[1:]
        inside = options
        for key in above:
            inside = inside.setdefault(key, {})
        inside[last] = attributes[name]
    return options
