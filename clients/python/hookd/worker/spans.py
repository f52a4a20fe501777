"""Spans of turns and steps, when OpenTelemetry is there."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_Fail = Callable[[BaseException], None]


def _ignore(error: BaseException) -> None:
    pass


_NO_SPAN = nullcontext(_ignore)

try:
    from opentelemetry import context, trace
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
except ImportError:

    def span(name: str, traceparent: str, **facts: str) -> AbstractContextManager[_Fail]:
        """Does nothing: OpenTelemetry is not installed."""
        return _NO_SPAN

else:
    _propagator = TraceContextTextMapPropagator()
    _tracer = trace.get_tracer("hookd.worker")

    def span(name: str, traceparent: str, **facts: str) -> AbstractContextManager[_Fail]:
        """Puts what is done in a ``with`` block into a span.

        Args:
            name: The name of the span.
            traceparent: The W3C trace context that it belongs to; may be empty.
            **facts: Its attributes, below "hookd.".

        Returns:
            A context manager; it gives what to call with an error that does
            not leave the block.
        """
        if not traceparent and isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider):
            return _NO_SPAN  # There is nothing to hand on, and nobody who would look.
        return _span(name, traceparent, facts)

    @contextmanager
    def _span(name: str, traceparent: str, facts: dict[str, str]) -> Iterator[_Fail]:
        parent = _propagator.extract({"traceparent": traceparent}, context.Context())
        attributes = {f"hookd.{key}": value for key, value in facts.items()}
        with _tracer.start_as_current_span(name, parent, attributes=attributes) as current:

            def fail(error: BaseException) -> None:
                current.record_exception(error)
                current.set_status(trace.StatusCode.ERROR, str(error))

            yield fail
