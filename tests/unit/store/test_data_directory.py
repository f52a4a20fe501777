"""The data directory: its lock, its format, and its files after a crash."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from hookd_daemon.store.rocks.directory import (
    FORMAT,
    DataDirectory,
    DataDirectoryError,
    write_durably,
)


def test_it_is_made_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b"
    directory = DataDirectory(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o700
    assert stat.S_IMODE((path / "lock").stat().st_mode) == 0o600
    assert (path / "lock").read_text() == f"{os.getpid()}\n"
    assert (path / "format").read_text() == f"{FORMAT}\n"
    directory.close()


def test_the_lock_is_given_back(tmp_path: Path) -> None:
    for _ in range(3):
        directory = DataDirectory(tmp_path)
        with pytest.raises(DataDirectoryError, match=f"process {os.getpid()}"):
            DataDirectory(tmp_path)
        directory.close()


def test_a_lock_file_that_was_left_is_no_hindrance(tmp_path: Path) -> None:
    """The lock is the kernel's; what stands in the file is for people."""
    (tmp_path / "lock").write_text("123456789012\nrubbish")
    directory = DataDirectory(tmp_path)
    assert (tmp_path / "lock").read_text() == f"{os.getpid()}\n"
    directory.close()


@pytest.mark.parametrize("text", ["", "one", "-1", "1.5", "\0"])
def test_a_damaged_format_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "format").write_text(text)
    for _ in range(2):  # and the refusal keeps no lock
        with pytest.raises(DataDirectoryError, match=r"format file .* is damaged"):
            DataDirectory(tmp_path)


def test_a_database_without_a_format_is_refused(tmp_path: Path) -> None:
    (tmp_path / "db").mkdir()
    with pytest.raises(DataDirectoryError, match="has lost its format file"):
        DataDirectory(tmp_path)
    assert not (tmp_path / "format").exists()


def test_a_path_that_is_no_directory_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("x")
    for path in (file, file / "below"):
        with pytest.raises(DataDirectoryError, match=r"cannot be made: .* is a file"):
            DataDirectory(path)


def test_a_file_is_written_whole_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "format"
    write_durably(file, "old")
    synced = []

    def fails(handle: int) -> None:
        synced.append(handle)
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "fsync", fails)
    with pytest.raises(OSError, match="Input/output"):
        write_durably(file, "new")
    assert file.read_text() == "old"
    assert synced
