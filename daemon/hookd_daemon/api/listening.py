"""A ``grpc.aio`` server that no request can end.

The loop of ``grpc.aio`` that takes requests decodes the path of each one that
is for no registered method, and ends with the error if that is not UTF-8: the
port is closed, and the process goes on without it. A single request from
whoever reaches the port is enough. So here each registered method takes its
own calls, by a name that is known, and all others are answered UNIMPLEMENTED
unread.

This stands on names that ``grpc.aio`` does not promise to keep. A start fails
if one is gone, and ``tests/fuzz/test_fuzz_sockets.py`` sees whether it still
does what it is for.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import grpc.aio
from grpc._cython import cygrpc
from grpc.aio import _server


class _Core(cygrpc.AioServer):  # type: ignore[misc]
    """Takes requests, each method its own."""

    def __init__(self, loop: asyncio.AbstractEventLoop, options: Sequence[tuple[str, Any]]) -> None:
        super().__init__(loop, None, (), None, tuple(options), None)
        self._event_loop = loop
        self._handlers: dict[str, grpc.RpcMethodHandler[Any, Any]] = {}
        self._resolver = cygrpc._MethodResolver([], self._handlers)
        self._calls: set[asyncio.Task[None]] = set()

    def add_registered_method_handlers(
        self, handlers: dict[str, grpc.RpcMethodHandler[Any, Any]]
    ) -> None:
        """Has methods answered, by their paths; before the start only."""
        super().add_registered_method_handlers(handlers)
        self._handlers.update(handlers)

    def add_generic_rpc_handlers(self, _handlers: object) -> None:
        """Does nothing: what is not registered is not served."""

    def _make_request_call_future(self, method: bytes | None) -> asyncio.Task[None]:
        """Begins to take the calls of a method, or all others.

        ``grpc.aio`` waits for what is given back to take the call that it is.
        It never is one, and ends when the server does.
        """
        return self._event_loop.create_task(self._take(method))

    async def _take(self, method: bytes | None) -> None:
        # No handler has this name.
        path = "" if method is None else method.decode()
        while True:
            if method is None:
                call = await self._request_call()
            else:
                call = await self._request_registered_call(method)
            loop = self._event_loop
            answer = cygrpc._handle_rpc(path, self._resolver, (), call, loop, False)
            task = loop.create_task(cygrpc._schedule_rpc_coro(answer, call, loop, path))
            # The loop itself would not keep it.
            self._calls.add(task)
            task.add_done_callback(self._calls.discard)


class Server(_server.Server):
    """As ``grpc.aio.server``, for registered methods only; made in a running event loop.

    Args:
        options: of gRPC core.
    """

    def __init__(self, options: Sequence[tuple[str, Any]]) -> None:
        self._loop = asyncio.get_running_loop()
        cygrpc.init_grpc_aio()
        self._server = _Core(self._loop, options)
