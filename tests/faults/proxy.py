"""A TCP proxy between a client and the daemon that loses what it is told to lose."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from types import TracebackType


class Proxy:
    """Forwards bytes between clients and one address, in a thread of its own.

    Args:
        target: where the connections go on to, "HOST:PORT".

    Attributes:
        swallow_answers: what the daemon sends goes nowhere, and connections stay open.
    """

    def __init__(self, target: str) -> None:
        host, port = target.rsplit(":", 1)
        self._target = (host, int(port))
        self.swallow_answers = False
        self._connections = 0
        self._silent = 0  # so many of the first connections
        self._loop = asyncio.new_event_loop()
        self._writers: set[asyncio.StreamWriter] = set()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy")
        self._server: asyncio.Server | None = None

    def __enter__(self) -> Proxy:
        self._thread.start()
        self._server = asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result(30)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        frames: TracebackType | None,
    ) -> None:
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result(30)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(30)
        self._loop.close()

    @property
    def address(self) -> str:
        """Where clients connect to."""
        assert self._server is not None
        host, port = self._server.sockets[0].getsockname()
        return f"{host}:{port}"

    def cut(self) -> None:
        """Resets all connections; what comes after is forwarded again."""
        self.swallow_answers = False
        asyncio.run_coroutine_threadsafe(self._cut(), self._loop).result(30)

    def silence(self) -> None:
        """Nothing goes through the connections of now, and nobody is told; new ones are sound."""
        self._silent = self._connections

    async def _listen(self) -> asyncio.Server:
        return await asyncio.start_server(self._forward, "127.0.0.1", 0)

    async def _close(self) -> None:
        assert self._server is not None
        self._server.close()
        await self._cut()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        await asyncio.wait(others, timeout=30) if others else None

    async def _cut(self) -> None:
        for writer in list(self._writers):
            writer.transport.abort()

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection(*self._target)
        self._writers |= {writer, back}
        self._connections += 1
        number = self._connections
        try:
            await asyncio.wait(
                [
                    asyncio.ensure_future(self._pump(number, reader, back)),
                    asyncio.ensure_future(self._pump(number, there, writer, answers=True)),
                ],
                return_when=asyncio.FIRST_COMPLETED,
            )
        finally:
            for one in (writer, back):
                one.transport.abort()
                self._writers.discard(one)

    async def _pump(
        self,
        number: int,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        *,
        answers: bool = False,
    ) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                if number > self._silent and not (answers and self.swallow_answers):
                    writer.write(data)
                    await writer.drain()
