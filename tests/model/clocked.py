"""A ``hookd`` process whose time is set by a test; otherwise it is the program as it is.

Usage: python -m tests.model.clocked CLOCK ARGUMENT…

CLOCK is a file of three numbers of 8 bytes: the time in milliseconds, how many
sweeps are wanted, and how many were made. ARGUMENT… are those of ``hookd``.
"""

from __future__ import annotations

import asyncio
import mmap
import shlex
import sys
import time
from pathlib import Path
from unittest import mock

from hookd_daemon import cli, server
from hookd_daemon.clock import Clock

ROOT = Path(__file__).parents[2]
#: So often it is looked whether a sweep is wanted, in seconds.
LOOK_S = 0.001
#: Seconds that a sweep may take.
PATIENCE_S = 30.0


class ClockFile:
    """The file, as both sides see it.

    Args:
        path: the file; made if it is not there.
    """

    def __init__(self, path: Path) -> None:
        if not path.exists():
            path.write_bytes(bytes(24))
        with path.open("r+b") as file:
            self._numbers = memoryview(mmap.mmap(file.fileno(), 24)).cast("Q")

    def now_ms(self) -> int:
        """The time."""
        return self._numbers[0]

    def set_time(self, now: int) -> None:
        """Sets the time."""
        self._numbers[0] = now

    def sweep(self) -> None:
        """Has the daemon do what is due.

        Raises:
            TimeoutError: it does not.
        """
        self._numbers[1] += 1
        end = time.monotonic() + PATIENCE_S
        while self._numbers[2] != self._numbers[1]:
            if time.monotonic() > end:
                raise TimeoutError("the daemon does not sweep")
            time.sleep(LOOK_S / 4)

    async def sweep_when_asked(self, serving: server.Serving) -> None:
        """The daemon's side of ``sweep``."""
        while True:
            wanted = self._numbers[1]
            if wanted != self._numbers[2]:
                await serving.sweeper.catch_up()
                self._numbers[2] = wanted
            await asyncio.sleep(LOOK_S)


def program(clock: Path) -> str:
    """A file that starts ``hookd`` with this clock, beside the clock."""
    file = clock.with_name("hookd-clocked")
    command = shlex.join([sys.executable, "-m", "tests.model.clocked", str(clock)])
    file.write_text(f'#!/bin/sh\ncd {shlex.quote(str(ROOT))} && exec {command} "$@"\n')
    file.chmod(0o700)
    return str(file)


def main(clock: str, *arguments: str) -> int:
    """Runs ``hookd``."""
    file = ClockFile(Path(clock))

    class FileClock(Clock):
        def now_ms(self) -> int:
            return file.now_ms()

    tasks: list[asyncio.Task[None]] = []

    def serving(there: server.Serving) -> None:
        tasks.append(asyncio.ensure_future(file.sweep_when_asked(there)))

    with (
        mock.patch.object(server, "Clock", FileClock),
        mock.patch.object(server, "_settle", serving),
    ):
        return cli.main(arguments)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
