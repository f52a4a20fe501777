"""The file of the keys."""

from __future__ import annotations

import os
import stat
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hookd_daemon.auth import keys
from hookd_daemon.auth.keyfile import FILE_NAME, KeyFile, KeyFileError
from hookd_daemon.auth.roles import Role
from pydantic import ValidationError

NOW = datetime(2026, 1, 2, tzinfo=UTC)


def test_what_was_written_is_read_again(tmp_path: Path) -> None:
    file = KeyFile(tmp_path / "data")
    assert file.read() == []
    assert file.mark() is None
    _, one = keys.make(project="blue", role=Role.SERVICE, name="billing, eu", now=NOW)
    _, two = keys.make(project=None, role=Role.ADMIN, now=NOW, expires_at=NOW + timedelta(1))
    with file.change() as kept:
        kept += [one, two]
    assert file.read() == [one, two]
    assert stat.S_IMODE(file.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.path.parent.stat().st_mode) == 0o700
    assert os.listdir(file.path.parent) == [FILE_NAME]


def test_a_key_is_not_in_its_file(tmp_path: Path) -> None:
    text, key = keys.make(project="blue", role=Role.SERVICE, now=NOW)
    secret = text.split("_", 2)[2]
    file = KeyFile(tmp_path)
    with file.change() as kept:
        kept.append(key)
    assert secret not in file.path.read_text()
    assert secret not in repr(key)
    assert key.sha256 not in repr(key)
    assert len(secret) == 43  # 256 bits
    assert keys.id_of(text) == key.id


def test_two_keys_are_never_alike() -> None:
    made = [keys.make(project="p", role=Role.SERVICE, now=NOW)[0] for _ in range(100)]
    assert len({text.split("_", 2)[2] for text in made}) == 100
    assert len({keys.id_of(text) for text in made}) == 100


def test_a_change_that_fails_changes_nothing(tmp_path: Path) -> None:
    file = KeyFile(tmp_path)
    _, key = keys.make(project="blue", role=Role.SERVICE, now=NOW)
    with file.change() as kept:
        kept.append(key)
    before = file.mark()

    def fail() -> None:
        with file.change() as kept:
            kept.clear()
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert file.mark() == before
    assert file.read() == [key]


def test_changes_at_the_same_time_lose_nothing(tmp_path: Path) -> None:
    def add() -> None:
        for _ in range(5):
            with KeyFile(tmp_path).change() as kept:
                kept.append(keys.make(project="p", role=Role.SERVICE, now=NOW)[1])

    threads = [threading.Thread(target=add) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(KeyFile(tmp_path).read()) == 20


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        '{"version": 2, "keys": []}',
        '{"version": 1, "keys": [{"id": "x"}]}',
        '{"version": 1, "keys": [], "more": 1}',
    ],
)
def test_a_damaged_file_is_said(tmp_path: Path, text: str) -> None:
    (tmp_path / FILE_NAME).write_text(text)
    with pytest.raises(KeyFileError, match=r"keys\.json are damaged"):
        KeyFile(tmp_path).read()


def test_the_same_id_twice_is_damage(tmp_path: Path) -> None:
    _, key = keys.make(project="blue", role=Role.SERVICE, now=NOW)
    line = key.model_dump_json()
    (tmp_path / FILE_NAME).write_text(f'{{"version": 1, "keys": [{line}, {line}]}}')
    with pytest.raises(KeyFileError, match="two keys have the same id"):
        KeyFile(tmp_path).read()


def test_only_an_admin_is_for_all_projects() -> None:
    for role in (Role.SERVICE, Role.RESUME_ONLY):
        with pytest.raises(ValidationError, match="all projects"):
            keys.make(project=None, role=role, now=NOW)
