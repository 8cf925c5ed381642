"""Datasets by id, as folders and as `MinariDataset`, filtered or not, and mixed."""

from pathlib import Path
from typing import Any

import minari
import numpy as np
import pytest

from transfer.envs.loading import load_episodes
from transfer.errors import TransferError

MEDIUM = "bundled/hopper/medium-v0"


@pytest.fixture
def dataset(datasets: Path) -> Any:
    """hopper/medium as a `MinariDataset`."""
    return minari.load_dataset(MEDIUM)


def test_a_minari_dataset_is_its_id(dataset: Any) -> None:
    by_id = load_episodes(MEDIUM)
    episodes = load_episodes(dataset)
    assert episodes.content_hash == by_id.content_hash and episodes.dataset_ids == (MEDIUM,)
    assert episodes.env_spec == by_id.env_spec


def test_a_folder_is_its_dataset(datasets: Path, dataset: Any) -> None:
    folder = datasets / MEDIUM
    for path in (folder, folder / "data", folder / "data" / "main_data.hdf5"):
        episodes = load_episodes(path)
        assert episodes.content_hash == load_episodes(MEDIUM).content_hash and episodes.dataset_ids == (MEDIUM,)


def test_a_folder_may_lie_anywhere(datasets: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = load_episodes(MEDIUM).content_hash
    (datasets / MEDIUM).rename(home / "my data")
    monkeypatch.setenv("HOME", str(home))
    assert load_episodes(Path("~/my data")).content_hash == expected


def test_a_filtered_dataset_holds_the_episodes_that_are_left(dataset: Any) -> None:
    lengths = [len(one.rewards) for one in dataset.iterate_episodes()]
    long = dataset.filter_episodes(lambda one: len(one.rewards) >= np.median(lengths))
    episodes = load_episodes(long)
    kept = [index for index, length in enumerate(lengths) if length >= np.median(lengths)]
    assert 0 < len(kept) < len(lengths)
    assert episodes.lengths.tolist() == [lengths[index] for index in kept]
    whole = load_episodes(MEDIUM)
    for mine, index in zip(episodes, kept, strict=True):
        np.testing.assert_array_equal(mine.states, whole[index].states)
    assert episodes.content_hash != whole.content_hash
    assert load_episodes(long).content_hash == episodes.content_hash  # from the cache
    assert load_episodes(MEDIUM).content_hash == whole.content_hash


def test_parts_of_a_dataset_and_other_datasets_may_be_mixed(datasets: Path, dataset: Any) -> None:
    first, rest = (minari.MinariDataset(dataset.storage, np.array(part)) for part in ([1, 0], [2]))
    mixed = load_episodes([first, "hopper/expert", rest])
    whole = load_episodes(MEDIUM)
    assert mixed.lengths.tolist()[:2] == whole.lengths.tolist()[1::-1]
    np.testing.assert_array_equal(mixed[-1].actions, whole[2].actions)
    assert mixed.dataset_ids == (MEDIUM, "bundled/hopper/expert-v0")


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (lambda dataset: [dataset, MEDIUM], f"'{MEDIUM}' is named twice"),
        (lambda dataset: [part(dataset, [0, 1]), part(dataset, [1, 2])], "named twice"),
        (lambda dataset: [Path(dataset.storage.data_path), dataset], "named twice"),
        (lambda dataset: part(dataset, [0, 0]), "names an episode twice"),
        (lambda dataset: part(dataset, []), "filtered until no episode was left"),
        (lambda dataset: part(dataset, [10_000]), "unknown episode in dataset .* 'episode_10000'"),
        (lambda dataset: dataset.filter_episodes(lambda one: False), "filtered until no episode was left"),
        (lambda dataset: Path("/nowhere"), "/nowhere is no dataset's folder"),
        (lambda dataset: 7, "no dataset: 7. Give a Minari id"),
        (lambda dataset: None, "no dataset: None"),
        (lambda dataset: [MEDIUM, 7], "no dataset: 7"),
        (lambda dataset: {"data": MEDIUM}, "no dataset: "),
        (lambda dataset: [], "no dataset named"),
        (lambda dataset: b"hopper/medium", "no dataset: b'hopper/medium'"),
    ],
)
def test_what_is_no_dataset_or_counts_twice_is_refused(source: Any, message: str, dataset: Any) -> None:
    with pytest.raises(TransferError, match=message):
        load_episodes(source(dataset))


def part(dataset: Any, indices: list[int]) -> Any:
    return minari.MinariDataset(dataset.storage, np.array(indices, dtype=np.int64))
