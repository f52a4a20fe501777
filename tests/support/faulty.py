"""A daemon to which a test does things: crashes at named points, a bad disk, a loss of power."""

from __future__ import annotations

import json
import os
import random
import signal
import sys
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from unittest import mock

from tests.support.crashing import Fault, log_sizes
from tests.support.daemon import PATIENCE, Daemon

ROOT = Path(__file__).parents[2]


class FaultyDaemon(Daemon):
    """A daemon with points where something can be done; see ``crashing``.

    Args:
        folder: where its data, its backups and its log are.
        flags: more flags of ``hookd serve``.
        env: more environment.
        constants: what is set in its modules, by "module:NAME".
        obeys_permissions: root may not write what is read-only, either.
    """

    def __init__(
        self,
        folder: Path,
        *flags: str,
        env: Mapping[str, str] | None = None,
        constants: Mapping[str, object] | None = None,
        obeys_permissions: bool = False,
    ) -> None:
        super().__init__(folder, *flags, env=env)
        self._constants = dict(constants or {})
        self._fault = folder / "fault.json"
        self._synced = folder / "synced.json"
        self._wall = folder / "wall.txt"
        self.set_wall_clock(0)
        self._program = folder / "hookd"
        self._program.write_text(
            f"#!{sys.executable}\nimport sys\nsys.path.insert(0, {str(ROOT)!r})\n"
            "from tests.support.crashing import main\n"
            f"sys.exit(main(obeys_permissions={obeys_permissions}))\n"
        )
        self._program.chmod(0o700)

    def start(self, fault: Fault | None = None) -> FaultyDaemon:
        """Starts it, with a fault from the beginning if one is named."""
        self._fault.unlink(missing_ok=True)
        if fault is not None:
            self._fault.write_text(json.dumps(asdict(fault)))
        self.env |= {
            "HOOKD_FAULT": str(self._fault),
            "HOOKD_SYNCED": str(self._synced),
            "HOOKD_WALL": str(self._wall),
            "HOOKD_CONSTANTS": json.dumps(self._constants),
        }
        with mock.patch("tests.support.daemon.HOOKD", str(self._program)):
            super().start()
        return self

    def arm(self, fault: Fault) -> None:
        """Has something happen from now on."""
        self._fault.write_text(json.dumps(asdict(fault)))
        os.kill(self.pid, signal.SIGUSR1)

    def set_wall_clock(self, ahead: float) -> None:
        """Sets its wall clock, also while it runs: so many seconds ahead of the real one."""
        fresh = self._wall.with_suffix(".new")
        fresh.write_text(str(ahead))
        fresh.rename(self._wall)

    def stop(self) -> None:
        """Stops the process, as SIGSTOP does; returns when it has stopped."""
        os.kill(self.pid, signal.SIGSTOP)
        os.waitid(os.P_PID, self.pid, os.WSTOPPED | os.WNOWAIT)

    def go_on(self) -> None:
        """Has it go on."""
        os.kill(self.pid, signal.SIGCONT)

    def wait(self) -> int:
        """Waits until it has ended; returns the exit status, negative for a signal."""
        assert self.process is not None
        return self.process.wait(PATIENCE)

    def lose_power(self, dice: random.Random) -> str:
        """Takes from the logs of a daemon that has ended what was not synced.

        Of what was not, by the dice, all is kept, or nothing, or a beginning:
        each is what a disk may have made of it.

        Returns:
            How much was taken, for the message of a test that fails.
        """
        assert self.process is not None
        assert self.process.poll() is not None
        synced = json.loads(self._synced.read_text())
        database = self.data_dir / "db"
        taken = 0
        for name, size in log_sizes(database).items():
            unsynced = size - synced.get(name, 0)
            assert unsynced >= 0, f"{name} is shorter than what was synced of it"
            kept = dice.choice([0, unsynced, dice.randint(0, unsynced)])
            os.truncate(database / name, size - unsynced + kept)
            taken += unsynced - kept
        return f"{taken} bytes were not synced and are lost"
