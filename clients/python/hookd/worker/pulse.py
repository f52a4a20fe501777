"""Looks after a worker whose event loop is blocked by a step.

An asynchronous step that blocks keeps the whole worker from going on, its
heartbeats too: its steps would be given to others while it is still at them.
So a thread keeps their leases for as long as the loop is blocked, and says
where it is.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
import time
import traceback
from typing import TYPE_CHECKING

import grpc

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from hookd.v1.worker_service_pb2 import StepRef
    from hookd.worker.link import Link

_log = logging.getLogger("hookd.worker")

REPORT_AFTER = 2.0
"""A loop that is blocked for so many seconds is reported."""
_LOOK = 0.5
_FRAMES = 12


class Pulse:
    """The thread that looks. To be made and closed in the event loop.

    Args:
        link: To the daemon.
        pause: Gives the seconds between heartbeats.
        held: Gives the steps that the worker is executing.
    """

    def __init__(
        self, link: Link, pause: Callable[[], float], held: Callable[[], Sequence[StepRef]]
    ) -> None:
        self._link = link
        self._pause = pause
        self._held = held
        self._loop = asyncio.get_running_loop()
        self._loop_thread = threading.get_ident()
        self._felt = time.monotonic()
        self._closed = threading.Event()
        threading.Thread(target=self._watch, name="hookd-pulse", daemon=True).start()

    def close(self) -> None:
        """Looks no more."""
        self._closed.set()

    def _feel(self) -> None:
        self._felt = time.monotonic()

    def _watch(self) -> None:
        next_report, beaten = REPORT_AFTER, 0.0
        while not self._closed.wait(min(_LOOK, self._pause() / 2)):
            now = time.monotonic()
            blocked = now - self._felt
            if blocked < REPORT_AFTER:
                next_report = REPORT_AFTER
            elif blocked >= next_report:
                next_report = blocked * 2
                self._report(blocked)
            # A lease lasts for three pauses.
            if blocked > self._pause() and now - beaten > self._pause():
                beaten = now
                self._beat()
            try:
                self._loop.call_soon_threadsafe(self._feel)
            except RuntimeError:
                return  # The loop is closed.

    def _report(self, blocked: float) -> None:
        frame = sys._current_frames().get(self._loop_thread)
        lines = traceback.format_stack(frame)[-_FRAMES:] if frame is not None else []
        _log.warning(
            "The worker has been blocked for %.1f s, probably by an async step that does not "
            "await: make it a plain def, which runs in a thread. It is at\n%s",
            blocked,
            "".join(lines).rstrip(),
        )

    def _beat(self) -> None:
        steps = list(self._held())
        if not steps:
            return
        try:
            self._link.heartbeat_from_thread(steps, self._pause())
        except grpc.RpcError as error:
            _log.debug("A heartbeat was lost: %s", error)
