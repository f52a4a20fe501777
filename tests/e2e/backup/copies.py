"""Making backups and restoring them, as an operator does."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from hookd.v1.admin_service_pb2 import BackupRequest

from tests.support.api import Api
from tests.support.daemon import HOOKD, PATIENCE, Daemon, running

HOOKCTL = str(Path(sys.executable).with_name("hookctl"))


def backup(api: Api, name: str) -> Path:
    """Makes a backup over the API."""
    return Path(api.admin.Backup(BackupRequest(name=name), timeout=PATIENCE).path)


def hookctl_backup(address: str, *words: str) -> subprocess.CompletedProcess[str]:
    """Runs ``hookctl backup``."""
    command = [HOOKCTL, f"--address={address}", "backup", *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)


def hookd_restore(source: Path, data_dir: Path) -> subprocess.CompletedProcess[str]:
    """Runs ``hookd restore``."""
    command = [HOOKD, "restore", str(source), f"--data-dir={data_dir}"]
    return subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)


@contextlib.contextmanager
def restored(source: Path, folder: Path) -> Iterator[Daemon]:
    """A daemon on what a backup holds, inside the ``with`` block."""
    folder.mkdir()
    done = hookd_restore(source, folder / "data")
    assert (done.returncode, done.stderr) == (0, "")
    with running(folder) as daemon:
        yield daemon


def unfinished(folder: Path) -> list[str]:
    """What in a folder was begun, and is neither finished nor removed."""
    return [path.name for path in folder.glob("*.incomplete")]
