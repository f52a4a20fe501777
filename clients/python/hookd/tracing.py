"""Hands the caller's W3C trace context on, when OpenTelemetry is there."""

from __future__ import annotations

try:
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
except ImportError:

    def trace_metadata() -> tuple[tuple[str, str], ...]:
        """Gives nothing: OpenTelemetry is not installed."""
        return ()

else:
    _propagator = TraceContextTextMapPropagator()

    def trace_metadata() -> tuple[tuple[str, str], ...]:
        """Gives ``traceparent`` and ``tracestate`` of the current span, if there is one."""
        carrier: dict[str, str] = {}
        _propagator.inject(carrier)
        return tuple(carrier.items())
