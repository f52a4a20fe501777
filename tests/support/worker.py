"""A real ``hookctl worker`` process for a test."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType

from tests.support.api import unique
from tests.support.concurrency import eventually
from tests.support.daemon import PATIENCE

HOOKCTL = str(Path(sys.executable).with_name("hookctl"))
ROOT = Path(__file__).parents[2]


class WorkerFailedError(Exception):
    """The worker ended instead of working; holds its exit status and its log."""

    def __init__(self, status: int | None, log: str) -> None:
        super().__init__(f"hookctl worker ended with {status}:\n{log}")
        self.status = status
        self.log = log


class WorkerProcess:
    """A worker process that can be killed and started again.

    Args:
        address: the daemon.
        folder: where its log goes.
        target: what it serves, as ``hookctl worker`` takes it; modules are
            looked for in ``directory`` first.
        flags: more flags of ``hookctl worker``.
        project: the project that it works for.
        env: more environment.
        directory: where it runs; the root of the repository if None.
        name: what it is called; unique if None.
    """

    def __init__(
        self,
        address: str,
        folder: Path,
        target: str,
        *flags: str,
        project: str = "default",
        env: Mapping[str, str] | None = None,
        directory: Path | None = None,
        name: str | None = None,
    ) -> None:
        self.name = name or unique("worker")
        self.log_file = folder / f"{self.name}.log"
        self.process: subprocess.Popen[bytes] | None = None
        self._address = address
        self._target = target
        self._flags: Sequence[str] = flags
        self._project = project
        self._env = dict(env or {})
        self._directory = directory or ROOT

    @property
    def pid(self) -> int:
        """The process id."""
        assert self.process is not None
        return self.process.pid

    @property
    def log(self) -> str:
        """Everything it has logged so far, in all its lives."""
        return self.log_file.read_text(errors="replace") if self.log_file.exists() else ""

    def spawn(self) -> WorkerProcess:
        """Starts the process, and does not wait for anything."""
        with self.log_file.open("ab") as log:
            self.process = subprocess.Popen(
                [
                    HOOKCTL,
                    f"--address={self._address}",
                    f"--project={self._project}",
                    "worker",
                    self._target,
                    f"--name={self.name}",
                    *self._flags,
                ],
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                cwd=self._directory,
                env={**os.environ, **self._env},
            )
        return self

    def start(self) -> WorkerProcess:
        """Starts the process and returns when the daemon knows it."""
        before = self.log.count("Connected to ")
        self.spawn()

        def connected() -> bool:
            assert self.process is not None
            if self.process.poll() is not None:
                raise WorkerFailedError(self.process.returncode, self.log)
            return self.log.count("Connected to ") > before

        eventually(connected, within=PATIENCE)
        return self

    def said(self, text: str, times: int = 1) -> str:
        """Waits until it has logged some text so often; gives the last line that has it."""

        def lines() -> list[str]:
            found = [line for line in self.log.splitlines() if text in line]
            return found if len(found) >= times else []

        try:
            return eventually(lines)[-1]
        except AssertionError:
            raise AssertionError(f"the worker did not say {text!r}:\n{self.log}") from None

    def kill(self) -> None:
        """Ends it with SIGKILL, as a crash would."""
        if self.process is not None:
            if self.process.poll() is None:
                self.process.kill()
            self.process.wait(PATIENCE)

    def signal(self, number: signal.Signals) -> None:
        """Sends it a signal."""
        assert self.process is not None
        self.process.send_signal(number)

    def wait(self) -> int:
        """Waits until it has ended; returns the exit status."""
        assert self.process is not None
        return self.process.wait(PATIENCE)

    def terminate(self) -> int:
        """Asks it to end with SIGTERM; returns the exit status."""
        self.signal(signal.SIGTERM)
        return self.wait()

    def restart(self) -> None:
        """Kills it and starts it again."""
        self.kill()
        self.start()

    def __enter__(self) -> WorkerProcess:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        frames: TracebackType | None,
    ) -> None:
        self.kill()


@contextlib.contextmanager
def working(
    address: str, folder: Path, target: str, *flags: str, project: str = "default", **more: object
) -> Iterator[WorkerProcess]:
    """A worker that works inside of the ``with`` block."""
    with WorkerProcess(address, folder, target, *flags, project=project, **more) as worker:  # type: ignore[arg-type]
        yield worker
