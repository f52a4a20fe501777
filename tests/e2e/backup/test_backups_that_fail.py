"""A backup that is killed in the middle, or that has no room: nothing has its name."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import grpc
import pytest
from hookd.v1.common_pb2 import Payload

from tests.e2e.backup.copies import backup, hookd_restore, restored, unfinished
from tests.support import daemon as daemon_module
from tests.support.api import Api, refusal
from tests.support.daemon import Daemon, running
from tests.support.snapshot import check_whole, snapshot

#: Starts the daemon so that it dies in its first backup: when all is copied,
#: and no manifest is written yet.
DYING = f"""#!{sys.executable}
import os, signal, sys
from hookd_daemon.cli import main
from hookd_daemon.store.rocks import backup

backup.sync_files = lambda root: os.kill(os.getpid(), signal.SIGKILL)
sys.exit(main())
"""

#: Starts the daemon with its backups on a disk of 300 KiB of its own.
SMALL = """#!/bin/sh
exec unshare --user --map-root-user --mount sh -c '
    mount -t tmpfs -o size=300k none "$HOOKD_BACKUP_DIR" && exec "$@"' sh {hookd} "$@"
"""


def program(folder: Path, text: str) -> str:
    """Makes a program to start instead of ``hookd``."""
    file = folder / "program"
    file.write_text(text)
    file.chmod(0o700)
    return str(file)


def test_a_backup_that_is_killed_in_the_middle_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    daemon = Daemon(tmp_path)
    with monkeypatch.context() as dying:
        dying.setattr(daemon_module, "HOOKD", program(tmp_path, DYING))
        daemon.start()
        api = Api(daemon.channel())
        api.start("before")
        with pytest.raises(grpc.RpcError) as lost:
            backup(api, "killed")
        assert lost.value.code() == grpc.StatusCode.UNAVAILABLE
    backups = tmp_path / "data-backups"
    assert unfinished(backups) == ["killed.incomplete"]
    assert (backups / "killed.incomplete" / "db" / "CURRENT").exists(), "it was in the middle"
    assert not (backups / "killed").exists()
    done = hookd_restore(backups / "killed.incomplete", tmp_path / "new")
    assert (done.returncode, "is no backup" in done.stderr) == (1, True)

    # The next start is not hindered, and the next backup cleans up, whatever its name.
    daemon.restart()
    api = Api(daemon.channel())
    before = snapshot(api)
    made = backup(api, "next")
    assert sorted(path.name for path in backups.iterdir()) == ["next"]
    assert backup(api, "killed").exists()
    with restored(made, tmp_path / "copy") as copy:
        assert snapshot(Api(copy.channel())) == before
    for channel in daemon.channels:
        channel.close()
    daemon.kill()


def has_disks() -> bool:
    """Whether this user may have a disk of his own in a namespace."""
    if shutil.which("unshare") is None:
        return False
    mount = ["mount", "-t", "tmpfs", "none", "/mnt"]
    tried = ["unshare", "--user", "--map-root-user", "--mount", *mount]
    return subprocess.run(tried, capture_output=True, check=False).returncode == 0


@pytest.mark.skipif(not has_disks(), reason="needs a disk of its own, by user namespaces")
def test_a_full_disk_fails_the_backup_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backups = tmp_path / "small"
    backups.mkdir()
    start = program(tmp_path, SMALL.format(hookd=daemon_module.HOOKD))
    monkeypatch.setattr(daemon_module, "HOOKD", start)
    with running(tmp_path, env={"HOOKD_BACKUP_DIR": str(backups)}) as daemon:
        api = Api(daemon.channel())
        # What only this process sees: its disk is of another namespace.
        inside = Path(f"/proc/{daemon.pid}/root{backups}")
        backup(api, "fits")
        for number in range(4):
            # It cannot be compressed.
            noise = Payload(data=os.urandom(200_000))
            api.start(f"large-{number}", input=noise)
        for _ in range(3):
            told = refusal(backup, api, "too-large")
            assert told.code == grpc.StatusCode.UNAVAILABLE
            assert "the backup too-large cannot be written: " in told.message
            assert "No space left on device" in told.message
            assert [path.name for path in inside.iterdir()] == ["fits"]
        assert daemon.log.count('"a backup failed"') == 3
        assert "Traceback" not in daemon.log
        # The store has its own disk, and goes on.
        api.claim("large-0", "token")
        check_whole(api, snapshot(api))
