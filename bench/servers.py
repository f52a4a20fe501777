"""hookd under measurement: the daemon, a server that does nothing, and a worker."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from bench.processes import Server, stop

#: The gRPC API with as little around it as its users have.
_SERVE = ("--listen=127.0.0.1:0", "--http=", "--log-level=warning")


@contextlib.contextmanager
def _process(command: list[str]) -> Iterator[Server]:
    """Runs a server that writes its address to a pipe when it serves."""
    read_end, write_end = os.pipe()
    process = subprocess.Popen([*command, f"--ready-fd={write_end}"], pass_fds=[write_end])
    os.close(write_end)
    try:
        with os.fdopen(read_end) as pipe:
            line = pipe.readline()
        if not line:
            raise RuntimeError(f"{command} did not start")
        yield Server(json.loads(line)["grpc"], process.pid)
    finally:
        stop(process)


@contextlib.contextmanager
def hookd(data_dir: Path, *more: str) -> Iterator[Server]:
    """A daemon as users run it.

    Args:
        data_dir: its data.
        more: flags.
    """
    command = [str(Path(sys.executable).with_name("hookd")), "serve", f"--data-dir={data_dir}"]
    with _process([*command, *_SERVE, *more]) as server:
        yield server


def kill(server: Server) -> None:
    """Ends a daemon as a crash does, and waits until it has left its data."""
    os.kill(server.pid, signal.SIGKILL)
    # All its threads are gone then; its status is left for who has started it.
    os.waitid(os.P_PID, server.pid, os.WEXITED | os.WNOWAIT)


@contextlib.contextmanager
def empty_handler() -> Iterator[Server]:
    """The same server with handlers that answer with no bytes: the transport's ceiling."""
    with _process([sys.executable, "-m", "bench.empty_server"]) as server:
        yield server


@contextlib.contextmanager
def worker(address: str, log_file: Path) -> Iterator[int]:
    """A worker as users run it, with the workflows of ``definitions``; gives its process id."""
    command = [
        str(Path(sys.executable).with_name("hookctl")),
        f"--address={address}",
        "worker",
        "bench.definitions",
    ]
    with log_file.open("ab") as log:
        process = subprocess.Popen(
            command, cwd=Path(__file__).parent.parent, stdout=log, stderr=log
        )
    try:
        yield process.pid
    except Exception as error:
        if process.poll() is not None:
            raise RuntimeError(f"the worker has ended:\n{log_file.read_text()}") from error
        raise
    finally:
        stop(process)
