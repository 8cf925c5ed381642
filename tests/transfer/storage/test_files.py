"""Paths as typed, files written whole, and untrusted files."""

import json
import os
import socket
import struct
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Any

import pytest

from transfer.errors import TransferError
from transfer.storage.files import as_path, read_json, sweep, unwritable, write_json, write_text, writing
from transfer.storage.tensors import Declared, read_header


@pytest.mark.parametrize("value", ["~/x", Path("~/x"), PurePosixPath("~/x")])
def test_a_path_as_typed_is_expanded(value: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert as_path(value) == tmp_path / "x"


def test_links_and_relative_paths_stay_as_they_are(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path)
    assert as_path(tmp_path / "link") == tmp_path / "link"
    assert as_path(".") == Path() and as_path("a/../b") == Path("a/../b")


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("", "empty"),
        ("a\0b", "NUL"),
        ("\ud800", "encode"),
        ("~nobody-of-that-name/x", "no home folder of that user"),
        (None, "a NoneType, not a path"),
        (3, "an? int, not a path"),
        (True, "a bool, not a path"),
        (b"runs", "a bytes, not a path"),
        (["runs"], "a list, not a path"),
    ],
)
def test_what_is_no_path_is_named(value: Any, message: str) -> None:
    with pytest.raises(TransferError, match=f"checkpoint=.*{message}"):
        as_path(value, "checkpoint")


@pytest.mark.parametrize("name", ["report.md", ".config.toml", "a" * 250])
def test_a_file_is_replaced_by_a_whole_one(name: str, tmp_path: Path) -> None:
    for text in ("old", "new"):
        write_text(tmp_path / "new" / name, text)
        assert (tmp_path / "new" / name).read_text() == text
    assert [path.name for path in (tmp_path / "new").iterdir()] == [name]


def test_a_write_that_fails_leaves_the_old_file_and_no_new_folder(tmp_path: Path) -> None:
    write_text(tmp_path / "file", "old")
    for path in (tmp_path / "file", tmp_path / "a" / "b" / "file"):
        with pytest.raises(KeyboardInterrupt), writing(path) as stream:
            stream.write(b"half")
            raise KeyboardInterrupt
    assert [path.name for path in tmp_path.iterdir()] == ["file"] and (tmp_path / "file").read_text() == "old"


def test_links_planted_where_a_file_is_written_are_not_followed(tmp_path: Path) -> None:
    victim, run = tmp_path / "victim", tmp_path / "run"
    victim.write_text("theirs")
    run.mkdir()
    for name in (".report.md.new", "report.md"):
        (run / name).symlink_to(victim)
    write_text(run / "report.md", "# done")
    assert victim.read_text() == "theirs" and (run / "report.md").read_text() == "# done"
    assert not (run / "report.md").is_symlink()


def test_names_of_temporary_files_cannot_be_foreseen_and_are_new(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = set()
    for _ in range(3):
        with writing(tmp_path / "file"):
            seen |= {path.name for path in tmp_path.iterdir()} - {"file"}
    assert len(seen) == 3
    (tmp_path / ".file.0123456789abcdef.new").symlink_to(tmp_path / "victim")
    monkeypatch.setattr("transfer.storage.files.secrets.token_hex", lambda count: "0123456789abcdef")
    with pytest.raises(TransferError, match="file cannot be written: File exists"):
        write_text(tmp_path / "file", "")
    assert not (tmp_path / "victim").exists()


def test_what_a_killed_writer_left_is_swept_and_what_a_living_one_writes_is_not(tmp_path: Path) -> None:
    left = [tmp_path / f".{name}.0123456789abcdef.new" for name in ("report.md", "state.json")]
    for path in left:
        path.write_text("half")
    (tmp_path / ".mine.new").write_text("mine")
    with writing(tmp_path / "living") as stream:
        sweep(tmp_path)
        stream.write(b"whole")
    assert sorted(path.name for path in tmp_path.iterdir()) == [".mine.new", "living"]
    assert (tmp_path / "living").read_bytes() == b"whole"
    sweep(tmp_path / "nowhere")


def test_a_place_that_holds_no_file_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    for name in ("folder", "pipe"):
        with pytest.raises(TransferError, match=f"{name} cannot be written: it exists and is not a file"):
            write_text(tmp_path / name, "")


NO_JSON = {
    "nothing": (b"", "not valid JSON"),
    "half": (b'{"a": 1', "not valid JSON"),
    "a list": (b"[1]", "holds a list, not a JSON object"),
    "NaN": (b'{"a": [1, NaN]}', "a.1: nan is no number"),
    "infinity": (b'{"a": {"b": -Infinity}}', "a.b: -inf is no number"),
    "a number beyond every float": (b'{"a": 1e999}', "a: inf is no number"),
    "a whole number without end": (b'{"a": ' + b"9" * 400 + b"}", "a: a whole number of 1329 bits"),
    "more digits than Python reads": (b'{"a": ' + b"9" * 5000 + b"}", "not valid JSON"),
    "a key twice": (b'{"a": 1, "b": 2, "a": 3}', "the key 'a' is there twice"),
    "a key twice inside": (b'{"a": {"b": 1, "b": 1}}', "the key 'b' is there twice"),
    "a byte-order mark": (b'\xef\xbb\xbf{"a": 1}', "BOM"),
    "another encoding": ('{"a": "é"}'.encode("latin-1"), "is not UTF-8 text"),
    "UTF-16": ('{"a": 1}'.encode("utf-16"), "is not UTF-8 text"),
    "a NUL byte": (b'{"a": "\x00"}', "not valid JSON"),
    "a NUL character": (b'{"a": "\\u0000"}', "a: the text '.x00' holds a NUL"),
    "half a character": (b'{"\\ud800": 1}', "holds half a character"),
    "a hundred levels": (b'{"a": ' + b"[" * 101 + b"]" * 101 + b"}", "more than 100 levels"),
    "as many levels as bytes": (b"[" * 100_000, "not valid JSON"),
}


@pytest.mark.parametrize(("content", "message"), NO_JSON.values(), ids=NO_JSON.keys())
def test_a_file_that_is_no_json_object_is_named(content: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / "x.json").write_bytes(content)
    with pytest.raises(TransferError, match=rf"x\.json.*{message}"):
        read_json(tmp_path / "x.json")


def pipe(path: Path) -> None:
    os.mkfifo(path)


def socket_file(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(str(path))


PLACES: dict[str, tuple[Callable[[Path], object], str]] = {
    "nothing": (lambda path: None, "does not exist"),
    "a folder": (Path.mkdir, "a folder, a pipe or a device"),
    "a pipe": (pipe, "a folder, a pipe or a device"),
    "a socket": (socket_file, "cannot be read"),
    "a device": (lambda path: path.symlink_to("/dev/zero"), "a folder, a pipe or a device"),
    "a link to itself": (lambda path: path.symlink_to(path.name), "cannot be read"),
    "too large": (lambda path: (path.touch(), os.truncate(path, 2**40)), "is larger than"),
}


@pytest.mark.parametrize(("make", "message"), PLACES.values(), ids=PLACES.keys())
@pytest.mark.parametrize("read", [read_json, read_header], ids=["JSON", "tensors"])
def test_what_is_no_file_is_named_and_never_waited_for(
    make: Callable[[Path], object], message: str, read: Callable[[Path], object], tmp_path: Path
) -> None:
    make(tmp_path / "x")
    message = "truncated" if read is read_header and message == "is larger than" else message
    with pytest.raises(TransferError, match=f"x.*{message}"):
        read(tmp_path / "x")


def test_why_a_folder_cannot_be_written_into(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert unwritable(tmp_path) == unwritable(tmp_path / "new" / "folder") == ""
    (tmp_path / "file").write_text("mine")
    assert unwritable(tmp_path / "file" / "folder") == f"{tmp_path / 'file'} is a file"
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    assert unwritable(tmp_path / "new") == f"no permission to write into {tmp_path}"
    assert unwritable(tmp_path / ("x" * 300))
    assert not (tmp_path / "new").exists()


def test_half_a_character_is_not_written(tmp_path: Path) -> None:
    for write, content in ((write_text, "\ud800"), (write_json, {"a": "\ud800"})):
        with pytest.raises(TransferError, match="x cannot be written.*half a character"):
            write(tmp_path / "x", content)  # type: ignore[operator]
    assert not list(tmp_path.iterdir())


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    content = {"é\n": [1, -2.5, None, True, "<script>", {"a": []}], "deep": json.loads("[" * 90 + "]" * 90), "b": 2**62}
    write_json(tmp_path / "x.json", content)
    assert read_json(tmp_path / "x.json") == content


def header(*entries: tuple[str, str, list[int], list[int]], size: int = 0, length: int | None = None) -> bytes:
    """A safetensors file: name, dtype, shape, offsets; `size` bytes of numbers; another length than is true."""
    told = {name: {"dtype": dtype, "shape": shape, "data_offsets": ends} for name, dtype, shape, ends in entries}
    text = json.dumps(told).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + bytes(size)


NO_TENSORS = {
    "nothing": b"",
    "less than a length": b"\x01\x02",
    "a header longer than the file": header(("x", "F32", [2], [0, 8]), size=8, length=2**40),
    "no JSON": struct.pack("<Q", 4) + b"{{{{",
    "a list": struct.pack("<Q", 2) + b"[]",
    "an entry of another kind": struct.pack("<Q", 7) + b'{"x":3}',
    "cut short": header(("x", "F32", [2], [0, 8]), size=4),
    "too long": header(("x", "F32", [2], [0, 8]), size=12),
    "another dtype": header(("x", "F31", [2], [0, 8]), size=8),
    "a dtype that is none": header(("x", [], [2], [0, 8]), size=8),  # type: ignore[arg-type]
    "a negative size": header(("x", "F32", [-2, -1], [0, 8]), size=8),
    "a size that is no whole number": header(("x", "F32", [2.0], [0, 8]), size=8),  # type: ignore[list-item]
    "sizes whose product is beyond 64 bits": header(("x", "F32", [2**40, 2**40], [0, 8]), size=8),
    "more than is there": header(("x", "F32", [2**38], [0, 2**40]), size=8),
    "less than its shape": header(("x", "F32", [3], [0, 8]), size=8),
    "two in one place": header(("x", "F32", [2], [0, 8]), ("y", "F32", [2], [0, 8]), size=8),
}


@pytest.mark.parametrize("content", NO_TENSORS.values(), ids=NO_TENSORS.keys())
def test_tensors_are_as_many_as_the_file_says_and_has(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "x.safetensors").write_bytes(content)
    with pytest.raises(TransferError, match=r"x\.safetensors"):
        read_header(tmp_path / "x.safetensors")


def test_the_header_of_a_sound_file(tmp_path: Path) -> None:
    content = header(("x", "F32", [2, 3], [0, 24]), ("y", "U8", [], [24, 25]), size=25)
    (tmp_path / "x.safetensors").write_bytes(content)
    assert read_header(tmp_path / "x.safetensors") == {"x": Declared("F32", (2, 3)), "y": Declared("U8", ())}
