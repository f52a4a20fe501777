"""A backup that is not what it was is refused, whatever has changed, and nothing is written."""

from __future__ import annotations

import contextlib
import random
import shutil
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from hookd_daemon.restore import RestoreError, restore

from tests.e2e.backup.conftest import TAKEN
from tests.e2e.backup.copies import hookd_restore, unfinished
from tests.support.effort import effort, seed

#: Of a short file every byte is tried.
SHORT = 100


@pytest.fixture
def copy(good: Path, tmp_path: Path) -> Path:
    """A copy of it, to be damaged."""
    shutil.copytree(good, tmp_path / "copy")
    return tmp_path / "copy"


def files(root: Path) -> list[Path]:
    return sorted(path for path in root.rglob("*") if path.is_file())


@contextlib.contextmanager
def changed(file: Path, content: bytes) -> Iterator[None]:
    """The file holds something else inside of the block."""
    before = file.read_bytes()
    assert content != before
    file.write_bytes(content)
    yield
    file.write_bytes(before)


def check_refused(copy: Path, match: str = "is damaged") -> None:
    target = copy.parent / "new"
    with pytest.raises(RestoreError, match=match):
        restore(copy, target)
    assert not target.exists()
    assert unfinished(copy.parent) == []


@pytest.mark.torture
def test_every_changed_byte_is_noticed(copy: Path) -> None:
    dice = random.Random(seed())
    tried = 0
    for file in files(copy):
        content = file.read_bytes()
        size = len(content)
        places = range(size) if size <= SHORT else dice.sample(range(size), min(effort(60), size))
        for at in places:
            spoiled = bytearray(content)
            spoiled[at] ^= 1 << dice.randrange(8)
            with changed(file, bytes(spoiled)):
                check_refused(copy)
            tried += 1
    assert tried > 200
    assert restore(copy, copy.parent / "new").tokens == TAKEN


@pytest.mark.torture
def test_every_cut_and_every_byte_more_is_noticed(copy: Path) -> None:
    dice = random.Random(seed())
    for file in files(copy):
        content = file.read_bytes()
        with changed(file, content + b"\0"):
            check_refused(copy)
        cuts = {0, len(content) - 1, *(dice.randrange(len(content) or 1) for _ in range(effort(5)))}
        for cut in sorted(cut for cut in cuts if 0 <= cut < len(content)):
            with changed(file, content[:cut]):
                check_refused(copy)


def test_every_missing_file_is_noticed(copy: Path) -> None:
    for file in files(copy):
        content = file.read_bytes()
        file.unlink()
        check_refused(copy, f"{file.name} is missing|no backup.*{file.name}")
        file.write_bytes(content)
    assert restore(copy, copy.parent / "new").tokens == TAKEN


def test_two_files_that_have_changed_places_are_noticed(copy: Path) -> None:
    first, second = sorted((copy / "db").glob("*"), key=lambda path: path.stat().st_size)[-2:]
    first.rename(copy / "between")
    second.rename(first)
    (copy / "between").rename(second)
    check_refused(copy, r"is damaged.* has changed")


@pytest.mark.parametrize("name", ["more", "db/000999.sst", "db/deep/file", "lock", "deep"])
def test_what_was_added_is_noticed(copy: Path, name: str) -> None:
    added = copy / name
    added.parent.mkdir(exist_ok=True)
    if name == "deep":
        added.mkdir()
    else:
        added.write_bytes(b"1")
    check_refused(copy, "was not there when it was made|does not belong into a backup")


def test_a_link_is_no_file(copy: Path, good: Path) -> None:
    """What a link leads to may be changed by others, or be something else tomorrow."""
    (copy / "format").unlink()
    (copy / "format").symlink_to(good / "format")
    check_refused(copy, "format does not belong into a backup")
    (copy / "format").unlink()
    shutil.copy(good / "format", copy)
    (copy / "db").rename(copy.parent / "db")
    (copy / "db").symlink_to(copy.parent / "db")
    check_refused(copy, "db does not belong into a backup")


def test_the_command_says_what_is_damaged(copy: Path) -> None:
    (table,) = (copy / "db").glob("*.sst")
    content = bytearray(table.read_bytes())
    content[len(content) // 2] ^= 1
    table.write_bytes(content)
    done = hookd_restore(copy, copy.parent / "new")
    assert done.returncode == 1
    assert done.stderr.startswith("hookd: error: the backup ")
    assert f"is damaged: db/{table.name} has changed" in done.stderr
    assert done.stdout == ""


def test_a_damage_while_it_is_copied_is_noticed(
    copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from hookd_daemon import restore as module

    real = module._copy_file

    def copy_file(source: Path, target: Path) -> None:
        real(source, target)
        if target.suffix == ".sst":
            content = bytearray(target.read_bytes())
            content[0] ^= 1
            target.write_bytes(content)

    monkeypatch.setattr(module, "_copy_file", copy_file)
    check_refused(copy, "has changed while it was copied")


def test_a_restore_that_fails_leaves_nothing_and_can_be_done_again(
    copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from hookd_daemon import restore as module

    def no_room(source: Path, target: Path) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as full:
        full.setattr(module, "_copy_file", no_room)
        check_refused(copy, "No space left on device")
    with monkeypatch.context() as full:
        full.setattr(shutil, "disk_usage", lambda _path: SimpleNamespace(free=1))
        check_refused(copy, "there is no room for .* and 1 are free")
    # One that was killed has left something behind.
    remains = copy.parent / "new.incomplete"
    remains.mkdir()
    (remains / "junk").write_text("1")
    assert restore(copy, copy.parent / "new").tokens == TAKEN
    assert unfinished(copy.parent) == []
