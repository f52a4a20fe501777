"""The servers under measurement, each a process of its own on a free port."""

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
