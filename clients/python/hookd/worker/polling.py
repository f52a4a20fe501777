"""Takes work from the daemon, for as long as it takes, and keeps hold of it."""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import suppress
from typing import TYPE_CHECKING, cast

from grpc import aio

from hookd.errors import HookdError, InvalidArgumentError
from hookd.retry import Backoff
from hookd.v1 import worker_service_pb2 as pb

if TYPE_CHECKING:
    from hookd.worker.link import Link
    from hookd.worker.steps import Steps
    from hookd.worker.turns import Turns

_log = logging.getLogger("hookd.worker")

# Without a stream of work the daemon takes a worker for lost after 2 seconds
# in which it hears nothing.
_PAUSE_WITHOUT_STREAM = 0.5
# What no waiting helps against.
_FINAL = frozenset({"UNAUTHENTICATED", "PERMISSION_DENIED", "UNIMPLEMENTED"})


class Poller:
    """The stream of work, opened again whenever it is lost.

    Args:
        link: To the daemon.
        request: What the worker serves.
        turns: Where turns go.
        steps: Where steps go.
    """

    def __init__(self, link: Link, request: pb.PollRequest, turns: Turns, steps: Steps) -> None:
        self._link = link
        self._request = request
        self._turns = turns
        self._steps = steps
        self._backoff = Backoff()
        self._pause = 1.0
        self._beat_now = asyncio.Event()
        # Since when the daemon cannot be reached; None while it can.
        self._lost: float | None = None
        # Whether it was reached at all.
        self._known = False

    async def run(self) -> None:
        """Takes work until it is cancelled.

        Raises:
            HookdError: The daemon does not want this worker.
        """
        while True:
            del self._request.held_steps[:]
            self._request.held_steps.extend(self._steps.held)
            call = self._link.poll(self._request)
            try:
                while (message := await call.read()) is not aio.EOF:
                    self._take(cast("pb.PollResponse", message))
                self._note_lost("it ended the connection")
            except aio.AioRpcError as rpc:
                error = self._link.poll_error(rpc)
                if isinstance(error, InvalidArgumentError) or error.reason in _FINAL:
                    _log.error("%s refuses this worker: %s", self._link.address, error)
                    raise error from None
                self._note_lost(str(error))
            finally:
                call.cancel()
            await self._backoff.wait()

    @property
    def pause(self) -> float:
        """The seconds between two heartbeats."""
        return self._pause

    def stop(self) -> None:
        """Says more often what the worker is at: its stream ends, and it does not come back."""
        self._pause = min(self._pause, _PAUSE_WITHOUT_STREAM)
        self._beat_now.set()

    async def keep_leases(self) -> None:
        """Says again and again what the worker is at, until it is cancelled."""
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._pause):
                    await self._beat_now.wait()
            self._beat_now.clear()
            steps, run_ids = self._steps.held, self._turns.run_ids
            if not steps and not run_ids:
                continue
            try:
                dropped = await self._link.heartbeat(steps, run_ids, self._pause)
            except HookdError as error:
                _log.debug("A heartbeat was lost: %s", error)
                continue
            for ref in dropped:
                self._steps.drop(ref)

    def _take(self, message: pb.PollResponse) -> None:
        match message.WhichOneof("item"):
            case "turn":
                self._turns.take(message.turn)
            case "step":
                self._steps.start(message.step)
            case "dropped_step":
                self._steps.drop(message.dropped_step)
            case "welcome":
                self._note_found(message.welcome)

    def _note_lost(self, why: str) -> None:
        if self._lost is None:
            self._lost = time.monotonic()
            state = "is lost" if self._known else "is not there yet"
            _log.warning("The daemon at %s %s: %s", self._link.address, state, why)

    def _note_found(self, welcome: pb.Welcome) -> None:
        self._backoff.reset()
        self._pause = welcome.lease_ttl.ToTimedelta().total_seconds() / 3
        self._beat_now.set()
        request = self._request
        if self._lost is None or not self._known:
            about = f'project "{self._link.project}", as "{request.name}"'
            _log.info("Connected to %s, %s", self._link.address, about)
        else:
            away = time.monotonic() - self._lost
            _log.info("The daemon at %s is back after %.1f s", self._link.address, away)
        self._lost, self._known = None, True
