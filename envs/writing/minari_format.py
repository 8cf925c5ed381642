"""Writing local datasets in Minari's format: in a hidden staging folder, published by one rename."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from transfer.data.environment.building.make import build
from transfer.envs.dataset_ids import MAKING, data_path, datasets_root, is_id, is_local
from transfer.envs.minari.remote import REMOTE
from transfer.envs.writing.guarded_file import GuardedFile
from transfer.envs.writing.staging import recover, set_aside, staged
from transfer.errors import TransferError
from transfer.numbers import seen
from transfer.storage.files import write_json


@dataclass(frozen=True)
class WholeEpisode:
    """An episode to write: terminated at its last step, or truncated there."""

    observations: Any  # (T + 1, S), or a mapping of such
    actions: Any  # (T, A)
    rewards: Any  # (T,)
    terminated: bool
    seed: int | None = None  # of the reset
    infos: Mapping[str, Any] = field(default_factory=dict)  # arrays (T + 1, ...) by name


@contextlib.contextmanager
def staging() -> Iterator[Path]:
    """Makes a hidden folder beside the datasets, which Minari does not list, so that publishing is one rename.

    Left-over folders of killed processes are cleaned up first.

    Raises:
        TransferError: the folder of the datasets cannot be written to.
    """
    root = datasets_root()
    with contextlib.ExitStack() as stack:
        with _write_errors():
            recover(root, MAKING)
            folder = stack.enter_context(staged(root, MAKING))
        yield folder


@contextlib.contextmanager
def _write_errors() -> Iterator[None]:
    """Turns an OSError into a TransferError that says what to do and that nothing was lost."""
    try:
        yield
    except OSError as error:
        raise TransferError(
            f"cannot write datasets to {datasets_root()}: {error}. Make room there, or set MINARI_DATASETS_PATH to "
            "another folder of yours. Datasets that were there are as they were."
        ) from error


def check_new_id(dataset_id: Any, overwrite: bool, advice: str) -> str:
    """Returns the id if a new dataset may have it.

    Args:
        dataset_id: the user's.
        overwrite: whether a dataset with this id may exist.
        advice: how to overwrite, such as "Replace it with overwrite=True".

    Raises:
        TransferError: the id is not in Minari's grammar, belongs to a bundled or remote dataset, or is taken.
    """
    namespace = str(dataset_id).rpartition("/")[0]  # Minari allows no namespace of one letter
    if not isinstance(dataset_id, str) or not is_id(dataset_id) or len(namespace) == 1:
        raise TransferError(
            f"{seen(dataset_id)} is no id for a dataset. Wanted: letters, digits, - and _, a version at the end, and a "
            "namespace of two letters or more, as in mine/pendulum-v0."
        )
    if namespace.split("/")[0] == "bundled" or dataset_id in REMOTE:
        raise TransferError(f"'{dataset_id}' is no id for a dataset of yours: it names data of this library or Minari.")
    if is_local(dataset_id) and not overwrite:
        raise TransferError(f"dataset '{dataset_id}' is there already. {advice}, or choose another id.")
    return dataset_id


def write_dataset(
    folder: Path,
    dataset_id: str,
    spec: Any,
    episodes: Iterable[WholeEpisode],
    metadata: dict[str, Any],
    spaces: tuple[Any, Any] | None = None,
) -> None:
    """Writes one dataset into a folder.

    Minari's own storage is not used: it writes to the final place, and a full disk ends the process.

    Args:
        folder: a path in the staging folder that does not exist yet.
        dataset_id: the id under which it will be published.
        spec: Gymnasium `EnvSpec` of the environment that made it and evaluates it, or that spec as JSON.
        episodes: consumed one at a time.
        metadata: further entries of metadata.json.
        spaces: of observations and actions; default: those of an environment built from the spec.

    Raises:
        TransferError: the disk is full or cannot be written to.
    """
    import minari
    from minari.serialization import serialize_space

    text = spec if isinstance(spec, str) else spec.to_json()
    observation_space, action_space = spaces or spaces_in(text)
    data = folder / "data"
    with _write_errors():
        data.mkdir(parents=True)
        counts = _write_episodes(data / "main_data.hdf5", episodes)
        size = (data / "main_data.hdf5").stat().st_size
    ours = {
        "data_format": "hdf5",
        "jpeg_encoding": True,
        "observation_space": serialize_space(observation_space),
        "action_space": serialize_space(action_space),
        "env_spec": text,
        "eval_env_spec": text,
        "dataset_id": dataset_id,
        "minari_version": minari.__version__,
        "dataset_size": round(size / 1e6, 1),
    }
    with _write_errors():
        write_json(data / "metadata.json", {**ours, **counts, **metadata})


def spaces_in(gym_spec: str) -> tuple[Any, Any]:
    """Returns the Gymnasium spaces of observations and actions of an environment, which is built for them."""
    with contextlib.closing(build(gym_spec)) as env:
        return env.observation_space, env.action_space


def _write_episodes(path: Path, episodes: Iterable[WholeEpisode]) -> dict[str, int]:
    """Writes the data file in Minari's layout and counts its episodes and steps."""
    import h5py

    counts = {"total_episodes": 0, "total_steps": 0}
    with contextlib.closing(GuardedFile(path)) as raw:
        with h5py.File(raw, "w", track_order=True) as file:
            for index, one in enumerate(episodes):
                group = file.create_group(f"episode_{index}")
                steps = len(one.rewards)
                told = {"id": index, "total_steps": steps, "seed": one.seed}
                group.attrs.update({key: value for key, value in told.items() if value is not None})
                last = np.arange(steps) == steps - 1
                arrays = {"observations": one.observations, "actions": one.actions, "rewards": one.rewards}
                arrays |= {"terminations": last & bool(one.terminated), "truncations": last & (not one.terminated)}
                for key, values in {**arrays, "infos": one.infos}.items():
                    _write_arrays(group, key, values)
                counts = {"total_episodes": index + 1, "total_steps": counts["total_steps"] + steps}
                if raw.error is not None:
                    break
        raw.check()
    raw.check()
    return counts


def _write_arrays(group: Any, key: str, values: Any) -> None:
    """Writes an array, or a mapping of arrays, to which Minari can append."""
    if isinstance(values, Mapping):
        inner = group.create_group(key)
        for name, value in values.items():
            _write_arrays(inner, name, value)
    else:
        group.create_dataset(key, data=values, chunks=True, maxshape=(None, *values.shape[1:]))


def publish(staged_folder: Path, dataset_id: str) -> None:
    """Moves a finished dataset to its place.

    An old dataset is moved aside before, and back if the new one cannot be moved. If the process is killed between the
    two renames, the next look at the datasets restores the old one; see `transfer.envs.writing.staging.recover`.

    Raises:
        TransferError: the disk is full or cannot be written to.
    """
    from minari.namespace import create_namespace, list_local_namespaces

    final, namespace = data_path(dataset_id).parent, dataset_id.rpartition("/")[0]
    with _write_errors():
        if namespace and namespace not in list_local_namespaces():
            with contextlib.suppress(ValueError):  # another process made it
                create_namespace(namespace)
        before = set_aside(datasets_root(), staged_folder.parent, final)
        try:
            staged_folder.rename(final)
        except BaseException:
            if before is not None and not final.exists():
                before.rename(final)
            raise
