"""Spans of the daemon, by the OpenTelemetry API alone."""

from __future__ import annotations

import re
import traceback
from collections.abc import Mapping
from contextvars import Token
from types import TracebackType
from typing import Final

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Link, Span, SpanContext, SpanKind, Status, StatusCode, Tracer
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from hookd_daemon.logs import token_hash

CONFLICT: Final = "hookd.hook.conflict"

# The W3C format, version 00; what later versions may append is not kept.
_TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})")
_NO_TRACE = "0" * 32
_NO_SPAN = "0" * 16

# By name, because a span wants the number and nothing else here needs gRPC.
_CODES: Final = {
    "OK": 0,
    "CANCELLED": 1,
    "UNKNOWN": 2,
    "INVALID_ARGUMENT": 3,
    "DEADLINE_EXCEEDED": 4,
    "NOT_FOUND": 5,
    "ALREADY_EXISTS": 6,
    "PERMISSION_DENIED": 7,
    "RESOURCE_EXHAUSTED": 8,
    "FAILED_PRECONDITION": 9,
    "ABORTED": 10,
    "OUT_OF_RANGE": 11,
    "UNIMPLEMENTED": 12,
    "INTERNAL": 13,
    "UNAVAILABLE": 14,
    "DATA_LOSS": 15,
    "UNAUTHENTICATED": 16,
}
# Statuses that say the server failed. The others are answers: a conflict is
# what the caller asked to be told.
_FAILURES: Final = frozenset(
    {"UNKNOWN", "DEADLINE_EXCEEDED", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS"}
)


class ServerSpan:
    """What a handler sees of the span of its call; this one stands for no span at all."""

    __slots__ = ()

    def __enter__(self) -> ServerSpan:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        frames: TracebackType | None,
    ) -> None:
        return None

    def set_code(self, code: str) -> None:
        """Records the status that the call is answered with.

        Args:
            code: The gRPC status code's name.
        """

    def record_error(self, error: BaseException) -> None:
        """Records an error nobody expected, and marks the span as failed.

        Args:
            error: The exception.
        """


class Tracing:
    """Makes the daemon's spans.

    Args:
        tracer: Where spans come from.
        enabled: False if the tracer records nothing; then nothing is even asked of it.
        log_tokens: Whether spans may carry raw tokens.

    Attributes:
        enabled: As given.
    """

    __slots__ = ("_log_tokens", "_methods", "_propagator", "_tracer", "enabled")

    def __init__(self, tracer: Tracer, *, enabled: bool, log_tokens: bool = False) -> None:
        self.enabled = enabled
        self._tracer = tracer
        self._log_tokens = log_tokens
        self._propagator = TraceContextTextMapPropagator()
        self._methods: dict[str, tuple[str, dict[str, str]]] = {}

    def server_span(self, method: str, metadata: Mapping[str, str]) -> ServerSpan:
        """Returns the span of a call, as a context manager; it is current inside.

        Enter and leave it in the same task (in an async generator, only if one
        task drives it to its end).

        Args:
            method: The RPC's full name, ``/package.Service/Method``, or the
                path of a route of HTTP; from the daemon's own table.
            metadata: The call's metadata; its ``traceparent`` and
                ``tracestate`` name the parent.
        """
        if not self.enabled:
            return _NO_SERVER_SPAN
        known = self._methods.get(method)
        if known is None:
            name = method.removeprefix("/")
            service, _, call = name.rpartition("/")
            attributes = {"rpc.system": "grpc", "rpc.service": service, "rpc.method": call}
            if not service:
                attributes = {"http.route": method}
            known = self._methods[method] = (name, attributes)
        # From an empty context: what is current here is not this call's parent.
        parent = self._propagator.extract(metadata, Context())
        span = self._tracer.start_span(
            known[0], parent, SpanKind.SERVER, known[1], record_exception=False
        )
        return _RecordingServerSpan(span, parent, self._log_tokens)

    def current_traceparent(self, metadata: Mapping[str, str]) -> str:
        """Returns what is stored with a claim or a payload, to be linked to later.

        Args:
            metadata: The call's metadata.

        Returns:
            The current span as a W3C ``traceparent``; without tracing the one
            the caller sent, if it is well-formed; else "".
        """
        if self.enabled:
            current = trace.get_current_span().get_span_context()
            if current.is_valid:
                return (
                    f"00-{trace.format_trace_id(current.trace_id)}"
                    f"-{trace.format_span_id(current.span_id)}-{current.trace_flags:02x}"
                )
        sent = metadata.get("traceparent")
        return sent if sent is not None and _parse(sent) is not None else ""

    def hook_conflict(
        self,
        *,
        project: str,
        token: bytes | str,
        run_id: str,
        owner_run_id: str,
        owner_hook_id: str,
        owner_status: str,
        owner_workflow: str,
        owner_age_ms: int,
        revision: int,
        owner_traceparent: str = "",
    ) -> None:
        """Records a claim that lost: an event of the current span, and a span of its own.

        Args:
            project: Where it happened.
            token: The raw token; only its hash is recorded unless raw tokens are on.
            run_id: The run that lost; empty if it was only about to start.
            owner_run_id: The run that holds the claim.
            owner_hook_id: Its hook.
            owner_status: Its status.
            owner_workflow: Its workflow's name.
            owner_age_ms: How long ago it made the claim.
            revision: The claim's revision.
            owner_traceparent: What was stored with the claim; linked to.
        """
        if not self.enabled:
            return
        attributes: dict[str, str | int] = {
            "hookd.project": project,
            "hookd.token_hash": token_hash(project, token),
            "hookd.run_id": run_id,
            "hookd.owner.run_id": owner_run_id,
            "hookd.owner.hook_id": owner_hook_id,
            "hookd.owner.status": owner_status,
            "hookd.owner.workflow": owner_workflow,
            "hookd.owner.age_ms": owner_age_ms,
            "hookd.revision": revision,
        }
        if self._log_tokens:
            attributes["hookd.token"] = (
                token if isinstance(token, str) else token.decode("utf-8", "backslashreplace")
            )
        trace.get_current_span().add_event(CONFLICT, attributes)
        owner = _parse(owner_traceparent)
        links = [Link(owner)] if owner is not None else None
        self._tracer.start_span(CONFLICT, attributes=attributes, links=links).end()


class _RecordingServerSpan(ServerSpan):
    __slots__ = ("_log_tokens", "_parent", "_span", "_token")

    def __init__(self, span: Span, parent: Context, log_tokens: bool) -> None:
        self._span = span
        self._parent = parent
        self._log_tokens = log_tokens
        self._token: Token[Context] | None = None

    def __enter__(self) -> ServerSpan:
        self._token = otel_context.attach(trace.set_span_in_context(self._span, self._parent))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        frames: TracebackType | None,
    ) -> None:
        if isinstance(error, Exception):
            self.record_error(error)
        if self._token is not None:
            otel_context.detach(self._token)
        self._span.end()

    def set_code(self, code: str) -> None:
        self._span.set_attribute("rpc.grpc.status_code", _CODES[code])
        if code in _FAILURES:
            self._span.set_status(Status(StatusCode.ERROR, code))

    def record_error(self, error: BaseException) -> None:
        # Not Span.record_exception: a message may quote a token.
        kind = type(error)
        attributes = {
            "exception.type": f"{kind.__module__}.{kind.__qualname__}",
            "exception.stacktrace": "".join(traceback.format_tb(error.__traceback__)),
        }
        if self._log_tokens:
            attributes["exception.message"] = str(error)
        self._span.add_event("exception", attributes)
        self._span.set_status(Status(StatusCode.ERROR, kind.__qualname__))


_NO_SERVER_SPAN: Final = ServerSpan()


def _parse(traceparent: str) -> SpanContext | None:
    """Reads a ``traceparent``; None if it is not well-formed."""
    match = _TRACEPARENT.fullmatch(traceparent)
    if match is None or match[1] == _NO_TRACE or match[2] == _NO_SPAN:
        return None
    flags = trace.TraceFlags(int(match[3], 16))
    return SpanContext(int(match[1], 16), int(match[2], 16), is_remote=True, trace_flags=flags)
