"""A real ``hookd`` process for a test, on a real data directory."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType

import grpc
import grpc.aio

#: Seconds that a daemon may take to serve, or to end.
PATIENCE = 60.0
HOOKD = str(Path(sys.executable).with_name("hookd"))


class DaemonFailedError(Exception):
    """The daemon ended instead of serving; holds its exit status and its log."""

    def __init__(self, status: int | None, log: str) -> None:
        super().__init__(f"hookd ended with {status}:\n{log}")
        self.status = status
        self.log = log


class Daemon:
    """A daemon process that can be killed and started again on the same port.

    Args:
        folder: where its data, its backups and its log are.
        flags: more flags of ``hookd serve``.
        env: more environment.
    """

    def __init__(self, folder: Path, *flags: str, env: Mapping[str, str] | None = None) -> None:
        self.folder = folder
        self.flags: Sequence[str] = flags
        self.env = dict(env or {})
        self.data_dir = folder / "data"
        self.log_file = folder / "daemon.log"
        self.process: subprocess.Popen[bytes] | None = None
        self.listen = "127.0.0.1:0"
        self.listen_http = "127.0.0.1:0"
        self.http = ""
        self.channels: list[grpc.Channel] = []

    @property
    def address(self) -> str:
        """Where it serves gRPC; the same after a restart."""
        return self.listen

    @property
    def pid(self) -> int:
        """The process id."""
        assert self.process is not None
        return self.process.pid

    def start(self) -> Daemon:
        """Starts the process and returns when it serves."""
        read_end, write_end = os.pipe()
        with self.log_file.open("ab") as log:
            self.process = subprocess.Popen(
                [
                    HOOKD,
                    "serve",
                    f"--data-dir={self.data_dir}",
                    f"--listen={self.listen}",
                    f"--http={self.listen_http}",
                    f"--ready-fd={write_end}",
                    "--log-format=json",
                    *self.flags,
                ],
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                pass_fds=[write_end],
                env={**os.environ, **self.env},
            )
        os.close(write_end)
        with os.fdopen(read_end) as pipe:
            ready, _, _ = select.select([pipe], [], [], PATIENCE)
            line = pipe.readline() if ready else ""
        if not line:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(1 if ready else 0)
            status = self.process.poll()
            if status is None and ready:
                status = self.process.wait(PATIENCE)
            self.kill()
            raise DaemonFailedError(status, self.log)
        facts = json.loads(line)
        self.listen = facts["grpc"]
        self.http = facts["http"] or ""
        return self

    @property
    def log(self) -> str:
        """Everything it has logged so far."""
        return self.log_file.read_text(errors="replace")

    def kill(self) -> None:
        """Ends it with SIGKILL, as a crash would."""
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
        if self.process is not None:
            self.process.wait(PATIENCE)

    def terminate(self) -> int:
        """Asks it to drain with SIGTERM; returns the exit status."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(PATIENCE)

    def restart(self) -> None:
        """Kills it and starts it again, on the same port and data."""
        self.kill()
        self.start()

    def channel(self) -> grpc.Channel:
        """A new blocking channel to it, closed with the daemon."""
        channel = grpc.insecure_channel(
            self.address,
            options=[
                ("grpc.max_receive_message_length", 16 << 20),
                ("grpc.max_send_message_length", 32 << 20),
                ("grpc.initial_reconnect_backoff_ms", 50),
                ("grpc.max_reconnect_backoff_ms", 200),
                ("grpc.use_local_subchannel_pool", 1),
            ],
        )
        self.channels.append(channel)
        return channel

    def __enter__(self) -> Daemon:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        frames: TracebackType | None,
    ) -> None:
        for channel in self.channels:
            channel.close()
        self.kill()


@contextlib.contextmanager
def running(folder: Path, *flags: str, env: Mapping[str, str] | None = None) -> Iterator[Daemon]:
    """A daemon that serves inside the ``with`` block."""
    with Daemon(folder, *flags, env=env) as daemon:
        yield daemon
