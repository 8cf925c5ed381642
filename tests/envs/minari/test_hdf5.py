"""HDF5 files that declare more than they store, or refer to other files: refused unread by loader and checks."""

import os
import shutil
import subprocess
import sys
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from transfer.envs.checks.doctor import check_dataset
from transfer.envs.loading import load_episodes
from transfer.envs.minari.hdf5 import CheckedArrays
from transfer.errors import TransferError

ID = "bundled/hopper/expert-v0"
STEPS = 2**28


def data_file(datasets: Path, dataset_id: str = ID) -> Path:
    return datasets / dataset_id / "data" / "main_data.hdf5"


def secret(file: Any) -> str:
    """Another file, beside the dataset."""
    path = Path(file.filename).with_name("secret.hdf5")
    with h5py.File(path, "w") as other:
        for key, array in file["episode_0"].items():
            if isinstance(array, h5py.Dataset):
                other[f"episode_0/{key}"] = array[()]
    return str(path)


def external_link(file: Any) -> None:
    path = secret(file)
    del file["episode_0/rewards"]
    file["episode_0/rewards"] = h5py.ExternalLink(path, "/episode_0/rewards")


def external_episode(file: Any) -> None:
    path = secret(file)
    del file["episode_0"]
    file["episode_0"] = h5py.ExternalLink(path, "/episode_0")


def dangling_link(file: Any) -> None:
    del file["episode_0/rewards"]
    file["episode_0/rewards"] = h5py.ExternalLink("/dev/tty", "/episode_0/rewards")


def soft_link_out(file: Any) -> None:
    external_link(file)
    file.move("episode_0/rewards", "outside")
    file["episode_0/rewards"] = h5py.SoftLink("/outside")


def circle(file: Any) -> None:
    del file["episode_0/rewards"]
    file["episode_0/rewards"] = h5py.SoftLink("/episode_0/rewards")


def links_in_links(file: Any) -> None:
    """Links through forty others each, five levels deep: a hundred million steps to one array."""
    file["again"] = file["/"]
    for level in range(5):
        name = f"link_{level + 1}" if level < 4 else "again"
        file[f"link_{level}"] = h5py.SoftLink("/" + "/".join([name] * 40))
    del file["episode_0/rewards"]
    file["episode_0/rewards"] = h5py.SoftLink("/link_0/episode_1/rewards")


def external_storage(file: Any) -> None:
    rewards = file["episode_0/rewards"][()]
    raw = Path(file.filename).with_name("raw")
    rewards.tofile(raw)
    del file["episode_0/rewards"]
    file["episode_0"].create_dataset("rewards", rewards.shape, rewards.dtype, external=[(str(raw), 0, rewards.nbytes)])


def virtual(file: Any) -> None:
    rewards = file["episode_0/rewards"]
    layout = h5py.VirtualLayout(rewards.shape, rewards.dtype)
    layout[:] = h5py.VirtualSource(secret(file), "episode_0/rewards", rewards.shape)
    del file["episode_0/rewards"]
    file["episode_0"].create_virtual_dataset("rewards", layout)


def never_written(**options: Any) -> Callable[[Any], None]:
    def change(file: Any) -> None:
        del file["episode_0"]
        group = file.create_group("episode_0")
        for key, shape in {"observations": (STEPS + 1, 11), "actions": (STEPS, 3), "rewards": (STEPS,)}.items():
            group.create_dataset(key, shape, np.float64, **options)

    return change


def bomb(file: Any) -> None:
    """Two gigabytes of zeros at a compression ratio of a thousand."""
    del file["episode_0/rewards"]
    array = file["episode_0"].create_dataset(
        "rewards", (STEPS,), np.float64, chunks=(1 << 22,), compression="gzip", shuffle=True
    )
    packed = zlib.compress(bytes(8 << 22), 9)
    for start in range(0, STEPS, 1 << 22):
        array.id.write_direct_chunk((start,), packed, 0)


def filtered(file: Any) -> None:
    """Marks the rewards as compressed with Blosc, whose plug-in is missing."""
    rewards = file["episode_0/rewards"][()]
    del file["episode_0/rewards"]
    plan = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    plan.set_chunk((len(rewards),))
    plan.set_filter(32001, h5py.h5z.FLAG_OPTIONAL, ())
    space = h5py.h5s.create_simple(rewards.shape)
    array = h5py.h5d.create(file["episode_0"].id, b"rewards", h5py.h5t.NATIVE_DOUBLE, space, plan)
    array.write_direct_chunk((0,), rewards.tobytes(), 0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (external_link, "'episode_0/rewards' is a link to another file"),
        (external_episode, "'episode_0' is a link to another file"),
        (dangling_link, "'episode_0/rewards' is a link to another file"),
        (soft_link_out, "'outside' is a link to another file"),
        (circle, "'episode_0/rewards' is a link to another file, or one of too many links"),
        (links_in_links, "is a link to another file, or one of too many links"),
        (external_storage, "'episode_0/rewards' keeps its numbers in another file"),
        (virtual, "'episode_0/rewards' keeps its numbers in another file"),
        (never_written(), "'episode_0/observations' declares 23,622,320,216 bytes and holds 0"),
        (never_written(chunks=True), "'episode_0/observations' declares 23,622,320,216 bytes, of which a part was"),
        (never_written(chunks=True, compression="gzip"), "of which a part was never written"),
        (bomb, "'episode_0/rewards' would unpack .* bytes to 2,147,483,648"),
        (filtered, "'episode_0/rewards' is packed with the filter .*, which is not here.*pip install hdf5plugin"),
    ],
)
@pytest.mark.parametrize("read", [load_episodes, check_dataset])
def test_what_a_file_cannot_hold_is_refused_before_it_is_read(
    read: Callable[[str], Any], change: Callable[[Any], None], message: str, datasets: Path, home: Path
) -> None:
    with h5py.File(data_file(datasets), "a") as file:
        change(file)
    with pytest.raises(TransferError, match=message) as caught:
        read("hopper/expert")
    assert "overwrite" not in str(caught.value) and "minari download" not in str(caught.value)
    assert not (home / "cache").exists()


def test_arrays_that_share_their_bytes_hold_no_more_than_the_file(datasets: Path, tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.write_bytes(bytes(2 * 8 * 100))
    with h5py.File(tmp_path / "large", "w") as groups:
        for name in "abc":
            groups[name] = np.zeros(100)
        groups["again"] = groups["a"]  # a second name for the same array
        arrays = CheckedArrays(groups, small)
        for name in ("a", "again", "a", "b"):
            arrays.get(name)
        with pytest.raises(TransferError, match="'c' declares more bytes than the file has beside its other arrays"):
            arrays.get("c")


def test_many_names_of_one_array_do_not_make_a_large_dataset_of_a_small_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("transfer.envs.minari.hdf5._UNPACKED", 1 << 20)
    file = tmp_path / "small.hdf5"
    with h5py.File(file, "w") as groups:
        groups["0"] = np.zeros(2000)
        for name in range(1, 500):
            groups[f"{name}"] = groups["0"]
    with h5py.File(file) as groups:
        arrays = CheckedArrays(groups, file)
        for _ in range(1000):  # the same array counts once
            arrays.get("0")
        with pytest.raises(TransferError, match="and the arrays before it would unpack .* bytes to "):
            for name in range(500):
                arrays.get(f"{name}")


def packed_dataset(file: Any) -> None:
    """Variants that recorders write: chunked, compressed, integers, half and long floats, the other byte order."""
    types = {"observations": ">f8", "actions": np.float16, "rewards": np.int16}
    for name in file:
        for key, dtype in types.items():
            values = np.round(file[f"{name}/{key}"][()]).astype(dtype)
            del file[f"{name}/{key}"]
            file[name].create_dataset(key, data=values, chunks=True, compression="gzip", shuffle=True)


def test_packed_arrays_of_any_real_numbers_are_read(datasets: Path) -> None:
    plain = load_episodes("hopper/expert")
    with h5py.File(data_file(datasets), "a") as file:
        packed_dataset(file)
    episodes = load_episodes("hopper/expert")
    np.testing.assert_array_equal(episodes.states, np.round(plain.states))
    np.testing.assert_array_equal(episodes.actions, np.round(plain.actions))
    np.testing.assert_array_equal(episodes.rewards, np.round(plain.rewards))
    assert not any(one.code in ("arrays-missing", "sizes-differ") for one in check_dataset("hopper/expert").findings)


def test_blocks_of_any_size_give_the_same_episodes(datasets: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = load_episodes("hopper/medium-expert")
    for folder in (home / "cache", home / "nothing"):
        monkeypatch.setenv("XDG_CACHE_HOME", str(folder))
        monkeypatch.setattr("transfer.envs.minari.reading._BLOCK", 8 * 11 * 7)  # seven steps
        if folder.exists():
            shutil.rmtree(folder)
        else:
            folder.write_text("no folder, so nothing can be cached")
        assert load_episodes("hopper/medium-expert").content_hash == whole.content_hash


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda file: file.move("episode_0", "episode_x"), "episode_x"),
        (lambda file: file.move("episode_0", "episode_-1"), "episode_-1"),
        (lambda file: file.copy("episode_0", "episode_00"), "episode_00"),
        (lambda file: replace(file, "rewards", lambda values: values.astype(complex)), "rewards hold complex128"),
        (lambda file: replace(file, "rewards", lambda values: values.astype("S8")), "rewards hold .S8"),
        (lambda file: replace(file, "actions", lambda values: values > 0), "actions hold bool"),
        (lambda file: replace(file, "actions", lambda values: np.zeros(len(values), [("x", "f4")])), "actions hold"),
        (lambda file: replace(file, "rewards", lambda values: values[:, None]), "wanted T.1, T, T"),
        (lambda file: replace(file, "rewards", lambda values: values[0]), "wanted T.1, T, T"),
        (lambda file: file["episode_0"].move("rewards", "reward"), "lacks rewards"),
        (lambda file: replace(file, "observations", lambda values: values * np.nan), "not finite"),
    ],
)
def test_the_loader_and_the_check_agree(change: Callable[[Any], Any], message: str, datasets: Path) -> None:
    with h5py.File(data_file(datasets), "a") as file:
        change(file)
    with pytest.raises(TransferError, match=message):
        load_episodes("hopper/expert")
    assert check_dataset("hopper/expert").wrong


def replace(file: Any, key: str, change: Callable[[Any], Any]) -> None:
    values = change(file[f"episode_0/{key}"][()])
    del file[f"episode_0/{key}"]
    file[f"episode_0/{key}"] = values


def soft_link(file: Any) -> None:
    """A soft link in the same file."""
    file.move("episode_0/rewards", "kept")
    file["episode_0/rewards"] = h5py.SoftLink("/kept")


@pytest.mark.parametrize(
    "change",
    [
        lambda file: file.__delitem__("episode_0"),  # an episode was removed, as errors advise
        lambda file: file["episode_0/observations"].__setitem__(-1, np.nan),  # the last one is not used
        lambda file: file.create_group("notes"),
        soft_link,
    ],
)
def test_what_does_no_harm_is_accepted_by_both(change: Callable[[Any], Any], datasets: Path) -> None:
    with h5py.File(data_file(datasets, "bundled/hopper/medium-v0"), "a") as file:
        change(file)
        names = [name for name in file if name.startswith("episode")]
    assert len(load_episodes("hopper/medium")) == len(names)
    assert not check_dataset("hopper/medium").wrong


@pytest.fixture
def held_open(datasets: Path) -> Iterator[None]:
    """Another program has the file open for writing."""
    code = f"import h5py; file = h5py.File({str(data_file(datasets))!r}, 'a'); print(flush=True); input()"
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield
        process.communicate(b"\n")


@pytest.mark.parametrize("read", [load_episodes, check_dataset])
def test_a_file_that_a_recorder_holds_open_is_called_that(read: Callable[[str], Any], held_open: None) -> None:
    with pytest.raises(TransferError, match="is open in another program that writes to it") as caught:
        read("hopper/expert")
    assert "overwrite" not in str(caught.value) and "it again" not in str(caught.value)


@pytest.mark.skipif(os.getuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_is_called_that(datasets: Path) -> None:
    data_file(datasets).chmod(0)
    with pytest.raises(TransferError, match="may not be read by this user"):
        load_episodes("hopper/expert")


def test_a_damaged_dataset_of_ones_own_is_not_to_be_downloaded_over(datasets: Path) -> None:
    shutil.copytree(datasets / ID, datasets / "mine/hopper-v0")
    file = datasets / "mine/hopper-v0/data/main_data.hdf5"
    file.write_bytes(file.read_bytes()[:5000])
    with pytest.raises(TransferError, match="is damaged, cut short.*Bring it back from a copy, or record it"):
        load_episodes("mine/hopper-v0")
