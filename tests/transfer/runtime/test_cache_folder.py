"""The cache folder with and without a home folder, and who may write to it."""

import logging
import os
import pwd
from pathlib import Path

import pytest

from transfer.runtime import cache_folder
from transfer.runtime.cache_folder import cache_root, distrust, own_folder


@pytest.mark.parametrize(
    ("chosen", "root"),
    [("/big/cache", "/big/cache"), ("", "/home/me/.cache"), (None, "/home/me/.cache"), ("relative", "/home/me/.cache")],
)
def test_a_user_with_a_home_folder(chosen: str | None, root: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    monkeypatch.delenv("XDG_CACHE_HOME")
    if chosen is not None:
        monkeypatch.setenv("XDG_CACHE_HOME", chosen)
    assert cache_root() == Path(root) / "embedding-swap"


def test_a_user_without_one_is_told_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    def unknown(number: int) -> None:
        raise KeyError(number)

    for name in ("HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(pwd, "getpwuid", unknown)
    monkeypatch.setattr(cache_folder.tempfile, "tempdir", str(tmp_path))
    cache_folder._homeless.cache_clear()
    with caplog.at_level(logging.WARNING, "transfer"):
        root = cache_root()
        assert root.parent == tmp_path and cache_root() == root
    assert len(caplog.records) == 1 and "Set HOME or XDG_CACHE_HOME" in caplog.text
    assert own_folder(root) == "" and root.stat().st_mode & 0o777 == 0o700
    cache_folder._homeless.cache_clear()


def test_who_may_write_there_decides_whether_a_folder_is_ones_own(tmp_path: Path) -> None:
    assert own_folder(tmp_path / "a" / "b") == ""
    for mode, words in ((0o755, ""), (0o775, "others may write"), (0o777, "chmod go-w")):
        (tmp_path / "a" / "b").chmod(mode)
        assert words in own_folder(tmp_path / "a" / "b")
    (tmp_path / "file").write_text("")
    assert "cannot be made" in own_folder(tmp_path / "file") and "cannot be made" in own_folder(tmp_path / "file" / "x")


@pytest.mark.skipif(os.geteuid() != 0, reason="only an administrator gives files away")
def test_what_belongs_to_somebody_else_is_not_trusted(tmp_path: Path) -> None:
    folder, link = tmp_path / "mine", tmp_path / "link"
    folder.mkdir(mode=0o700)
    link.symlink_to("mine")
    assert distrust(link) == ""
    os.chown(link, 54321, -1, follow_symlinks=False)
    assert distrust(link) == "the link belongs to user 54321"
    os.chown(folder, 54321, -1)
    assert distrust(folder) == "it belongs to user 54321"
