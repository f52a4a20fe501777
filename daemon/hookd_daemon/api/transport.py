"""The gRPC server: the one place that knows it is ``grpc.aio``.

A handler takes a message and a ``CallContext`` and gives a message, or an
async iterator of messages. Bytes are parsed and written here, so that bytes
that are no message get a clear answer.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import aclosing, contextmanager
from typing import Any, NoReturn

import grpc
import grpc.aio
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from grpc_health.v1 import health as health_module
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection, reflection_pb2_grpc

from hookd_daemon.api.context import CallContext
from hookd_daemon.api.gate import Gate
from hookd_daemon.api.listening import Server
from hookd_daemon.api.naming import snake
from hookd_daemon.api.parsing import parser
from hookd_daemon.api.quotas import Admission
from hookd_daemon.api.sharing import Place
from hookd_daemon.api.status import to_status
from hookd_daemon.auth.door import Caller, Door
from hookd_daemon.auth.roles import LEAST, REFLECTION
from hookd_daemon.errors import HookdError, StoreUnavailableError
from hookd_daemon.logs import get_logger
from hookd_daemon.telemetry.metrics import Metrics
from hookd_daemon.telemetry.tracing import Tracing
from hookd_daemon.values import Address

log = get_logger(__name__)

#: The largest message either way. Larger than any limit of a field, so that
#: what is too large is answered by the check that names the field.
MAX_MESSAGE_BYTES = 16 * 1024 * 1024

#: After so long without a byte from a client it is asked for a sign of life,
#: and has so long for it.
KEEPALIVE_TIME_MS = 30_000
KEEPALIVE_TIMEOUT_MS = 20_000

#: A stream whose reader takes nothing for so long, in seconds, is ended. It
#: holds a page of what it reads, and a place among the streams. Its reader gets
#: what was sent, then UNAVAILABLE, and goes on from its position.
SLOW_READER_S = 60.0

#: What is left for answers that are on their way when the server stops.
LAST_GRACE_S = 0.1

_CODES = {code.value[0]: code for code in grpc.StatusCode}


class GrpcCall(CallContext):
    """A call of ``grpc.aio``; see ``CallContext``.

    Attributes:
        caller: who calls; set when he was let in.
    """

    __slots__ = ("_context", "_gate", "_metadata", "_place", "caller")

    caller: Caller

    def __init__(self, context: grpc.aio.ServicerContext[Any, Any], gate: Gate) -> None:
        self._context = context
        self._gate = gate
        self._metadata: dict[str, str] | None = None
        self._place: Place | None = None

    @property
    def metadata(self) -> Mapping[str, str]:
        """See ``CallContext.metadata``."""
        if self._metadata is None:
            sent = self._context.invocation_metadata() or ()
            self._metadata = {str(k): v for k, v in sent if isinstance(v, str)}
        return self._metadata

    @property
    def project(self) -> str:
        """See ``CallContext.project``."""
        return self.caller.project

    def time_remaining(self) -> float | None:
        """See ``CallContext.time_remaining``."""
        return self._context.time_remaining()

    @contextmanager
    def long_wait(self) -> Iterator[None]:
        """See ``CallContext.long_wait``."""
        with self._gate.long_wait(self._place), self.caller.stay():
            yield

    def has_place(self, place: Place) -> None:
        """See ``CallContext.has_place``."""
        self._place = place


class GrpcServer:
    """Serves handlers over gRPC, with health and reflection.

    Args:
        services: the services, each with the object that has a method for each
            of its calls, named like it in snake case.
        door: who is let in, and what he may call.
        gate: how many calls are let in.
        tracing: makes a span for each call.
        metrics: is told how long each took.
        admission: gives the calls of each project their turn.
        lanes: by the paths of methods, what answers them instead, bytes for bytes.
    """

    def __init__(
        self,
        services: list[tuple[ServiceDescriptor, object]],
        door: Door,
        gate: Gate,
        tracing: Tracing,
        metrics: Metrics,
        admission: Admission,
        lanes: Mapping[str, Callable[..., Any]],
    ) -> None:
        self._lanes = lanes
        self._admission = admission
        self._door = door
        self._gate = gate
        self._tracing = tracing
        self._metrics = metrics
        self._server = Server(
            options=[
                ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
                ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
                # Two daemons on one port would each get half of the calls.
                ("grpc.so_reuseport", 0),
                # What core holds until the event loop takes it. Over its own
                # small limits it drops calls with CANCELLED, which nobody
                # retries; to refuse calls, and to say so, is the gate's work.
                ("grpc.server.max_pending_requests", 100_000),
                ("grpc.server.max_pending_requests_hard_limit", 100_000),
                # Clients keep idle connections alive; that is no attack.
                ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
                ("grpc.keepalive_permit_without_calls", 1),
                # A client that vanished without a word is noticed, and its
                # streams end; without this they would stay for two hours.
                ("grpc.keepalive_time_ms", KEEPALIVE_TIME_MS),
                ("grpc.keepalive_timeout_ms", KEEPALIVE_TIMEOUT_MS),
                # By itself core waits a minute for the answer to a ping.
                ("grpc.http2.ping_timeout_ms", KEEPALIVE_TIMEOUT_MS),
            ]
        )
        self._health = health_module.aio.HealthServicer()
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        names = [descriptor.full_name for descriptor, _ in services]
        self._names = ["", *names]
        for descriptor, handlers in services:
            self._server.add_registered_method_handlers(
                descriptor.full_name, self._method_handlers(descriptor, handlers)
            )
        reflection_pb2_grpc.add_ServerReflectionServicer_to_server(
            _Reflection((*names, health_module.SERVICE_NAME, reflection.SERVICE_NAME), door, gate),
            self._server,
        )

    def _method_handlers(
        self, service: ServiceDescriptor, handlers: object
    ) -> dict[str, grpc.RpcMethodHandler[Any, Any]]:
        return {
            method.name: self._method_handler(service, method, handlers)
            for method in service.methods
        }

    def _method_handler(
        self, service: ServiceDescriptor, method: MethodDescriptor, handlers: object
    ) -> grpc.RpcMethodHandler[Any, Any]:
        path = f"/{service.full_name}/{method.name}"
        answer = self._lanes.get(path) or _by_message(path, method, handlers, self._admission)
        if not method.server_streaming:
            return grpc.unary_unary_rpc_method_handler(self._answer_once(path, answer))
        if method.client_streaming:
            return grpc.stream_stream_rpc_method_handler(self._answer_stream(path, answer))
        return grpc.unary_stream_rpc_method_handler(self._answer_stream(path, answer))

    def _answer_once(
        self, path: str, answer: Callable[[bytes, CallContext], Awaitable[bytes]]
    ) -> Callable[..., Awaitable[bytes]]:
        door, gate, least = self._door, self._gate, LEAST[path]

        async def serve(data: bytes, context: grpc.aio.ServicerContext[Any, Any]) -> bytes:
            call = GrpcCall(context, gate)
            with _Watch(self, path, call) as watch:
                try:
                    call.caller = door.enter(path, least, call)
                    gate.enter()
                    try:
                        return await answer(data, call)
                    finally:
                        gate.leave()
                except Exception as error:  # noqa: BLE001 - all are answered
                    await watch.refuse(context, error)

        return serve

    def _answer_stream(
        self, path: str, answer: Callable[[Any, CallContext], AsyncGenerator[bytes]]
    ) -> Callable[..., Awaitable[None]]:
        door, gate, least = self._door, self._gate, LEAST[path]

        async def serve(
            sent: bytes | AsyncIterator[bytes], context: grpc.aio.ServicerContext[Any, Any]
        ) -> None:
            call = GrpcCall(context, gate)
            if not isinstance(sent, bytes):
                sent = gate.until_drained(aiter(sent))
            with _Watch(self, path, call) as watch:
                try:
                    call.caller = door.enter(path, least, call)
                    with gate.stream(call.project), call.caller.stay() as stay:
                        # Closed with the call: a waiter must not outlive it.
                        async with aclosing(answer(sent, call)) as responses:
                            async for response in responses:
                                stay.leave()
                                await _send(context, response)
                                stay.come_back()
                except Exception as error:  # noqa: BLE001 - all are answered
                    await watch.refuse(context, error)

        return serve

    async def start(
        self, address: Address, credentials: grpc.ServerCredentials | None = None
    ) -> Address:
        """Binds the address and begins to serve; port 0 picks a free one.

        Args:
            address: where to listen.
            credentials: for TLS; None for none.

        Raises:
            RuntimeError: the address cannot be bound.
        """
        if credentials is None:
            port = self._server.add_insecure_port(str(address))
        else:
            port = self._server.add_secure_port(str(address), credentials)
        await self._server.start()
        await self._set_health(health_pb2.HealthCheckResponse.SERVING)
        return Address(address.host, port)

    async def not_serving(self) -> None:
        """Reports NOT_SERVING, and refuses every new call."""
        self._gate.drain()
        await self._set_health(health_pb2.HealthCheckResponse.NOT_SERVING)

    async def _set_health(self, status: Any) -> None:
        for name in self._names:
            await self._health.set(name, status)

    async def stop(self, grace: float) -> None:
        """Stops: calls in flight have ``grace`` seconds to be answered."""
        # Told to stop, core answers CANCELLED, which nobody retries, to calls
        # that have reached it and not yet us. So the gate refuses them first,
        # with a status that is retried.
        await self._gate.quiet(grace)
        # What is open now are health watches, which end with their clients.
        await self._server.stop(min(grace, LAST_GRACE_S))

    def finished(self, path: str, code: str, seconds: float) -> None:
        """Notes that a call was answered."""
        self._metrics.request_seconds(path, code, seconds)

    @property
    def tracing(self) -> Tracing:
        """Makes the spans of the calls."""
        return self._tracing


class _Watch:
    """The span, the time and the status of one call."""

    __slots__ = ("_begin", "_code", "_path", "_server", "_span")

    def __init__(self, server: GrpcServer, path: str, call: GrpcCall) -> None:
        self._server = server
        self._path = path
        self._code = "OK"
        tracing = server.tracing
        self._span = tracing.server_span(path, call.metadata if tracing.enabled else {})
        self._begin = time.perf_counter()

    def __enter__(self) -> _Watch:
        self._span.__enter__()
        return self

    def __exit__(self, kind: Any, error: BaseException | None, frames: Any) -> None:
        if isinstance(error, (asyncio.CancelledError, GeneratorExit)):
            self._code = "CANCELLED"
        self._span.set_code(self._code)
        self._span.__exit__(None, None, None)
        self._server.finished(self._path, self._code, time.perf_counter() - self._begin)

    async def refuse(
        self, context: grpc.aio.ServicerContext[Any, Any], error: Exception
    ) -> NoReturn:
        """Answers the call with an error, which never shows what is inside."""
        if isinstance(error, HookdError):
            self._code = error.code.name
            await _abort(context, error)
        if isinstance(error, grpc.aio.AbortError):
            raise error
        self._code = "INTERNAL"
        self._span.record_error(error)
        log.exception("a call failed", method=self._path)
        await context.abort(grpc.StatusCode.INTERNAL, "the daemon failed; its log says why")


async def _abort(context: grpc.aio.ServicerContext[Any, Any], error: HookdError) -> NoReturn:
    status = to_status(error)
    await context.abort(
        _CODES[status.code],
        status.message,
        (("grpc-status-details-bin", status.SerializeToString()),),
    )


class _Reflection(reflection.aio.ReflectionServicer):  # type: ignore[misc]
    """The standard reflection service, for those who are let in."""

    def __init__(self, names: tuple[str, ...], door: Door, gate: Gate) -> None:
        super().__init__(names)
        self._door = door
        self._gate = gate

    async def ServerReflectionInfo(
        self, request_iterator: Any, context: grpc.aio.ServicerContext[Any, Any]
    ) -> AsyncIterator[Any]:
        """Answers with descriptions of the API."""
        call = GrpcCall(context, self._gate)
        try:
            call.caller = self._door.enter(REFLECTION, LEAST[REFLECTION], call)
            with self._gate.stream(call.project), call.caller.stay() as stay:
                asked = self._gate.until_drained(aiter(request_iterator))
                async for response in super().ServerReflectionInfo(asked, context):
                    stay.leave()
                    yield response
                    stay.come_back()
        except HookdError as error:
            await _abort(context, error)


async def _send(context: grpc.aio.ServicerContext[Any, Any], response: bytes) -> None:
    """Sends a message of a stream, when its reader has room for it.

    Raises:
        StoreUnavailableError: the reader is too slow.
    """
    try:
        async with asyncio.timeout(SLOW_READER_S):
            await context.write(response)
    except TimeoutError:
        raise StoreUnavailableError(
            f"the reader of this stream took nothing for {SLOW_READER_S:g} s; "
            "open it again where it was"
        ) from None


def _by_message(
    path: str, method: MethodDescriptor, handlers: object, admission: Admission
) -> Callable[..., Any]:
    """What reads the request, has a handler answer it, and writes the answer."""
    parse = parser(GetMessageClass(method.input_type))
    handler = getattr(handlers, snake(method.name))
    if method.server_streaming:
        return _stream(path, parse, handler, admission)
    return _unary(path, parse, handler, admission)


def _unary(
    path: str,
    parse: Callable[[bytes, CallContext], Any],
    handler: Callable[[Any, CallContext], Awaitable[Message]],
    admission: Admission,
) -> Callable[[bytes, CallContext], Awaitable[bytes]]:
    async def answer(data: bytes, call: CallContext) -> bytes:
        request = parse(data, call)
        response = await admission.answer(path, request, len(data), call, handler)
        return response.SerializeToString()

    return answer


def _stream(
    path: str,
    parse: Callable[[bytes, CallContext], Any],
    handler: Callable[[Any, CallContext], AsyncGenerator[Message]],
    admission: Admission,
) -> Callable[[bytes, CallContext], AsyncGenerator[bytes]]:
    async def answer(data: bytes, call: CallContext) -> AsyncGenerator[bytes]:
        request = parse(data, call)
        await admission.open(path, request, call)
        async with aclosing(handler(request, call)) as responses:
            async for response in responses:
                yield response.SerializeToString()

    return answer
