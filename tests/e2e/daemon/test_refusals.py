"""What a daemon cannot start on, and how it says so: one line, exit status 1."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.api import Api
from tests.support.daemon import HOOKD, PATIENCE, Daemon, DaemonFailedError, running


def complaint(daemon: Daemon) -> str:
    """Starts a daemon that must not start; returns what it says for people."""
    with pytest.raises(DaemonFailedError) as failed:
        daemon.start()
    assert failed.value.status == 1, failed.value.log
    lines = [line for line in failed.value.log.splitlines() if not line.startswith("{")]
    assert len(lines) == 1, failed.value.log
    assert lines[0].startswith("hookd: error: ")
    return lines[0]


@pytest.fixture
def taken() -> Iterator[str]:
    """An address that somebody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        yield f"127.0.0.1:{other.getsockname()[1]}"


def test_a_second_daemon_on_the_same_directory(tmp_path: Path) -> None:
    """It is told which directory, and which process has it; the first goes on."""
    (tmp_path / "second").mkdir()
    with running(tmp_path) as first:
        second = Daemon(tmp_path / "second")
        second.data_dir = first.data_dir
        line = complaint(second)
        assert str(first.data_dir) in line
        assert f"process {first.pid}" in line
        assert Api(first.channel()).start("some-run").run.run_id == "some-run"


def test_a_directory_whose_daemon_was_killed_is_free(tmp_path: Path) -> None:
    """The process id that it left behind keeps nobody out."""
    with running(tmp_path) as daemon:
        first = daemon.pid
        daemon.restart()
        assert daemon.pid != first
        assert (daemon.data_dir / "lock").read_text().strip() == str(daemon.pid)


def test_a_directory_of_a_newer_hookd(tmp_path: Path) -> None:
    """It is refused with both formats, and not touched."""
    with running(tmp_path) as daemon:
        assert daemon.terminate() == 0
    now = int((daemon.data_dir / "format").read_text())
    (daemon.data_dir / "format").write_text(f"{now + 1}\n")
    before = sorted(file.name for file in (daemon.data_dir / "db").iterdir())

    line = complaint(daemon)
    assert str(daemon.data_dir) in line
    assert f"format {now + 1}" in line
    assert f"up to {now}" in line
    assert sorted(file.name for file in (daemon.data_dir / "db").iterdir()) == before


def test_a_directory_that_cannot_be_made(tmp_path: Path) -> None:
    """Below a regular file there is no directory, also not for root."""
    (tmp_path / "file").write_text("")
    daemon = Daemon(tmp_path)
    daemon.data_dir = tmp_path / "file" / "data"
    line = complaint(daemon)
    assert str(daemon.data_dir) in line
    assert "cannot be made" in line


def test_a_damaged_format_file(tmp_path: Path) -> None:
    """It is not guessed what the directory holds."""
    with running(tmp_path) as daemon:
        assert daemon.terminate() == 0
    (daemon.data_dir / "format").write_text("one\n")
    assert str(daemon.data_dir) in complaint(daemon)


def test_a_grpc_port_that_is_taken(tmp_path: Path, taken: str) -> None:
    """The address is in the line, and the directory is free again."""
    daemon = Daemon(tmp_path)
    daemon.listen = taken
    assert taken in complaint(daemon)
    daemon.listen = "127.0.0.1:0"
    with daemon:
        assert Api(daemon.channel()).start("some-run").run.run_id == "some-run"


def test_an_http_port_that_is_taken(tmp_path: Path, taken: str) -> None:
    """The same for the other address."""
    command = [HOOKD, "serve", f"--data-dir={tmp_path / 'data'}", "--listen=127.0.0.1:0"]
    ended = subprocess.run(
        [*command, f"--http={taken}", "--log-format=json"],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert ended.returncode == 1
    (line,) = [line for line in ended.stderr.splitlines() if not line.startswith("{")]
    assert taken in line
    assert "--http" in line


def test_one_port_for_both(tmp_path: Path) -> None:
    """It is told as what it is, and not what gRPC makes of it."""
    with socket.create_server(("127.0.0.1", 0)) as once:
        address = f"127.0.0.1:{once.getsockname()[1]}"
    daemon = Daemon(tmp_path)
    daemon.listen = daemon.listen_http = address
    assert f"cannot listen on {address}: Address already in use" in complaint(daemon)
