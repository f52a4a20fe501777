from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from hookd_daemon import ready
from hookd_daemon.config import Settings, StartupError


def test_writes_one_line_and_closes_the_descriptor() -> None:
    read, write = os.pipe()
    ready.announce(Settings(ready_fd=write), grpc="127.0.0.1:1", http="127.0.0.1:2", recovered=3)
    with os.fdopen(read) as pipe:
        content = pipe.read()
    assert content.endswith("\n")
    assert content.count("\n") == 1
    assert json.loads(content) == {
        "grpc": "127.0.0.1:1",
        "http": "127.0.0.1:2",
        "pid": os.getpid(),
        "recovered": 3,
    }
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(write)


def test_writes_the_file_in_one_step(tmp_path: Path) -> None:
    file = tmp_path / "ready.json"
    file.write_text("of an earlier daemon, which is much longer " * 20)
    before = file.stat().st_ino
    settings = Settings(ready_file=file)
    ready.announce(settings, grpc="[::1]:1", http=None)
    assert json.loads(file.read_text()) == {"grpc": "[::1]:1", "http": None, "pid": os.getpid()}
    assert file.stat().st_ino != before
    assert os.listdir(tmp_path) == ["ready.json"]
    ready.retract(settings)
    ready.retract(settings)
    assert os.listdir(tmp_path) == []


def test_without_either_nothing_happens() -> None:
    ready.announce(Settings(), grpc="a:1", http=None)
    ready.retract(Settings())


def test_a_reader_that_has_gone_and_a_directory_that_is_not_there(tmp_path: Path) -> None:
    read, write = os.pipe()
    settings = Settings(ready_fd=write)
    os.close(read)
    with pytest.raises(StartupError, match="cannot write to --ready-fd"):
        ready.announce(settings, grpc="a:1", http=None)
    missing = Settings(ready_file=tmp_path / "no" / "ready")
    with pytest.raises(StartupError, match="cannot write --ready-file"):
        ready.announce(missing, grpc="a:1", http=None)
