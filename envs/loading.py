"""Loading episodes by the name of a dataset: local first, packed once, memory-mapped afterwards."""

import logging
from typing import Any

from transfer.data.episodes import Episodes
from transfer.envs.minari.located import locate
from transfer.envs.minari.metadata import evaluation_spec, read_metadata, unmet_requirements
from transfer.envs.minari.packing import packed
from transfer.envs.minari.reading import check_file
from transfer.numbers import seen

logger = logging.getLogger(__name__)


def load_episodes(source: Any, env: Any = None, trust: bool = False) -> Episodes:
    """Loads one or more datasets of the same environment.

    Arrays are read without building an environment. The environment is built once, for the bounds of its actions. If it
    cannot or must not be built, a warning says why, and the episodes are loaded all the same.

    Args:
        source: Minari ids ("mujoco/hopper/expert-v0") and bundled names ("hopper/medium-expert"), comma-separated; the
            `Path` of a dataset's folder; a `MinariDataset`, filtered or not; or a sequence of these. An id that is not
            on this machine is downloaded. Bundled datasets have to be made first.
        env: the environment to evaluate in, in place of the dataset's: a Gymnasium id ("Hopper-v5", or
            "module:EnvId-v0", which imports the module), an environment, a Gymnasium `EnvSpec` or an
            `EnvironmentSpec`.
        trust: import and call whatever the datasets name as their environment; see
            `transfer.data.environment.building.trust`.

    Returns:
        All episodes in the given order, over read-only memory maps in the cache folder.

    Raises:
        TransferError: an unknown name, a missing dataset without a network (within 2 s), a damaged file, observations
            or actions that are not vectors (or Dicts of vectors), data and environment of different versions, datasets
            that name no environment while `env` is missing, or datasets that cannot be joined. Nothing is cached then.
    """
    located = locate(source)
    for one in located:
        check_file(one.file, one.dataset_id)
    metadata = [read_metadata(one.dataset_id, one.file.parent, env is not None) for one in located]
    for each in metadata:
        for wanted, here in unmet_requirements(each.content):
            if here is not None:
                logger.warning(
                    "%s was recorded with %s, here is %s %s: the same actions may move the body a little differently",
                    *(each.dataset_id, seen(str(wanted)).strip("'"), wanted.name, here),
                )
    return packed(located, [evaluation_spec(each, env, trust) for each in metadata])
