"""From the name of some data to Episodes: on this machine first, packed once, memory-mapped from then on."""

import json
import logging
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from transfer.building import Spaces
from transfer.envs.download import fetch
from transfer.envs.names import at_hand, data_path, is_local, local_ids, resolve
from transfer.envs.packing import entry_path, open_entry, pack
from transfer.envs.reading import Source, check_file, scan
from transfer.episodes import Episodes
from transfer.errors import TransferError
from transfer.observations import ant_hint, summary, total
from transfer.quieting import quiet
from transfer.specs import describe, gym_spec_json

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
            that are not vectors (or Dicts of such), data of another version than their environment, or datasets that
            do not fit together. Nothing is cached then.
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
    return open_entry(entry) or pack([_look(one, file) for one, file in zip(ids, files, strict=True)], entry)


def _look(dataset_id: str, file: Path) -> Source:
    """What one dataset is, without its numbers: environment, sizes, lengths of its episodes."""
    gym_spec, data, env = _spaces(dataset_id, file)
    if (data.slices, len(data.low)) != (env.slices, len(env.low)):
        raise TransferError(
            f"dataset '{dataset_id}' has states of {summary(data.slices)} and actions of {len(data.low)}, but its "
            f"environment {gym_spec.id} has {summary(env.slices)} and {len(env.low)}: another version of it made the "
            f"data.{ant_hint(data.slices, env.slices)}"
        )
    # The scale of an unknown environment comes from all returns, which only packing sees.
    sizes = total(data.slices), len(data.low)
    spec = describe(gym_spec_json(gym_spec), *sizes, np.array([0.0, 1.0]), data.slices, (env.low, env.high))
    return scan(dataset_id, file, spec)


def _spaces(dataset_id: str, file: Path) -> tuple[Any, Spaces, Spaces]:
    """The Gymnasium spec to evaluate in, recovered from the dataset; the spaces of the data, and of it."""
    from minari import MinariDataset

    try:
        with quiet(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about versions: _log_version_notes says it in our words, once
            dataset = MinariDataset(file.parent)
            data = Spaces.of(dataset.observation_space, dataset.action_space, f"dataset '{dataset_id}'")
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
    return spec, data, Spaces.of(*spaces, f"dataset '{dataset_id}'")


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
