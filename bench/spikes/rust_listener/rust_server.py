"""The shipped daemon's handlers behind the Rust listener."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, NoReturn

import grpc
import grpc.aio
import rust_listener
from google.protobuf.descriptor import ServiceDescriptor
from hookd_daemon.api.transport import LAST_GRACE_S, GrpcServer
from hookd_daemon.values import Address

Handler = Callable[[bytes, Any], Awaitable[bytes]]
Refusal = tuple[int, str, list[tuple[str, bytes]]]


class Context:
    """What the daemon's wrapper of a handler asks of a ``grpc.aio.ServicerContext``."""

    __slots__ = ("_call", "refusal")

    def __init__(self, call: rust_listener.Call) -> None:
        self._call = call
        self.refusal: Refusal | None = None

    def invocation_metadata(self) -> list[tuple[str, str | bytes]]:
        """What the caller sent along."""
        return self._call.metadata()

    def time_remaining(self) -> float | None:
        """Seconds until the caller gives up; None when it has set no deadline."""
        return self._call.time_remaining()

    async def abort(
        self, code: grpc.StatusCode, details: str, trailers: tuple[tuple[str, bytes], ...] = ()
    ) -> NoReturn:
        """Ends the call with a status.

        Raises:
            AbortError: always, as ``grpc.aio`` does it.
        """
        self.refusal = (code.value[0], details, list(trailers))
        raise grpc.aio.AbortError


class Crossing:
    """Fetches calls in batches, runs a task for each, and sends answers in batches.

    A batch of calls is what has arrived while the loop was busy. A batch of
    answers is what became ready in one turn of the loop.

    Args:
        host: the host to listen on.
        port: the port; 0 picks a free one.
        handlers: the handlers by path.
    """

    def __init__(self, host: str, port: int, handlers: dict[str, Handler]) -> None:
        self._loop = asyncio.get_running_loop()
        self._handlers = list(handlers.values())
        self._answers: list[tuple[int, bytes | Refusal]] = []
        # The loop itself holds tasks only weakly.
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._listener = rust_listener.Listener(host, port, list(handlers))
        self._loop.add_reader(self._listener.fileno(), self._fetch)

    @property
    def port(self) -> int:
        """The port that is bound."""
        return self._listener.port

    def _fetch(self) -> None:
        for call in self._listener.fetch():
            self._tasks[call.id] = self._loop.create_task(self._handle(call))

    async def _handle(self, call: rust_listener.Call) -> None:
        context = Context(call)
        answer: bytes | Refusal
        try:
            answer = await self._handlers[call.method](call.message, context)
        except grpc.aio.AbortError:
            answer = context.refusal or (grpc.StatusCode.UNKNOWN.value[0], "", [])
        # Here and not at the end: an id that is answered may be given again.
        del self._tasks[call.id]
        if not self._answers:
            self._loop.call_soon(self._send)
        self._answers.append((call.id, answer))

    def _send(self) -> None:
        answers, self._answers = self._answers, []
        self._listener.answer(answers)

    def drain(self) -> None:
        """Accepts no new connection; those there are end with their calls."""
        self._listener.drain()

    def stop(self) -> None:
        """Ends all connections."""
        self._loop.remove_reader(self._listener.fileno())
        self._listener.stop()


@dataclass
class _Details(grpc.HandlerCallDetails):
    method: str
    invocation_metadata: tuple[tuple[str, str], ...] = ()


class RustServer(GrpcServer):
    """Stands in for the daemon's server; the daemon's wrappers of handlers are used as they are."""

    def _generic_handler(
        self, service: ServiceDescriptor, handlers: object
    ) -> grpc.GenericRpcHandler:
        generic = super()._generic_handler(service, handlers)
        for method in service.methods:
            path = f"/{service.full_name}/{method.name}"
            found = generic.service(_Details(path))
            if found is not None and found.unary_unary is not None:
                self._unary_handlers()[path] = found.unary_unary
        return generic

    def _unary_handlers(self) -> dict[str, Handler]:
        # Asked for by the base's constructor: no attribute can be there before.
        table: dict[str, Handler] = self.__dict__.setdefault("_table", {})
        return table

    async def start(self, address: Address) -> Address:
        """Binds the address and begins to serve; port 0 picks a free one."""
        self._crossing = Crossing(address.host, address.port, self._unary_handlers())
        return Address(address.host, self._crossing.port)

    async def stop(self, grace: float) -> None:
        """Stops: calls in flight have ``grace`` seconds to be answered."""
        # As shipped: first the gate refuses calls, with a status that is retried.
        await self._gate.quiet(grace)
        self._crossing.drain()
        await asyncio.sleep(min(grace, LAST_GRACE_S))
        self._crossing.stop()
