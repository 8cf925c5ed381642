"""From the name of some data to Episodes: on this machine first, packed once, memory-mapped from then on."""

import logging
from typing import Any

from transfer.data.episodes import Episodes
from transfer.envs.dataset_ids import at_hand, local_ids
from transfer.envs.minari.located import locate
from transfer.envs.minari.metadata import Recorded, environment_of, read_recorded
from transfer.envs.minari.packing import packed
from transfer.envs.minari.reading import check_file
from transfer.numbers import seen

logger = logging.getLogger(__name__)
__all__ = ["at_hand", "load_episodes", "local_ids"]


def load_episodes(source: Any, env: Any = None, trust: bool = False) -> Episodes:
    """Loads one or more datasets of the same environment.

    Arrays are read without building anything. The environment is built once, to ask it for the bounds of its actions;
    where it cannot be, or must not, one line says why, and episodes come all the same.

    Args:
        source: Minari ids ("mujoco/hopper/expert-v0") and bundled names ("hopper/medium-expert"), comma-separated; the
            `Path` of a dataset's folder; a `MinariDataset`, filtered or not; or a sequence that mixes these. An id that
            is not on this machine is downloaded; bundled datasets have to be made first.
        env: the environment to evaluate in, in place of the one that the datasets name or lack: a Gymnasium id
            ("Hopper-v5", or "module:EnvId-v0", which imports the module), an environment, a Gymnasium `EnvSpec` or an
            `EnvironmentSpec`.
        trust: import and call whatever the datasets name as their environment; see
            `transfer.data.environment.building.trust`.

    Returns:
        All episodes in the order given, over read-only memory maps in the cache folder.

    Raises:
        TransferError: an unknown name, no dataset and no network (within 2 s), a damaged file, observations or actions
            that are not vectors (or Dicts of such), data of another version than their environment, datasets that
            name no environment without `env`, or that do not fit together. Nothing is cached then.
    """
    located = locate(source)
    for one in located:
        check_file(one.file, one.dataset_id)
    recorded = [read_recorded(one.dataset_id, one.file.parent, env is not None) for one in located]
    for each in recorded:
        _log_version_notes(each)
    return packed(located, [environment_of(each, env, trust) for each in recorded])


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
                *(recorded.dataset_id, seen(str(requirement)).strip("'"), requirement.name, installed),
            )
