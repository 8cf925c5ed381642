"""Paths as typed, files written whole, and what is read from strangers."""

from pathlib import Path, PurePosixPath
from typing import Any

import pytest

from transfer.errors import TransferError
from transfer.files import as_path


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
        ("~nobody-of-that-name/x", "nobody's home folder"),
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
