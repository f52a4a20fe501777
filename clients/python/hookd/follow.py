"""Server streams that outlive their connections."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

from grpc import aio

from hookd.retry import Backoff
from hookd.status import error_from_rpc, is_transient

if TYPE_CHECKING:
    from collections.abc import Callable

    from hookd.transport import Transport

_Request = TypeVar("_Request")
_Response = TypeVar("_Response")


class Follower(Generic[_Request, _Response]):
    """Reads a server stream message by message, and opens it again when it was lost.

    It is opened again without limit: until the daemon says no, the reader
    closes it, or the wait for a message is cancelled. The next read after a
    cancelled one opens the stream anew. ``request`` is called for each
    opening and says from where to go on: whoever reads notes the position of
    a message before it asks for the next.
    """

    def __init__(
        self,
        transport: Transport,
        method: aio.UnaryStreamMultiCallable[_Request, _Response],
        request: Callable[[], _Request],
    ) -> None:
        self._transport = transport
        self._method = method
        self._request = request
        self._call: aio.UnaryStreamCall[_Request, _Response] | None = None
        self._backoff = Backoff()

    async def read(self) -> _Response | None:
        """Gives the next message, or None when the stream has ended.

        Raises:
            HookdError: What the daemon said.
        """
        while True:
            try:
                message = await self._current().read()
            except aio.AioRpcError as rpc:
                self._call = None
                error = error_from_rpc(rpc, self._transport.address)
                if not is_transient(error):
                    raise error from None
            except (aio.UsageError, asyncio.CancelledError):
                self.close()
                self._transport.raise_if_closed()
                raise
            else:
                if message is aio.EOF:
                    self._call = None
                    return None
                self._backoff.reset()
                return cast("_Response", message)
            await self._backoff.wait()

    async def reopen(self) -> None:
        """Waits a little, after the stream ended although it should not have."""
        self.close()
        await self._backoff.wait()

    def close(self) -> None:
        """Gives the stream up. Reading opens it again."""
        call, self._call = self._call, None
        if call is not None:
            call.cancel()

    def _current(self) -> aio.UnaryStreamCall[_Request, Any]:
        if self._call is None:
            self._call = self._method(self._request(), metadata=self._transport.metadata())
        return self._call
