"""Writing local datasets in Minari's format: staged in a hidden folder, published by one rename."""

import contextlib
import shutil
import tempfile
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from transfer.envs.names import data_path, datasets_root
from transfer.errors import TransferError


@contextlib.contextmanager
def staging() -> Iterator[Path]:
    """A hidden folder beside the datasets, where Minari does not look, so that publishing is one rename.

    Raises:
        TransferError: the folder of the datasets cannot be written to.
    """
    root = datasets_root()
    existed = root.exists()
    try:
        root.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=".making-", dir=root))
    except OSError as error:
        raise TransferError(
            f"cannot write datasets to {root}: {error}. Set MINARI_DATASETS_PATH to a folder of yours."
        ) from error
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        if not existed and not any(root.iterdir()):
            root.rmdir()


def write_dataset(folder: Path, dataset_id: str, spec: Any, episodes: Iterable[Any], metadata: dict[str, Any]) -> None:
    """Writes one dataset.

    Minari's create_dataset_from_buffers writes straight to the final place; its storage takes any folder.

    Args:
        folder: in the staging folder, not there yet.
        dataset_id: the name it is published under.
        spec: Gymnasium `EnvSpec` of the environment that made it, and that evaluates.
        episodes: of `episode_buffer`; taken one at a time.
        metadata: what else to say about it.
    """
    import minari
    from minari.dataset.minari_storage import MinariStorage

    from transfer.quieting import quiet

    folder.mkdir()
    with quiet(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        storage = MinariStorage.new(folder / "data", env_spec=spec)
    ours = {"dataset_id": dataset_id, "minari_version": minari.__version__, "eval_env_spec": spec.to_json()}
    storage.update_metadata(ours | metadata)
    storage.update_episodes(episodes)


def episode_buffer(observations: Any, actions: Any, rewards: Any, terminated: bool, seed: int | None = None) -> Any:
    """Minari's `EpisodeBuffer` of a whole episode, terminated or else truncated at its last step.

    Args:
        observations: (T + 1, S), or a mapping of such.
        actions: (T, A).
        rewards: (T,).
        terminated: whether the task ended it.
        seed: of the reset.
    """
    import numpy as np
    from minari.data_collector import EpisodeBuffer

    last = np.arange(len(rewards)) == len(rewards) - 1
    return EpisodeBuffer(
        seed=seed,
        observations=observations,
        actions=actions,
        rewards=rewards,
        terminations=last & bool(terminated),
        truncations=last & (not terminated),
    )


def publish(staged: Path, dataset_id: str) -> None:
    """Moves a finished dataset to its place; one that was there goes away only after that, and comes back otherwise."""
    from minari.namespace import create_namespace, list_local_namespaces

    final, namespace = data_path(dataset_id).parent, dataset_id.rpartition("/")[0]
    if namespace and namespace not in list_local_namespaces():
        create_namespace(namespace)
    before = staged.with_name(f"{staged.name}-before")
    try:
        if final.exists():
            final.rename(before)
        staged.rename(final)
    except BaseException:
        if before.exists() and not final.exists():
            before.rename(final)
        raise


def version(package: str) -> str:
    """The installed version of a package."""
    import importlib.metadata

    return importlib.metadata.version(package)
