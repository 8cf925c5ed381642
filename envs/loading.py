"""From the name of some data to Episodes: on this machine first, packed once, memory-mapped from then on."""

import logging
from collections.abc import Sequence
from typing import Any

from transfer.envs.download import fetch
from transfer.envs.names import at_hand, data_path, is_local, local_ids, resolve
from transfer.envs.packing import entry_path, open_entry, pack
from transfer.envs.reading import check_file, scan
from transfer.envs.recorded import Recorded, environment_of, read_recorded
from transfer.episodes import Episodes
from transfer.packed import ARRAYS
from transfer.specs import EnvironmentSpec

logger = logging.getLogger(__name__)
__all__ = ["at_hand", "load_episodes", "local_ids"]


def load_episodes(source: str | Sequence[str], env: Any = None, trust: bool = False) -> Episodes:
    """Loads one or more datasets of the same environment.

    Arrays are read without building anything. The environment is built once, to ask it for the bounds of its actions;
    where it cannot be, or must not, one line says why, and episodes come all the same.

    Args:
        source: Minari ids ("mujoco/hopper/expert-v0") and bundled names ("hopper/medium-expert"), comma-separated or
            as a sequence. What is not on this machine is downloaded; bundled datasets have to be made first.
        env: the environment to evaluate in, in place of the one that the datasets name or lack: a Gymnasium id
            ("Hopper-v5", or "module:EnvId-v0", which imports the module), an environment, a Gymnasium `EnvSpec` or an
            `EnvironmentSpec`.
        trust: import and call whatever the datasets name as their environment; see `transfer.trust`.

    Returns:
        All episodes in the order given, over read-only memory maps in the cache folder.

    Raises:
        TransferError: an unknown name, no dataset and no network (within 2 s), a damaged file, observations or actions
            that are not vectors (or Dicts of such), data of another version than their environment, datasets that
            name no environment without `env`, or that do not fit together. Nothing is cached then.
    """
    ids = resolve(source)
    missing = [one for one in ids if not is_local(one)]
    if missing:
        fetch(missing)
    files = [data_path(one) / "main_data.hdf5" for one in ids]
    for one, file in zip(ids, files, strict=True):
        check_file(file, one)
    recorded = [read_recorded(one, data_path(one)) for one in ids]
    for each in recorded:
        _log_version_notes(each)
    specs = [environment_of(each, env, trust) for each in recorded]
    entry = entry_path(files)
    cached = open_entry(entry)
    if cached is not None and cached.env_spec.slices == specs[0].slices:
        return _in(cached, specs[0])
    return pack([scan(*one) for one in zip(ids, files, specs, strict=True)], entry)


def _in(cached: Episodes, spec: EnvironmentSpec) -> Episodes:
    """Cached arrays in the environment that is meant now; the one in the cache may be another."""
    arrays = {key: getattr(cached, key) for key in ARRAYS}
    return Episodes.over(arrays, spec, cached.dataset_ids, cached.content_hash)


def _log_version_notes(recorded: Recorded) -> None:
    """Says which packages differ from those that the dataset was recorded with: its physics may differ a little."""
    import importlib.metadata

    from packaging.requirements import InvalidRequirement, Requirement

    wanted = recorded.metadata.get("requirements")
    for text in wanted if isinstance(wanted, list) else ():
        try:
            requirement = Requirement(text)
            installed = importlib.metadata.version(requirement.name)
        except (InvalidRequirement, TypeError, importlib.metadata.PackageNotFoundError):
            continue
        if not requirement.specifier.contains(installed, prereleases=True):
            logger.warning(
                "%s was recorded with %s, here is %s %s: the same actions may move the body a little differently",
                *(recorded.dataset_id, requirement, requirement.name, installed),
            )
