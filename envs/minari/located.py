"""Locating datasets: by id or name, as a folder, or as a `MinariDataset`, filtered or not."""

from __future__ import annotations

import itertools
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transfer.envs.dataset_ids import data_path, is_id, is_local, resolve
from transfer.envs.minari.download import fetch
from transfer.errors import TransferError
from transfer.numbers import seen
from transfer.storage.files import as_path, read_json

_FILE = "main_data.hdf5"


@dataclass(frozen=True)
class Located:
    """One dataset on this machine."""

    dataset_id: str
    file: Path  # metadata.json is beside it
    indices: tuple[int, ...] | None = None  # numbers of the chosen episodes, None for all


def locate(source: Any) -> tuple[Located, ...]:
    """Locates the datasets that a source names, in order. Downloads ids that are not on this machine.

    Args:
        source: Minari ids and bundled names (comma-separated in one string), the folder of a dataset as a `Path`, a
            `MinariDataset` with some or all of its episodes, or a sequence of these.

    Raises:
        TransferError: another type, an unknown name, a failed download, or an episode that is named twice.
    """
    items = list(source) if isinstance(source, list | tuple) else [source]
    texts = [item for item in items if isinstance(item, str)]
    if texts or not items:
        missing = [one for one in resolve(texts) if not is_local(one)]
        if missing:
            fetch(missing)
    found = [one for item in items for one in _of(item)]
    for one, other in itertools.combinations(found, 2):
        if one.file.resolve() == other.file.resolve() and (
            one.indices is None or other.indices is None or set(one.indices) & set(other.indices)
        ):
            raise TransferError(f"dataset '{one.dataset_id}' is named twice; its steps would count twice")
    return tuple(found)


def _of(item: Any) -> list[Located]:
    if isinstance(item, str):
        return [Located(one, data_path(one) / _FILE) for one in resolve(item)] if item.strip(" ,") else []
    if isinstance(item, os.PathLike):
        return [_of_folder(as_path(item, "the dataset's folder"))]
    minari = sys.modules.get("minari")  # a caller with a MinariDataset has imported minari
    if minari is not None and isinstance(item, minari.MinariDataset):
        return [_of_dataset(item)]
    raise TransferError(
        f"no dataset: {seen(item)}. Give a Minari id, the name of bundled data, the Path of a dataset's folder, a "
        "MinariDataset, or a list of these."
    )


def _of_folder(path: Path) -> Located:
    """Locates a dataset by its folder, by the folder "data" in it, or by its data file."""
    places = (path / "data" / _FILE, path / _FILE, path)
    file = next((place for place in places if place.is_file()), None)
    if file is None:
        raise TransferError(f"{path} is no dataset's folder: there is no data/{_FILE} in it.")
    metadata = file.with_name("metadata.json")
    if not metadata.is_file():
        raise TransferError(f"{file} has no metadata.json beside it, which says what the dataset is.")
    told = read_json(metadata).get("dataset_id")
    return Located(told if isinstance(told, str) and is_id(told) else path.name, file)


def _of_dataset(dataset: Any) -> Located:
    """Locates the episodes of an opened `MinariDataset`."""
    indices = tuple(int(index) for index in dataset.episode_indices)
    if not indices:
        raise TransferError(f"dataset '{dataset.id}' was filtered until no episode was left; at least one is needed")
    if len(set(indices)) < len(indices):
        raise TransferError(f"dataset '{dataset.id}' names an episode twice; its steps would count twice")
    whole = indices == tuple(range(int(dataset.storage.total_episodes)))
    return Located(str(dataset.id), Path(dataset.storage.data_path) / _FILE, None if whole else indices)
