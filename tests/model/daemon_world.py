"""A real daemon, over gRPC, with a clock that is set by the test."""

from __future__ import annotations

import time
import urllib.request
from pathlib import Path
from unittest import mock

from hookd.v1.run_service_pb2 import WatchRunRequest
from hookd.v1.worker_service_pb2_grpc import WorkerServiceStub

from tests.model.clocked import ClockFile, program
from tests.model.facts import Bindings
from tests.support import daemon as daemon_module
from tests.support.api import Api, refusal
from tests.support.daemon import PATIENCE, Daemon
from tests.support.snapshot import check_whole, snapshot

#: How many streams the daemon has at one time.
MAX_STREAMS = 4


class DaemonWorld:
    """A process, killed and started again on the same data; see ``World``.

    Args:
        folder: for the data, the log and the clock.
        retention: how long ended runs are kept, in milliseconds.
    """

    name = "a daemon"

    def __init__(self, folder: Path, retention: int) -> None:
        self.bindings = Bindings()
        self.api: Api
        self._clock = ClockFile(folder / "clock")
        self._program = program(folder / "clock")
        self._daemon = Daemon(folder, f"--retention={retention}ms", f"--max-streams={MAX_STREAMS}")
        self._project = ""

    def enter(self, project: str) -> None:
        """See ``World.enter``."""
        self.bindings, self._project = Bindings(), project
        if self._daemon.process is None:
            self.start()
        self.api.project = project

    def set_time(self, now: int) -> None:
        """See ``World.set_time``."""
        self._clock.set_time(now)

    def sweep(self) -> None:
        """See ``World.sweep``."""
        self._clock.sweep()

    def start(self) -> None:
        """See ``World.start``."""
        with mock.patch.object(daemon_module, "HOOKD", self._program):
            self._daemon.start()
        channel = self._daemon.channel()
        self.api = Api(channel, self._project)
        self.api.workers = WorkerServiceStub(channel)  # type: ignore[attr-defined]
        self.sweep()

    def stop(self, how: str) -> None:
        """See ``World.stop``."""
        if how == "crash":
            self._daemon.kill()
        else:
            assert self._daemon.terminate() == 0

    def close(self) -> None:
        """Ends the process."""
        self._daemon.__exit__(None, None, None)

    def leave(self) -> None:
        """See ``World.leave``."""
        check_whole(self.api, snapshot(self.api))

    def crowd(self, run_id: str) -> str:
        """See ``World.crowd``."""
        request = WatchRunRequest(project=self._project, run_id=run_id)
        streams = [self.api.runs.WatchRun(request) for _ in range(MAX_STREAMS)]
        try:
            for stream in streams:
                next(stream)
            return refusal(lambda: next(self.api.runs.WatchRun(request))).reason
        finally:
            for stream in streams:
                stream.cancel()
            self._until_there_is_room()

    def _until_there_is_room(self) -> None:
        end = time.monotonic() + PATIENCE
        while self._streams_open():
            assert time.monotonic() < end, "the daemon keeps streams that are over"

    def _streams_open(self) -> float:
        with urllib.request.urlopen(
            f"http://{self._daemon.http}/metrics", timeout=PATIENCE
        ) as page:
            lines = page.read().decode().splitlines()
        (line,) = [line for line in lines if line.startswith("hookd_streams_open")]
        return float(line.split()[-1])
