"""A daemon of the test's own making: answers as the test says, and breaks when told to."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from google.rpc import error_details_pb2, status_pb2
from grpc import aio
from hookd.v1 import (
    admin_service_pb2,
    hook_service_pb2,
    run_service_pb2,
    stream_service_pb2,
)

Unary = Callable[[Any, Any], Awaitable[Any]]
Stream = Callable[[Any, Any], AsyncIterator[Any]]

_METHODS = {
    method.name: (service.full_name, method)
    for module in (admin_service_pb2, hook_service_pb2, run_service_pb2, stream_service_pb2)
    for service in module.DESCRIPTOR.services_by_name.values()
    for method in service.methods
}


async def until(condition: Callable[[], object]) -> None:
    """Waits until something is so."""
    while not condition():  # noqa: ASYNC110 - a test looks from outside
        await asyncio.sleep(0.005)


class FakeDaemon:
    """Serves the handlers that a test gives it, on one port, also after a restart."""

    def __init__(self) -> None:
        self.handlers: dict[str, Unary | Stream] = {}
        self.seen: list[tuple[str, Any]] = []
        self.metadata: list[dict[str, str]] = []
        self._server: aio.Server | None = None
        self._port = 0

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self._port}"

    def on(self, **handlers: Unary | Stream) -> None:
        """Sets handlers by the names of their calls."""
        self.handlers.update(handlers)

    def requests(self, name: str) -> list[Any]:
        """What was asked with a call, in order."""
        return [request for called, request in self.seen if called == name]

    async def start(self) -> None:
        self._server = aio.server(options=[("grpc.so_reuseport", 0)])
        self._server.add_generic_rpc_handlers((_Router(self),))
        self._port = self._server.add_insecure_port(self.address)
        await self._server.start()

    async def stop(self, grace: float | None = None) -> None:
        if self._server is not None:
            await self._server.stop(grace)
            self._server = None


class _Router(grpc.GenericRpcHandler):
    def __init__(self, daemon: FakeDaemon) -> None:
        self._daemon = daemon

    def service(self, details: grpc.HandlerCallDetails) -> Any:
        name = details.method.rpartition("/")[2]
        if name not in self._daemon.handlers:
            return None
        handler: Any = self._daemon.handlers[name]
        _, method = _METHODS[name]

        def note(request: Any, context: Any) -> None:
            self._daemon.seen.append((name, request))
            self._daemon.metadata.append(dict(context.invocation_metadata()))

        async def unary(request: Any, context: Any) -> Any:
            note(request, context)
            return await handler(request, context)

        async def stream(request: Any, context: Any) -> AsyncIterator[Any]:
            note(request, context)
            async for response in handler(request, context):
                yield response

        codec = {
            "request_deserializer": GetMessageClass(method.input_type).FromString,
            "response_serializer": GetMessageClass(method.output_type).SerializeToString,
        }
        if method.client_streaming:
            return grpc.stream_stream_rpc_method_handler(handler, **codec)
        if method.server_streaming:
            return grpc.unary_stream_rpc_method_handler(stream, **codec)
        return grpc.unary_unary_rpc_method_handler(unary, **codec)


async def refuse(
    context: Any,
    code: grpc.StatusCode,
    reason: str = "",
    metadata: Mapping[str, str] | None = None,
    *details: Message,
    message: str = "no",
) -> None:
    """Ends a call with a status as hookd makes it."""
    packed = []
    for detail in (
        *(
            [error_details_pb2.ErrorInfo(domain="hookd", reason=reason, metadata=metadata)]
            if reason
            else []
        ),
        *details,
    ):
        any_message = AnyMessage()
        any_message.Pack(detail)
        packed.append(any_message)
    status = status_pb2.Status(code=code.value[0], message=message, details=packed)
    await context.abort(
        code, message, (("grpc-status-details-bin", status.SerializeToString()),) if packed else ()
    )
