"""The packed cache: changed, incomplete, planted and foreign entries are detected, at little cost."""

import json
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from tests.toys import toy
from transfer.envs.loading import load_episodes
from transfer.envs.minari import entries, packing
from transfer.envs.writing.staging import staged
from transfer.errors import TransferError

ID = "bundled/hopper/expert-v0"


def data_file(datasets: Path) -> Path:
    return datasets / ID / "data" / "main_data.hdf5"


@pytest.fixture
def entry(datasets: Path, home: Path) -> Path:
    """The cache entry of hopper/expert."""
    load_episodes("hopper/expert")
    (found,) = (home / "cache" / "embedding-swap").glob("packed-*")
    return found


def flip(name: str) -> Callable[[Path], None]:
    """Changes one bit of one value and restores the times of the file."""

    def change(entry: Path) -> None:
        path = entry / name
        before = path.stat()
        content = bytearray(path.read_bytes())
        content[len(content) * 2 // 3] ^= 1
        path.write_bytes(content)
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))

    return change


def cut(name: str) -> Callable[[Path], None]:
    return lambda entry: os.truncate(entry / name, (entry / name).stat().st_size - 40)


def edit_hash(entry: Path) -> None:
    text = (entry / "index.json").read_text()
    wanted = json.loads(text)["index"]["content_hash"]
    (entry / "index.json").write_text(text.replace(wanted, "0" * 64))


def other_files(entry: Path) -> None:
    """Changes the index and its checksum."""
    stored = json.loads((entry / "index.json").read_text())
    stored["index"]["files"][0]["stamp"] = [1]
    stored["sha256"] = entries._digest(stored["index"])
    (entry / "index.json").write_text(json.dumps(stored))


def pipe(entry: Path) -> None:
    (entry / "states.npy").unlink()
    os.mkfifo(entry / "states.npy", 0o600)


def endless(entry: Path) -> None:
    (entry / "states.npy").unlink()
    (entry / "states.npy").symlink_to("/dev/zero")


def pickled(entry: Path) -> None:
    np.save(entry / "offsets.npy", np.array([object()]), allow_pickle=True)


@pytest.mark.parametrize(
    "damage",
    [
        flip("states.npy"), flip("actions.npy"), flip("rewards.npy"), flip("offsets.npy"), cut("states.npy"),
        edit_hash, other_files, pickled, lambda entry: (entry / "index.json").write_text("[" * 10_000),
        lambda entry: (entry / "index.json").write_text("7"), lambda entry: (entry / "rewards.npy").unlink(),
        pipe, lambda entry: (entry / "states.npy").write_bytes(b""), endless,
        lambda entry: (entry / "states.npy").chmod(0o666), lambda entry: entry.chmod(0o777),
    ],
)  # fmt: skip
def test_a_damaged_entry_is_said_and_made_again(
    damage: Callable[[Path], Any], entry: Path, caplog: pytest.LogCaptureFixture
) -> None:
    fresh = load_episodes("hopper/expert")
    expected = fresh.content_hash, fresh.states.copy(), fresh.rewards.copy()
    damage(entry)
    caplog.clear()
    again = load_episodes("hopper/expert")
    assert again.content_hash == expected[0]
    np.testing.assert_array_equal(again.states, expected[1])
    np.testing.assert_array_equal(again.rewards, expected[2])
    assert f"{entry} is " in caplog.text and "made again" in caplog.text
    caplog.clear()
    assert load_episodes("hopper/expert").content_hash == expected[0] and not caplog.text


def test_files_of_somebody_else_are_not_read(
    entry: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(entries, "distrust", lambda path: "it belongs to user 7" if path.name == "states.npy" else "")
    assert load_episodes("hopper/expert").num_steps >= 600  # from memory: the folder still belongs to another user
    assert "states.npy: it belongs to user 7" in caplog.text and "no cache for" in caplog.text


def test_an_environment_that_does_not_fit_is_no_damage(entry: Path, caplog: pytest.LogCaptureFixture) -> None:
    before = (entry / "index.json").read_text()
    with pytest.raises(TransferError, match="actions of"):
        load_episodes("hopper/expert", env=toy(11, 2))
    assert "damaged" not in caplog.text and (entry / "index.json").read_text() == before


def test_another_version_of_equal_size_and_time_is_noticed(datasets: Path, entry: Path) -> None:
    before, stat = load_episodes("hopper/expert"), data_file(datasets).stat()
    with h5py.File(data_file(datasets), "a") as file:
        file["episode_0/rewards"][100] += 1
    os.utime(data_file(datasets), ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert data_file(datasets).stat().st_size == stat.st_size
    after = load_episodes("hopper/expert")
    assert after.content_hash != before.content_hash and after.rewards[100] == before.rewards[100] + 1


def test_an_equal_copy_with_other_times_is_not_read_again(
    datasets: Path, entry: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = load_episodes("hopper/expert").content_hash
    shutil.copytree(datasets / ID, datasets / "copy")
    shutil.rmtree(datasets / ID)
    (datasets / "copy").rename(datasets / ID)
    monkeypatch.setattr(
        "transfer.envs.minari.packing.blocks_of", lambda source: pytest.fail("read the HDF5 file again")
    )
    assert load_episodes("hopper/expert").content_hash == before


def test_files_that_lie_still_are_hashed_once(datasets: Path, entry: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stamp counts only if it is older than one tick of the clock."""
    real, asked = entries.sha256_of, []
    monkeypatch.setattr(entries, "sha256_of", lambda file: asked.append(file) or real(file))
    load_episodes("hopper/expert")
    assert len(asked) == 1
    later = time.time_ns() + 3 * 10**9
    monkeypatch.setattr(entries.time, "time_ns", lambda: later)
    load_episodes("hopper/expert")
    assert len(asked) == 2
    load_episodes("hopper/expert")
    assert len(asked) == 2


def test_changed_metadata_are_read_again(datasets: Path, entry: Path) -> None:
    path = data_file(datasets).with_name("metadata.json")
    path.write_text(path.read_text().replace(r"\"max_episode_steps\": 1000", r"\"max_episode_steps\": 20"))
    assert load_episodes("hopper/expert").env_spec.max_episode_steps == 20


def test_nobody_else_may_write_to_the_cache_whatever_the_umask(datasets: Path, home: Path) -> None:
    before = os.umask(0)
    try:
        load_episodes("hopper/expert")
    finally:
        os.umask(before)
    root = home / "cache" / "embedding-swap"
    assert all(not path.stat().st_mode & 0o022 for path in (root, *root.rglob("*")))


def test_what_a_killed_process_left_goes_and_what_a_living_one_writes_stays(datasets: Path, home: Path) -> None:
    root = home / "cache" / "embedding-swap"
    (root / ".writing-dead").mkdir(parents=True)
    (root / "0123456789abcdef01234567").mkdir()  # of an older version
    with staged(root, ".writing-") as living:
        load_episodes("hopper/expert")
        assert living.exists()
    assert sorted(path.name[:7] for path in root.iterdir()) == ["packed-"]


def a_file(patch: pytest.MonkeyPatch, home: Path) -> None:
    (home / "file").write_text("")
    patch.setenv("XDG_CACHE_HOME", str(home / "file"))


def open_to_all(patch: pytest.MonkeyPatch, home: Path) -> None:
    (home / "open" / "embedding-swap").mkdir(parents=True)
    (home / "open" / "embedding-swap").chmod(0o777)
    patch.setenv("XDG_CACHE_HOME", str(home / "open"))


def full_disk(patch: pytest.MonkeyPatch, home: Path) -> None:
    usage = shutil.disk_usage(home)
    patch.setattr("shutil.disk_usage", lambda path: usage._replace(free=100))


def disk_that_fills(patch: pytest.MonkeyPatch, home: Path) -> None:
    def fail(folder: Path, sources: Any) -> None:
        (folder / "states.npy").write_bytes(b"half")
        raise OSError(28, "No space left on device")

    patch.setattr("transfer.envs.minari.packing._write_arrays", fail)


@pytest.mark.parametrize("cause", [a_file, open_to_all, full_disk, disk_that_fills])
def test_without_a_cache_the_same_episodes_are_in_memory_and_it_is_said(
    cause: Callable[[pytest.MonkeyPatch, Path], None], datasets: Path, home: Path, caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    expected = load_episodes("hopper/expert")
    shutil.rmtree(home / "cache")
    entries_said = "no cache for"
    with monkeypatch.context() as patch:
        cause(patch, home)
        found = load_episodes("hopper/expert")
    assert found.content_hash == expected.content_hash and found.env_spec == expected.env_spec
    assert entries_said in caplog.text
    assert not list((home / "cache").rglob("*")) and not list((home / "open").glob("*/*"))


def test_data_that_fit_neither_on_the_disk_nor_in_memory_are_refused(
    datasets: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    full_disk(monkeypatch, home)
    monkeypatch.setattr("transfer.envs.minari.packing._free_memory", lambda: 100)
    with pytest.raises(TransferError, match="more than the 0.0 GB of memory that are free.*XDG_CACHE_HOME"):
        load_episodes("hopper/expert")


@pytest.mark.parametrize("times", [1, 9])
def test_a_file_that_changes_while_it_is_read_is_read_again_and_in_the_end_refused(
    times: int, datasets: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = load_episodes("hopper/medium").content_hash
    real, changes = packing.blocks_of, list(range(times))

    def blocks(source: Any) -> Any:
        yield from real(source)
        if changes:
            os.utime(source.file, ns=(0, changes.pop()))

    monkeypatch.setattr(packing, "blocks_of", blocks)
    monkeypatch.setattr(packing, "_PAUSE", 0)
    if times == 1:
        assert load_episodes("hopper/medium-expert").num_steps > 1000
        assert load_episodes("hopper/medium").content_hash == expected
    else:
        with pytest.raises(TransferError, match="main_data.hdf5 was written to while it was read"):
            load_episodes("hopper/expert")
