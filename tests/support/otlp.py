"""A real OTLP receiver over gRPC: what the daemon exports arrives here."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

import grpc
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2 as metrics_pb
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2_grpc as metrics_grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as trace_pb
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2_grpc as trace_grpc
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric
from opentelemetry.proto.trace.v1.trace_pb2 import Span

T = TypeVar("T")


@dataclass(frozen=True)
class ReceivedSpan:
    """A span as it came over the wire, its attributes as Python values."""

    name: str
    trace_id: str
    span_id: str
    parent_id: str
    attributes: dict[str, Any]
    resource: dict[str, Any]
    events: list[tuple[str, dict[str, Any]]]
    links: list[tuple[str, str]]
    proto: Span = field(repr=False)


class OtlpReceiver:
    """Collects spans and metrics that arrive on a free port of the loopback.

    Attributes:
        endpoint: For ``OTEL_EXPORTER_OTLP_ENDPOINT``.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._spans: list[ReceivedSpan] = []
        self._metrics: dict[str, Metric] = {}
        self._metric_resource: dict[str, Any] = {}
        self._server = grpc.server(ThreadPoolExecutor(max_workers=4))
        trace_grpc.add_TraceServiceServicer_to_server(_Traces(self), self._server)
        metrics_grpc.add_MetricsServiceServicer_to_server(_Metrics(self), self._server)
        port = self._server.add_insecure_port("127.0.0.1:0")
        self.endpoint = f"http://127.0.0.1:{port}"
        self._server.start()

    def stop(self) -> None:
        """Stops at once; what is under way is refused."""
        self._server.stop(None).wait()

    def spans(self, name: str | None = None) -> list[ReceivedSpan]:
        """Returns the spans received, all or those of a name."""
        with self._changed:
            return [span for span in self._spans if name is None or span.name == name]

    def metrics(self) -> dict[str, Metric]:
        """Returns the metrics as last received, by name."""
        with self._changed:
            return dict(self._metrics)

    def metric_resource(self) -> dict[str, Any]:
        """Returns the resource that sent the metrics."""
        with self._changed:
            return dict(self._metric_resource)

    def wait_for(self, look: Callable[[OtlpReceiver], T], timeout: float = 10.0) -> T:
        """Waits until `look` returns something true about what was received, and returns that."""
        with self._changed:
            found = self._changed.wait_for(lambda: look(self), timeout)
        if not found:
            names = sorted({span.name for span in self.spans()})
            raise AssertionError(f"not received in {timeout} s; spans: {names}")
        return found

    def add_spans(self, spans: Iterable[ReceivedSpan]) -> None:
        """Takes what arrived."""
        with self._changed:
            self._spans.extend(spans)
            self._changed.notify_all()

    def add_metrics(self, resource: dict[str, Any], metrics: Iterable[Metric]) -> None:
        """Takes what arrived."""
        with self._changed:
            self._metric_resource = resource
            self._metrics.update((metric.name, metric) for metric in metrics)
            self._changed.notify_all()


@contextmanager
def otlp_receiver() -> Iterator[OtlpReceiver]:
    """Runs a receiver."""
    receiver = OtlpReceiver()
    try:
        yield receiver
    finally:
        receiver.stop()


def attributes_of(pairs: Iterable[KeyValue]) -> dict[str, Any]:
    """Returns attributes from the wire as Python values."""
    return {p.key: getattr(p.value, p.value.WhichOneof("value") or "string_value") for p in pairs}


class _Traces(trace_grpc.TraceServiceServicer):
    def __init__(self, receiver: OtlpReceiver) -> None:
        self._receiver = receiver

    def Export(self, request: trace_pb.ExportTraceServiceRequest, context: Any) -> Any:
        self._receiver.add_spans(
            ReceivedSpan(
                name=span.name,
                trace_id=span.trace_id.hex(),
                span_id=span.span_id.hex(),
                parent_id=span.parent_span_id.hex(),
                attributes=attributes_of(span.attributes),
                resource=attributes_of(of_resource.resource.attributes),
                events=[(event.name, attributes_of(event.attributes)) for event in span.events],
                links=[(link.trace_id.hex(), link.span_id.hex()) for link in span.links],
                proto=span,
            )
            for of_resource in request.resource_spans
            for of_scope in of_resource.scope_spans
            for span in of_scope.spans
        )
        return trace_pb.ExportTraceServiceResponse()


class _Metrics(metrics_grpc.MetricsServiceServicer):
    def __init__(self, receiver: OtlpReceiver) -> None:
        self._receiver = receiver

    def Export(self, request: metrics_pb.ExportMetricsServiceRequest, context: Any) -> Any:
        for of_resource in request.resource_metrics:
            self._receiver.add_metrics(
                attributes_of(of_resource.resource.attributes),
                [metric for scope in of_resource.scope_metrics for metric in scope.metrics],
            )
        return metrics_pb.ExportMetricsServiceResponse()
