"""Child processes: started, waited for, asked what they cost, ended."""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

#: Seconds that a server may take to start or to end.
PATIENCE = 120
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Server:
    """A process that serves.

    Attributes:
        address: where; in the form that the load generator takes.
        pid: its process id.
    """

    address: str
    pid: int


@contextlib.contextmanager
def started(
    command: list[str],
    log: Path,
    *,
    until: str,
    env: Mapping[str, str] | None = None,
    user: int | None = None,
    group: int | None = None,
) -> Iterator[int]:
    """Runs a server, from when its log says that it serves; gives its process id.

    Args:
        command: what to run.
        log: where its output goes.
        until: the words by which it says that it serves.
        env: its environment; ours if None.
        user: the id of the user that runs it; ours if None.
        group: that user's group.

    Raises:
        RuntimeError: it ended, or said nothing for too long.
    """
    rights: dict[str, object] = (
        {} if user is None else {"user": user, "group": group, "extra_groups": []}
    )
    with log.open("wb") as file:
        process = subprocess.Popen(  # type: ignore[call-overload]
            command, stdin=subprocess.DEVNULL, stdout=file, stderr=file, env=env, **rights
        )
    try:
        deadline = time.monotonic() + PATIENCE
        while until not in log.read_text(errors="replace"):
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{command[0]} did not start:\n{log.read_text()[-2000:]}")
            time.sleep(0.01)
        yield process.pid
    finally:
        stop(process)


def stop(process: subprocess.Popen[bytes]) -> None:
    """Asks a process to end, and makes it end if it does not."""
    process.terminate()
    try:
        process.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _stat(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def cpu_seconds(pid: int) -> float:
    """Processor time of a process so far, in seconds, with its children of all ages."""
    fields = _stat(pid)
    ticks = sum(map(int, fields[11:15]))
    for child in _children(pid):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            ticks += sum(map(int, _stat(child)[11:15]))
    return ticks / _TICKS


def _children(pid: int) -> list[int]:
    """The children of a process, but not theirs: no server here has such."""
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            found += map(int, (task / "children").read_text().split())
    return found


def resident_bytes(pid: int) -> int:
    """Resident memory of a process, in bytes."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f"process {pid} has no resident memory")


def written_bytes(pid: int) -> int | None:
    """Bytes that a process has sent to the disk so far; None if the system does not tell."""
    try:
        lines = Path(f"/proc/{pid}/io").read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) for line in lines if line.startswith("write_bytes:")), None)
