"""One life of a daemon that is a guest in another program."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from hookd_daemon.config import Settings
from hookd_daemon.dispatch.sessions import Session
from hookd_daemon.server import Daemon, Serving
from hookd_daemon.testing.clock import MovableClock
from hookd_daemon.testing.time import LOOK_S, PATIENCE_S, Time


class Life:
    """A daemon in the background of this event loop, from its start to its stop.

    Args:
        daemon: the daemon.
        task: runs it.
        serving: what it consists of.
        clock: its clock.

    Attributes:
        address: where it serves gRPC.
        http: where it serves HTTP; None when it does not.
        time: its time.
    """

    def __init__(
        self, daemon: Daemon, task: asyncio.Task[int], serving: Serving, clock: MovableClock
    ) -> None:
        self._daemon = daemon
        self._task = task
        self._board = serving.dispatcher.board
        self.address = serving.grpc
        self.http = serving.http
        self.time = Time(serving, clock)

    @classmethod
    async def begin(cls, settings: Settings, clock: MovableClock) -> Life:
        """Starts a daemon, and returns when it serves.

        Raises:
            StartupError: it cannot start.
        """
        serving: asyncio.Future[Serving] = asyncio.get_running_loop().create_future()
        daemon = Daemon(settings, clock=clock, on_serving=serving.set_result)
        task = asyncio.create_task(daemon.run(), name="hookd-daemon")
        try:
            either: list[asyncio.Future[Any]] = [serving, task]
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            if not serving.done():
                raise RuntimeError(f"the daemon ended with status {await task}")
        except asyncio.CancelledError:
            daemon.stop()
            await task
            raise
        return cls(daemon, task, serving.result(), clock)

    async def end(self) -> None:
        """Stops the daemon, and returns when it is down."""
        self._daemon.stop()
        await self._task

    def workers(self) -> set[str]:
        """The ids of the workers that are connected."""
        return {session.worker_id for session in self._board.sessions.values()}

    async def until_back(self, workers: set[str]) -> None:
        """Waits until these workers are connected.

        Raises:
            TimeoutError: they do not come.
        """
        await self._until(lambda: workers <= self.workers())

    async def until_named(self, name: str, running: asyncio.Task[None]) -> None:
        """Waits until a worker of this program is connected.

        Args:
            name: its name.
            running: runs it.

        Raises:
            TimeoutError: it does not come.
            Exception: what the worker raised.
        """

        def is_here(session: Session) -> bool:
            return session.offer.name == name

        await self._until(
            lambda: running.done() or any(map(is_here, self._board.sessions.values()))
        )
        if running.done():
            await running
            raise RuntimeError(f"the worker {name} has stopped")

    async def _until(self, there: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while not there():  # noqa: ASYNC110 - nobody tells
                await asyncio.sleep(LOOK_S)
