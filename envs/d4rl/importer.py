"""Importing D4RL's own HDF5 files as local Minari datasets. Needs h5py, neither d4rl nor the old gym.

Letters: N steps of the file, E episodes, T steps of an episode, S observation size, A action size.
"""

import logging
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from transfer.envs.catalog import ENVIRONMENTS, KnownEnvironment, known_environment
from transfer.envs.d4rl.d4rl_file import D4RLArrays, observations, opened
from transfer.envs.minari.entries import sha256_of
from transfer.envs.writing.minari_format import WholeEpisode, check_new_id, publish, staging, write_dataset
from transfer.errors import TransferError
from transfer.storage.files import as_path

logger = logging.getLogger(__name__)
# Names of the mazes in D4RL's own files.
_MAZES = {
    "ant-maze-u-maze": "antmaze-umaze",
    "ant-maze-big-maze": "antmaze-medium",
    "ant-maze-hardest-maze": "antmaze-large",
}


@dataclass(frozen=True)
class _Family:
    """One kind of files."""

    version: int  # the first one without known errors
    errors: str  # of the versions before
    # How the recording environment differed, as the end of a sentence.
    physics: str = "was recorded in mujoco_py's physics, where the same actions move the body a little differently"


_LOCOMOTION = _Family(
    2,
    "hopper-medium-expert-v0 holds other data than its name says (D4RL #19), and in v1 hopper's medium and expert were "
    "swapped (D4RL #76)",
)
_ADROIT = _Family(1, "in v0 the marked ends of episodes are not those of the demonstrations (D4RL #137)")
_ANTMAZE = _Family(
    2,
    "in v0 and v1 the marked ends of episodes are not where the ant was set back (D4RL #77; on rewards #199)",
    "was recorded with another ant (a fifth of the torque, 0.1 s a step instead of 0.05 s; Minari #152) and its "
    "positions count from the start cell, with y the other way up: scores of this environment say little about it",
)


def import_d4rl(
    file: Path,
    env: str,
    dataset_id: str = "",
    overwrite: bool = False,
    on_progress: Callable[[int, int], None] | None = None,
) -> str:
    """Imports a file of D4RL as a local Minari dataset. It appears as a whole, or not at all after an error.

    Args:
        file: such as hopper_medium_expert-v2.hdf5.
        env: short name of its environment, such as "hopper", "pen" or "antmaze-umaze".
        dataset_id: Minari id of the result; default: "imported/" and the name of the file with its version.
        overwrite: replace a dataset with this id.
        on_progress: called with (steps written, N).

    Returns:
        The Minari id.

    Raises:
        TransferError: an unknown environment, a version with known errors, an invalid or taken id, or a file that is
            damaged, empty, not finite, of another environment or not in D4RL's layout.
    """
    file = as_path(file, "the file")
    family, known = _checked_version(file.stem, env)
    new_id = check_new_id(dataset_id or _new_id(file.stem), overwrite, "Replace it with --overwrite")
    with opened(file, goals=family is _ANTMAZE) as arrays:
        spec = _fitting_spec(known, arrays)
        _check_name(file, env)
        terminals = arrays.flags("terminals")
        timeouts = arrays.flags("timeouts") if "timeouts" in arrays.of else None
        if timeouts is None:
            limit = f"{known.max_episode_steps} steps, the limit of {env}"
            logger.warning("%s has no timeouts: episodes end at its terminals and after %s", file.name, limit)
        logger.warning("%s %s; evaluations are in %s", file.name, family.physics, spec.id)
        ends = episode_ends(terminals, timeouts, known.max_episode_steps)
        episodes = _episodes(arrays, ends, terminals, on_progress or (lambda done, total: None))
        with staging() as folder:
            write_dataset(folder / "0", new_id, spec, episodes, _metadata(arrays, family))
            publish(folder / "0", new_id)
    return new_id


def _new_id(stem: str) -> str:
    """Returns a Minari id for a file of this name."""
    name = re.sub(r"[^-a-z0-9_]", "-", stem.lower())
    return f"imported/{name}{'' if re.search(r'.-v[0-9]+$', name) else '-v0'}"


def episode_ends(
    terminals: NDArray[np.bool_], timeouts: NDArray[np.bool_] | None, limit: int = 1000
) -> NDArray[np.int64]:
    """Returns the end of each episode, one past its last step: (E,) ascending to N.

    Steps after the last mark are an episode too.

    Args:
        terminals: (N,) whether an episode is terminated at a step.
        timeouts: (N,) whether it is truncated there; None: truncated after `limit` steps.
        limit: in steps.
    """
    marked = terminals if timeouts is None else terminals | timeouts
    ends = np.union1d(np.flatnonzero(marked) + 1, [len(marked)])
    if timeouts is None:
        spans = zip([0, *ends[:-1]], ends, strict=True)
        ends = np.union1d(ends, np.concatenate([np.arange(start + limit, end, limit) for start, end in spans]))
    return ends.astype(np.int64)


def _checked_version(stem: str, env: str) -> tuple[_Family, KnownEnvironment]:
    """Refuses versions with known errors. Warns if the name has no version, as D4RL's own v0 files."""
    if "maze2d" in stem.lower():
        raise TransferError(f"{stem}: the rewards of maze2d are one step late (D4RL #194), so it is not imported.")
    known = known_environment(env)
    family = _ANTMAZE if env.startswith("antmaze") else _ADROIT if "Adroit" in known.gym_id else _LOCOMOTION
    found = re.findall(r"[-_]v(\d+)(?![a-z0-9])", stem.lower())
    if found and int(found[-1]) < family.version:
        raise TransferError(f"{stem} is version {found[-1]}: {family.errors}. Get -v{family.version} of it.")
    if not found:
        logger.warning("%s names no version. Make sure that it is -v%d: %s", stem, family.version, family.errors)
    return family, known


def _check_name(file: Path, env: str) -> None:
    """Refuses a file that is named after another environment: sizes do not tell halfcheetah from walker2d."""
    stem = file.stem.lower().replace("_", "-")
    names = {name: name for name in ENVIRONMENTS} | _MAZES
    found = [name for name in names if re.match(rf"{name}(?![a-z0-9])", stem)]
    named = names[max(found, key=len)] if found else env
    if named != env:
        raise TransferError(f"{file.name} is named after {named}, not {env}. Name its environment, or rename it.")


def _fitting_spec(known: KnownEnvironment, arrays: D4RLArrays) -> Any:
    """Returns the Gymnasium spec of the environment whose sizes are those of the file."""
    from transfer.data.environment.building.trust import registered

    fitting: dict[int, tuple[str, dict[str, Any]]] = {known.state_size: (known.gym_id, {})}
    if known.name == "ant":  # D4RL has the contact forces of 14 bodies with the world; v5 leaves out the world
        fitting[111] = ("Ant-v4", {"use_contact_forces": True})
    if known.name.startswith("antmaze"):  # D4RL keeps the goal beside the observation
        fitting = {known.state_size - 2: (known.gym_id, {})}
    size, actions = arrays.shape("observations")[1], arrays.shape("actions")[1]
    if size not in fitting or actions != known.action_size:
        raise TransferError(
            f"{arrays.file} has observations of {size} numbers and actions of {actions}; D4RL's of {known.name} have "
            f"{' or '.join(map(str, sorted(fitting)))} and {known.action_size}. Name the environment that made it."
        )
    gym_id, options = fitting[size]
    spec = registered(gym_id)
    return replace(spec, kwargs={**spec.kwargs, **options})


def _episodes(
    arrays: D4RLArrays, ends: NDArray[np.int64], terminals: NDArray[np.bool_], on_progress: Callable[[int, int], None]
) -> Iterator[WholeEpisode]:
    """Yields one episode at a time, reading its steps only then."""
    for start, end in zip([0, *ends[:-1].tolist()], ends.tolist(), strict=True):
        steps = slice(start, end)
        actions, rewards = arrays.read("actions", steps), arrays.read("rewards", steps).reshape(-1)
        yield WholeEpisode(observations(arrays, steps), actions, rewards, bool(terminals[end - 1]))
        on_progress(end, len(terminals))


def _metadata(arrays: D4RLArrays, family: _Family) -> dict[str, Any]:
    """The metadata about the origin of the dataset."""
    name, repeated = arrays.file.name, "next_observations" not in arrays.of
    last = "repeats the one before it, as the file has no other" if repeated else "is the file's next_observations"
    return {
        "description": f"D4RL's {name}, which {family.physics}. The last observation of each episode {last}.",
        "imported": {"file": name, "sha256": sha256_of(arrays.file), "repeats_last_observation": repeated},
    }
