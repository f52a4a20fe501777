"""Answers calls of the API that came by HTTP, as those of gRPC are answered.

The same handlers, behind the same door, gate and quotas; the same spans and
times. Who calls this has made a message of the request, and makes a response
of the message or the error that comes back.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import aclosing, contextmanager
from typing import Any, cast

from google.protobuf.descriptor import ServiceDescriptor
from google.protobuf.message import Message

from hookd_daemon.api.gate import Gate
from hookd_daemon.api.naming import snake
from hookd_daemon.api.parsing import check_project
from hookd_daemon.api.quotas import Admission
from hookd_daemon.auth.door import Caller, Door
from hookd_daemon.auth.roles import LEAST
from hookd_daemon.errors import HookdError
from hookd_daemon.http.call import DisconnectedError, HttpCall
from hookd_daemon.telemetry.metrics import Metrics
from hookd_daemon.telemetry.tracing import Tracing


class Calls:
    """Answers calls.

    Args:
        services: the services, each with the object that has a method for each
            of its calls, named like it in snake case.
        door: who is let in, and what he may call.
        gate: how many calls are let in.
        tracing: makes a span for each call.
        metrics: is told how long each took.
        admission: gives the calls of each project their turn.
    """

    def __init__(
        self,
        services: Sequence[tuple[ServiceDescriptor, object]],
        door: Door,
        gate: Gate,
        tracing: Tracing,
        metrics: Metrics,
        admission: Admission,
    ) -> None:
        self.door = door
        self.gate = gate
        self._tracing = tracing
        self._metrics = metrics
        self._admission = admission
        self._handlers: dict[str, Any] = {
            f"/{service.full_name}/{method.name}": getattr(handlers, snake(method.name), None)
            for service, handlers in services
            for method in service.methods
        }

    async def answer(
        self,
        path: str,
        request: Message | Callable[[], Awaitable[Message]],
        headers: Mapping[str, str],
        *,
        caller: Caller | None = None,
    ) -> Message:
        """Answers one call.

        Args:
            path: the method, as ``/hookd.v1.RunService/GetRun``; one with a single answer.
            request: what is asked: the message of the method, or what makes it
                once the caller is let in.
            headers: of the HTTP request, names in lower case.
            caller: who asks, if he was let in by other means than a key in the headers.

        Raises:
            HookdError: the call is refused.
        """
        with self._watched(path, headers):
            call = HttpCall(headers, self.gate)
            call.caller = self._enter(path, call, caller)
            # A slow sender of a request takes no place among the calls.
            message = await request() if callable(request) else request
            self.gate.enter()
            try:
                check_project(message, call)
                handler = self._handlers[path]
                answered: Message = await self._admission.answer(
                    path, cast("Any", message), message.ByteSize(), call, handler
                )
                return answered
            finally:
                self.gate.leave()

    async def stream(
        self,
        path: str,
        request: Any,
        headers: Mapping[str, str],
        *,
        caller: Caller | None = None,
        accepted: Callable[[], None] = lambda: None,
    ) -> AsyncGenerator[Message]:
        """Answers a call whose answer is a stream; see ``answer``.

        To be closed by whoever iterates it, in the task that does.

        Args:
            path: see ``answer``.
            request: see ``answer``.
            headers: see ``answer``.
            caller: see ``answer``.
            accepted: told that the call is not refused, which may be long before
                the first message comes.
        """
        with self._watched(path, headers):
            call = HttpCall(headers, self.gate, accepted)
            call.caller = self._enter(path, call, caller)
            if callable(request):
                request = await request()
            with self.gate.stream(call.project), call.caller.stay() as stay:
                check_project(request, call)
                await self._admission.open(path, request, call)
                answers: AsyncGenerator[Message] = self._handlers[path](request, call)
                async with aclosing(answers):
                    async for message in answers:
                        stay.leave()
                        yield message
                        stay.come_back()

    def _enter(self, path: str, call: HttpCall, caller: Caller | None) -> Caller:
        if caller is None:
            return self.door.enter(path, LEAST[path], call)
        self.door.check(caller, path, LEAST[path])
        return caller

    @contextmanager
    def _watched(self, path: str, headers: Mapping[str, str]) -> Iterator[None]:
        """Makes the span of a call, and notes how long it took and how it went."""
        begin, code = time.perf_counter(), "OK"
        with self._tracing.server_span(path, headers) as span:
            try:
                yield
            except HookdError as error:
                code = error.code.name
                raise
            except (asyncio.CancelledError, GeneratorExit, DisconnectedError):
                code = "CANCELLED"
                raise
            except Exception as error:
                code = "INTERNAL"
                span.record_error(error)
                raise
            finally:
                span.set_code(code)
                self._metrics.request_seconds(path, code, time.perf_counter() - begin)
