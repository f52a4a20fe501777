"""The processes under measurement: servers on free ports, and a worker."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Server:
    """A process that serves gRPC.

    Attributes:
        address: where.
        pid: its process id.
    """

    address: str
    pid: int


@contextlib.contextmanager
def _process(command: list[str], ready_flag: str) -> Iterator[Server]:
    read_end, write_end = os.pipe()
    process = subprocess.Popen([*command, f"{ready_flag}={write_end}"], pass_fds=[write_end])
    os.close(write_end)
    try:
        with os.fdopen(read_end) as pipe:
            line = pipe.readline()
        if not line:
            raise RuntimeError(f"{command} did not start")
        facts = json.loads(line)
        yield Server(facts["grpc"], process.pid)
    finally:
        process.terminate()
        process.wait(60)


@contextlib.contextmanager
def hookd(data_dir: Path) -> Iterator[Server]:
    """A daemon as users run it."""
    command = [
        str(Path(sys.executable).with_name("hookd")),
        "serve",
        f"--data-dir={data_dir}",
        "--listen=127.0.0.1:0",
        "--http=",
        "--log-level=warning",
    ]
    with _process(command, "--ready-fd") as server:
        yield server


@contextlib.contextmanager
def empty_handler() -> Iterator[Server]:
    """A bare ``grpc.aio`` server whose handler answers with no bytes: the transport's ceiling."""
    command = [sys.executable, "-m", "bench.empty_server"]
    with _process(command, "--ready-fd") as server:
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
        process.terminate()
        process.wait(60)
