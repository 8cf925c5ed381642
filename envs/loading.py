"""From the name of some data to Episodes: on this machine first, packed once, memory-mapped from then on."""

import json
import logging
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from transfer.envs.download import fetch
from transfer.envs.names import at_hand, data_path, is_local, local_ids, resolve
from transfer.envs.packing import check_file, entry_path, open_entry, read_hdf5, write_entry
from transfer.episodes import Episodes
from transfer.errors import TransferError
from transfer.specs import gym_spec_json, quiet

logger = logging.getLogger(__name__)
__all__ = ["at_hand", "load_episodes", "local_ids"]


def load_episodes(source: str | Sequence[str]) -> Episodes:
    """Loads one or more datasets of the same environment.

    Args:
        source: Minari ids ("mujoco/hopper/expert-v0") and bundled names ("hopper/medium-expert"), comma-separated or
            as a sequence. What is not on this machine is downloaded; bundled datasets have to be made first.

    Returns:
        All episodes in the order given, over read-only memory maps in the cache folder.

    Raises:
        TransferError: an unknown name, no dataset and no network (within 2 s), a damaged file, observations or actions
            that are not flat vectors, or datasets that do not fit together. Nothing is cached then.
    """
    ids = resolve(source)
    missing = [one for one in ids if not is_local(one)]
    if missing:
        fetch(missing)
    files = [data_path(one) / "main_data.hdf5" for one in ids]
    for one, file in zip(ids, files, strict=True):
        check_file(file, one)
        _log_version_notes(one)
    entry = entry_path(files)
    cached = open_entry(entry)
    if cached is not None:
        return cached
    episodes = Episodes.join([_read(one, file) for one, file in zip(ids, files, strict=True)])
    write_entry(entry, episodes)
    # Memory-mapped from the first time on, so that a fresh load behaves as every later one.
    return open_entry(entry) or episodes


def _read(dataset_id: str, file: Path) -> Episodes:
    """One dataset, straight from its files."""
    gym_spec, sizes = _environment(dataset_id, file)
    arrays = read_hdf5(file, dataset_id)
    episodes = Episodes.from_arrays(**arrays, env=gym_spec, name=dataset_id)
    if (episodes.state_size, episodes.action_size) != sizes:
        raise TransferError(
            f"dataset '{dataset_id}' has state and action sizes {episodes.state_size} and {episodes.action_size}, but "
            f"its environment {gym_spec.id} has {sizes[0]} and {sizes[1]}: another version of the environment made it"
        )
    return episodes


def _environment(dataset_id: str, file: Path) -> tuple[Any, tuple[int, int]]:
    """The Gymnasium spec to evaluate in, recovered from the dataset, and its state and action size."""
    from minari import MinariDataset

    try:
        with quiet(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about versions: _log_version_notes says it in our words, once
            dataset = MinariDataset(file.parent)
            _check_spaces(dataset_id, dataset.observation_space, dataset.action_space)
            env = dataset.recover_environment(eval_env=True)
        spec, spaces = env.spec, (env.observation_space, env.action_space)
        env.close()
        gym_spec_json(spec)
    except TransferError:
        raise
    except Exception as error:  # Minari raises asserts, KeyErrors and worse on what it cannot read
        raise TransferError(
            f"dataset '{dataset_id}': {file.parent / 'metadata.json'} or {file.name} beside it cannot be used: "
            f"{type(error).__name__}: {error}"
        ) from error
    _check_spaces(dataset_id, *spaces)
    return spec, (spaces[0].shape[0], spaces[1].shape[0])


def _check_spaces(dataset_id: str, observation_space: Any, action_space: Any) -> None:
    """Raises TransferError unless both are flat vectors of real numbers."""
    from gymnasium.spaces import Box

    for what, space in (("observations", observation_space), ("actions", action_space)):
        if not isinstance(space, Box) or len(space.shape) != 1 or space.dtype.kind != "f":
            text = " ".join(str(space).split())
            raise TransferError(
                f"dataset '{dataset_id}' has {what} in {text[:200]}; only flat vectors of real numbers (a 1-d Box) are "
                "supported. Discrete actions, images and Dict observations are not."
            )


def _log_version_notes(dataset_id: str) -> None:
    """Says which packages differ from those that the dataset was recorded with: its physics may differ a little."""
    import importlib.metadata

    from packaging.requirements import InvalidRequirement, Requirement

    try:
        wanted = json.loads((data_path(dataset_id) / "metadata.json").read_text()).get("requirements", [])
    except (OSError, ValueError, AttributeError):
        return  # reading the dataset itself reports this
    for text in wanted:
        try:
            requirement = Requirement(text)
            installed = importlib.metadata.version(requirement.name)
        except (InvalidRequirement, importlib.metadata.PackageNotFoundError):
            continue
        if not requirement.specifier.contains(installed, prereleases=True):
            logger.warning(
                "%s was recorded with %s, here is %s %s: the same actions may move the body a little differently",
                dataset_id,
                text,
                requirement.name,
                installed,
            )
