"""Pairs of JSON and tensors: other files stay, and after a kill or beside a writer a whole pair is found."""

import io
import json
import os
import resource
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from transfer.errors import TransferError
from transfer.storage.pairs import FORMAT, checksum, load_pair, save_pair
from transfer.storage.tensors import declared, read_header

NAMES = ["state.json", "state.safetensors"]


def save(folder: Path, value: int) -> None:
    save_pair(folder, "state", {"value": value}, {"x": torch.full((5,), float(value))})


def load(folder: Path) -> int:
    """The value of a pair, whose JSON and tensors must agree."""
    content, tensors = load_pair(folder, "state", {FORMAT: ("value",)}, lambda content, header: None)
    assert tensors["x"].tolist() == [content["value"]] * 5
    return int(content["value"])


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_what_else_is_in_the_folder_stays(tmp_path: Path) -> None:
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "main.tex").write_text("mine")
    (tmp_path / ".state.notes.safetensors").write_text("mine too")
    save(tmp_path, 1)
    save(tmp_path, 2)
    assert load(tmp_path) == 2
    assert names(tmp_path) == [".state.notes.safetensors", *NAMES, "thesis"]
    assert (tmp_path / "thesis" / "main.tex").read_text() == "mine"


def test_a_link_to_a_folder_is_followed_and_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to("folder")
    save(tmp_path / "link", 1)
    assert (tmp_path / "link").is_symlink() and load(tmp_path / "folder") == 1


def test_the_current_folder_is_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.txt").write_text("mine")
    save(Path("."), 1)
    assert names(tmp_path) == ["mine.txt", *NAMES]


def test_both_files_have_the_modes_that_the_user_wants(tmp_path: Path) -> None:
    for mask, mode in ((0o022, 0o644), (0o077, 0o600), (0o002, 0o664)):
        before = os.umask(mask)
        try:
            save(tmp_path, mask)
        finally:
            os.umask(before)
        assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {mode}


def below_a_file(folder: Path) -> Path:
    (folder / "file").write_text("mine")
    return folder / "file" / "below"


def a_file(folder: Path) -> Path:
    (folder / "file").write_text("mine")
    return folder / "file"


def a_folder_of_that_name(folder: Path) -> Path:
    (folder / "file" / "state.json").mkdir(parents=True)
    return folder / "file"


def a_link_to_nothing(folder: Path) -> Path:
    (folder / "link").symlink_to(folder / "nowhere")
    return folder / "link"


@pytest.mark.parametrize(
    ("place", "message"),
    [
        (below_a_file, "a file stands where a folder should be"),
        (a_file, "a file stands where a folder should be"),
        (a_folder_of_that_name, "it exists and is not a file"),
        (a_link_to_nothing, "a link that leads nowhere stands there"),
    ],
)
def test_a_place_that_cannot_be_written_to_is_named(
    place: Callable[[Path], Path], message: str, tmp_path: Path
) -> None:
    folder = place(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(TransferError, match=f"{folder.name}.* cannot be written: {message}"):
        save(folder, 1)
    assert sorted(tmp_path.rglob("*")) == before


def child(work: Callable[[], None]) -> int:
    """Do some work in a forked process; returns its number."""
    number = os.fork()
    if number == 0:
        code = 1
        try:
            work()
            code = 0
        finally:
            os._exit(code)
    return number


def code(number: int) -> int:
    """The exit code of a child, waiting for it."""
    return os.waitstatus_to_exitcode(os.waitpid(number, 0)[1])


def test_a_limit_on_the_size_of_files_is_named_and_leaves_the_old_pair(tmp_path: Path) -> None:
    def limited() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
        with pytest.raises(TransferError, match="larger than this process may write"):
            save_pair(tmp_path, "state", {"value": 2}, {"x": torch.zeros(5000)})

    save(tmp_path, 1)
    assert code(child(limited)) == 0
    assert load(tmp_path) == 1 and names(tmp_path) == NAMES


@pytest.fixture
def read_only() -> Iterator[Path]:
    """A folder without permission to write; an administrator may write everywhere, so becomes another user."""
    before, folder = os.geteuid(), Path(tempfile.mkdtemp())
    folder.chmod(0o555)
    if before == 0:
        os.seteuid(65534)
    yield folder
    os.seteuid(before)
    folder.rmdir()


@pytest.mark.parametrize("inner", ["", "new"])
def test_a_folder_without_permission_is_named(read_only: Path, inner: str) -> None:
    with pytest.raises(TransferError, match=f"{read_only / inner}.* cannot be written: Permission denied"):
        save(read_only / inner, 1)
    assert names(read_only) == []


def killed_at(nth: int, folder: Path) -> bool:
    """Save the value 2 in a process killed before its nth call of the file system; False when it has fewer calls."""

    def dying() -> None:
        left = [nth]

        def wrap(original: Callable[..., Any]) -> Callable[..., Any]:
            def step(*args: Any, **options: Any) -> Any:
                left[0] -= 1
                if left[0] == 0:
                    os._exit(9)
                return original(*args, **options)

            return step

        for name in ("open", "fsync", "replace", "rename", "unlink", "mkdir"):
            setattr(os, name, wrap(getattr(os, name)))
        save(folder, 2)

    return code(child(dying)) == 9


@pytest.mark.parametrize("before", [0, 1])
def test_a_kill_at_any_moment_leaves_the_old_or_the_new_pair(before: int, tmp_path: Path) -> None:
    nth, found = 1, []
    while True:
        folder = tmp_path / str(nth)
        if before:
            save(folder, before)
        killed = killed_at(nth, folder)
        there = names(folder) if folder.exists() else []
        found.append(load(folder) if "state.json" in there else 0)
        assert (names(folder) if folder.exists() else []) == there  # reading changes nothing
        save(folder, 3)
        assert load(folder) == 3 and names(folder) == NAMES
        if not killed:
            break
        nth += 1
    assert found == sorted(found) and set(found) == {before, 2} and nth > 8


@pytest.mark.parametrize("before", [0, 1])
def test_what_is_refused_of_a_pair_is_said_of_one_that_was_killed_between_two_renames_too(
    before: int, tmp_path: Path
) -> None:
    if before:
        save(tmp_path, before)
        old = (tmp_path / "state.safetensors").read_bytes()
    save(tmp_path, 2)
    digest = json.loads((tmp_path / "state.json").read_text())["tensors"]
    (tmp_path / "state.safetensors").rename(tmp_path / f".state.{digest[:16]}.safetensors")
    if before:
        (tmp_path / "state.safetensors").write_bytes(old)

    def check(content: dict[str, Any], header: object) -> None:
        if content["value"] == 2:
            raise TransferError("value was 1, is 2")

    assert load(tmp_path) == 2
    with pytest.raises(TransferError, match="value was 1, is 2"):
        load_pair(tmp_path, "state", {FORMAT: ("value",)}, check)


def test_two_writers_and_a_reader_never_meet_a_mixture(tmp_path: Path) -> None:
    def writer(first: int) -> Callable[[], None]:
        return lambda: [save(tmp_path, value) for value in range(first, 40, 2)] and None

    save(tmp_path, 0)
    left, seen = {child(writer(0)), child(writer(1))}, set()
    while left:
        seen.add(load(tmp_path))
        for number in list(left):
            done, status = os.waitpid(number, os.WNOHANG)
            if done:
                assert status == 0
                left.remove(number)
    assert len(seen) > 3
    assert load(tmp_path) in (38, 39) and names(tmp_path) == NAMES


def test_tensors_of_every_kind_come_back(tmp_path: Path) -> None:
    kinds = ("float64", "float32", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8", "bool")
    tensors = {kind: torch.ones(2, 3, dtype=getattr(torch, kind)).T for kind in kinds} | {"none": torch.empty(0, 3)}
    save_pair(tmp_path, "state", {}, tensors)
    assert read_header(tmp_path / "state.safetensors") == declared(tensors)
    found = load_pair(tmp_path, "state", {FORMAT: ()}, lambda content, header: None)[1]
    assert all(
        torch.equal(found[name], tensor) and found[name].dtype == tensor.dtype for name, tensor in tensors.items()
    )
    with pytest.raises(TransferError, match="is not written: x is a dict, not a tensor"):
        save_pair(tmp_path / "new", "state", {}, {"x": {}})  # type: ignore[dict-item]


def test_an_edit_of_either_file_is_noticed(tmp_path: Path) -> None:
    save(tmp_path, 1)
    tensors = tmp_path / "state.safetensors"
    whole = tensors.read_bytes()
    tensors.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(TransferError, match="state.safetensors was changed after it was saved"):
        load(tmp_path)
    tensors.write_bytes(whole)
    text = (tmp_path / "state.json").read_text()
    (tmp_path / "state.json").write_text(text.replace('"value": 1', '"value": 2'))
    with pytest.raises(TransferError, match="state.json was edited"):
        load(tmp_path)


def test_another_format_is_refused_and_an_older_one_read_with_the_keys_that_it_has(tmp_path: Path) -> None:
    save(tmp_path, 1)
    path = tmp_path / "state.json"
    content = {**json.loads(path.read_text()), "format": 1}
    path.write_text(json.dumps({**content, "checksum": checksum(content)}))
    with pytest.raises(TransferError, match=f"state.json has format 1; this version reads {FORMAT} and 2: train and"):
        load_pair(tmp_path, "state", {FORMAT: ("value",), 2: ("value",)}, lambda content, header: None)
    with pytest.raises(TransferError, match="state.json lacks other"):
        load_pair(tmp_path, "state", {FORMAT: ("value",), 1: ("value", "other")}, lambda content, header: None)
    found, _ = load_pair(tmp_path, "state", {FORMAT: ("more",), 1: ("value",)}, lambda content, header: None)
    assert (found["format"], found["value"]) == (1, 1)


def test_sizes_are_checked_before_anything_of_them_is_read(tmp_path: Path) -> None:
    """With a sparse file of a tebibyte."""
    save(tmp_path, 1)
    file = tmp_path / "state.safetensors"
    head = b'{"x":{"dtype":"F32","shape":[%d],"data_offsets":[0,%d]}}' % (2**38, 2**40)
    file.write_bytes(len(head).to_bytes(8, "little") + head)
    os.truncate(file, 8 + len(head) + 2**40)
    wanted = declared({"x": torch.zeros(5)})
    assert read_header(file)["x"].bytes == 2**40

    def check(content: object, header: object) -> None:
        if header != wanted:
            raise TransferError("another size")

    with pytest.raises(TransferError, match="another size"):
        load_pair(tmp_path, "state", {FORMAT: ("value",)}, check)


def test_a_file_that_does_not_fit_into_memory_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Large(io.BytesIO):
        def read(self, size: int | None = None) -> bytes:
            if size is None:
                raise MemoryError
            return super().read(size)

    save(tmp_path, 1)
    monkeypatch.setattr(
        "transfer.storage.pairs.reading", lambda _: Large((tmp_path / "state.safetensors").read_bytes())
    )
    with pytest.raises(TransferError, match=r"state.safetensors of \d+ bytes does not fit into memory"):
        load(tmp_path)
