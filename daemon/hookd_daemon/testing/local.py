"""A daemon inside the process of a test."""

from __future__ import annotations

import asyncio
import itertools
import os
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

from hookd import Client, Worker, ambient_client, connect
from hookd.durations import Seconds, seconds

from hookd_daemon.config import Settings
from hookd_daemon.secrets.files import SecretFiles
from hookd_daemon.testing.clock import MovableClock
from hookd_daemon.testing.life import Life
from hookd_daemon.testing.quiet import modest_logs
from hookd_daemon.testing.time import LOOK_S

PROJECT = "default"


class LocalDaemon:
    """A daemon in this process, on a directory of its own, with a clock that can be moved on.

    It is the daemon that ``hookd serve`` runs, with its engine, and its gRPC
    and HTTP on free ports of this machine. It serves inside of an ``async
    with``, and leaves nothing behind. Inside, the ambient functions (``hookd.start``,
    ``hookd.resume_hook``, …) and ``hookd.connect()`` use it.

    Args:
        **settings: settings of the daemon, as ``retention="7d"``. Unlike
            elsewhere, ended runs are kept for good if nothing is said: a test
            that moves time on wants to see how they have ended.
    """

    def __init__(self, **settings: Any) -> None:
        self._chosen = settings
        self._clock = MovableClock()
        self._moving = asyncio.Lock()
        self._numbers = itertools.count(1)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._inside = AsyncExitStack()
        self._client: Client | None = None
        self._life: Life | None = None

    async def __aenter__(self) -> Self:
        if self._loop is not None:
            raise RuntimeError("a local daemon is entered once")
        self._loop = asyncio.get_running_loop()
        async with AsyncExitStack() as inside:
            inside.enter_context(modest_logs())
            folder = inside.enter_context(tempfile.TemporaryDirectory(prefix="hookd-"))
            self._life = await Life.begin(self._settings(folder), self._clock)
            inside.push_async_callback(self._end)
            inside.enter_context(_environment(self._life.address))
            # The ambient client of before has another address, and the one of
            # here soon leads nowhere.
            await _close_ambient_client()
            inside.push_async_callback(_close_ambient_client)
            self._client = await inside.enter_async_context(connect())
            self._folder = folder
            self._inside = inside.pop_all()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._inside.aclose()

    def _settings(self, folder: str, before: Life | None = None) -> Settings:
        ours = {
            "retention": "keep",
            "http": "127.0.0.1:0",
            "drain_timeout": 0,
            "log_format": "json",
        }
        place = {"data_dir": Path(folder, "data"), "listen": "127.0.0.1:0"}
        if before is not None:
            place |= {"listen": before.address, "http": before.http or ""}
        return Settings.model_validate({**ours, **self._chosen, **place})

    async def _end(self) -> None:
        life, self._life = self._life, None
        if life is not None:
            await life.end()

    def _here(self) -> Life:
        if self._life is None:
            raise RuntimeError("the daemon does not run: use it inside of its `async with`")
        if asyncio.get_running_loop() is not self._loop:
            raise RuntimeError(
                "the daemon runs in another event loop than this: give the fixture and the "
                "test the same loop scope"
            )
        return self._life

    @property
    def address(self) -> str:
        """Where it serves gRPC, as "host:port"; the same after a restart."""
        return self._here().address

    @property
    def client(self) -> Client:
        """A client of the project "default", which the ambient functions use, too."""
        self._here()
        if self._client is None:
            raise RuntimeError("the daemon is being started")
        return self._client

    def set_secret(self, name: str, *secrets: str) -> None:
        """Sets a secret that webhooks verify requests with.

        Args:
            name: its name.
            *secrets: the secret; of several, each counts.

        Raises:
            SecretError: it can have no such name, or is empty.
        """
        self._here()
        files = SecretFiles(self._settings(self._folder).secrets_dir)
        files.write(PROJECT, name, "\n".join(secrets).encode())

    def now(self) -> datetime:
        """The daemon's time, which is ahead of the real one by all that was skipped."""
        return datetime.fromtimestamp(self._clock.now_ms() / 1000, UTC)

    @asynccontextmanager
    async def worker(self, *work: Any, **settings: Any) -> AsyncIterator[Worker]:
        """Runs a worker in this event loop. It is connected when the block begins.

        Args:
            *work: what it serves: workflows, steps, and modules that have some.
            **settings: settings of the ``hookd.worker.Worker``.
        """
        settings.setdefault("name", f"worker-{next(self._numbers)}")
        settings.setdefault("client", self.client)
        worker = Worker(work, **settings)
        running = asyncio.create_task(worker.run(), name=f"hookd-{worker.name}")
        try:
            await self._here().until_named(worker.name, running)
            yield worker
        finally:
            worker.stop()
            await running

    async def settle(self) -> None:
        """Waits until the workers that are connected have nothing to do at this moment.

        Raises:
            TimeoutError: they are at it for too long; the error says at what.
        """
        await self._here().time.settle()

    async def skip(self, span: Seconds) -> None:
        """Lets time pass at once, and what comes due happen in its order.

        Timers, retries, hooks' ``ttl``, holds, leases and retention: time goes
        from one to the next, and stands at each until the workers that are
        connected have done what follows from it. So a sleep that begins on the
        way ends on the way, if there is time enough. What workers lease is not
        touched: they keep it alive by the time that really passes.

        Args:
            span: how much: seconds, a timedelta, or text as "3d".

        Raises:
            TimeoutError: workers are for too long at what came due; the error
                says at what.
        """
        span_ms = round(seconds(span, "span") * 1000)
        async with self._moving:
            await self._here().time.skip(span_ms)

    @asynccontextmanager
    async def auto_skip(self) -> AsyncIterator[None]:
        """Skips all waits as long as the block lasts.

        Whenever the workers that are connected have nothing to do, time goes
        to the next sleep, retry or ``ttl`` that ends. What the test itself is
        about to do is not waited for: have nothing in the block but what waits,
        as ``await run.return_value()``. Leases of runs that are driven from
        outside do not lapse by it.
        """
        self._here()
        body, told, over = asyncio.current_task(), False, False

        def stopped(task: asyncio.Task[None]) -> None:
            # The block would wait for ever.
            nonlocal told
            if not over and body is not None:
                told = True
                body.cancel()

        skipping = asyncio.create_task(self._keep_skipping())
        skipping.add_done_callback(stopped)
        try:
            yield
        finally:
            over = True
            if told and body is not None:
                body.uncancel()
            skipping.cancel()
            with suppress(asyncio.CancelledError):
                await skipping

    async def _keep_skipping(self) -> None:
        while True:
            async with self._moving:
                went_on = await self._here().time.step()
            await asyncio.sleep(0 if went_on else LOOK_S)

    async def restart(self) -> None:
        """Stops the daemon and starts it on the same data, with the same addresses and time.

        Clients and workers find it again by themselves; it returns when the
        workers that were connected are back.

        Raises:
            TimeoutError: a worker does not come back.
        """
        async with self._moving:
            before = self._here()
            workers = before.workers()
            await before.end()
            self._life = await Life.begin(self._settings(self._folder, before), self._clock)
            await self._life.until_back(workers)


async def _close_ambient_client() -> None:
    await ambient_client().close()


@contextmanager
def _environment(address: str) -> Iterator[None]:
    """Has the environment lead to the daemon, for the ambient functions."""
    ours = {"HOOKD_ADDRESS": address, "HOOKD_PROJECT": PROJECT, "HOOKD_API_KEY": None}
    ours |= dict.fromkeys(("HOOKD_TLS", "HOOKD_TLS_CA", "HOOKD_TLS_CERT", "HOOKD_TLS_KEY"))
    before = {name: os.environ.get(name) for name in ours}
    _set_environment(ours)
    try:
        yield
    finally:
        _set_environment(before)


def _set_environment(values: dict[str, str | None]) -> None:
    for name, value in values.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
