"""The one place where the OpenTelemetry SDK and its exporters are set up.

Nothing global is touched: providers belong to the `Telemetry` object, so that
several daemons, or tests, can live in one process.
"""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Callable, Iterable
from importlib.metadata import PackageNotFoundError, version
from os import environ
from typing import TYPE_CHECKING, Any, cast

from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    HistogramDataPoint,
    Metric,
    MetricReader,
    MetricsData,
    PeriodicExportingMetricReader,
)
from opentelemetry.sdk.metrics.export import Histogram as HistogramData
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import NoOpTracer
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from hookd_daemon import logs
from hookd_daemon.config import ConfigError
from hookd_daemon.telemetry.metrics import Metrics
from hookd_daemon.telemetry.tracing import Tracing

if TYPE_CHECKING:
    from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter
    from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter

    from hookd_daemon.config import Settings
    from hookd_daemon.telemetry.histogram import Histogram

_SCOPE = "hookd"
_log = logs.get_logger(__name__)


class Telemetry:
    """Traces and metrics of one daemon, as the ``OTEL_*`` variables say.

    Traces are made and exported only if an OTLP endpoint is named; else nothing
    of the SDK is on the path of a call. Metrics are always there for
    Prometheus, and pushed as well if an OTLP endpoint is named.

    Attributes:
        tracing: Makes the spans.
        metrics: Takes the numbers.
    """

    def __init__(self, settings: Settings) -> None:
        try:
            self._start(settings)
        except Exception as error:
            # The SDK reads its variables itself, and says no more about a bad one.
            raise ConfigError(f"OpenTelemetry (OTEL_* variables): {error}") from error

    def _start(self, settings: Settings) -> None:
        resource = _resource()
        self._registry = CollectorRegistry()
        self._scraping = threading.Lock()
        # Empty until `Metrics` exists: a reader's thread may collect before.
        self._histograms: tuple[Histogram, ...] = ()
        self._span_exporter: OTLPSpanExporter | None = None
        self._tracer_provider: TracerProvider | None = None
        self._metric_exporter: OTLPMetricExporter | None = None

        readers: list[MetricReader] = [
            _PrometheusReader(
                self._get_histograms, registry=self._registry, scope_info_enabled=False
            )
        ]
        if _exports_otlp("METRICS"):
            # Imported where it is used: a daemon without it starts sooner.
            from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import (  # noqa: PLC0415
                OTLPMetricExporter,
            )

            self._metric_exporter = OTLPMetricExporter()
            readers.append(_OtlpReader(self._get_histograms, self._metric_exporter))
        self._meter_provider = MeterProvider(readers, resource, shutdown_on_exit=False)
        self.metrics = Metrics(self._meter_provider.get_meter(_SCOPE, _version()))
        self._histograms = self.metrics.histograms()

        if _exports_otlp("TRACES"):
            from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import (  # noqa: PLC0415
                OTLPSpanExporter,
            )

            self._span_exporter = OTLPSpanExporter()
            self._tracer_provider = TracerProvider(resource=resource, shutdown_on_exit=False)
            self._tracer_provider.add_span_processor(BatchSpanProcessor(self._span_exporter))
            tracer = self._tracer_provider.get_tracer(_SCOPE, _version())
            self.tracing = Tracing(tracer, enabled=True, log_tokens=settings.log_tokens)
        else:
            self.tracing = Tracing(NoOpTracer(), enabled=False, log_tokens=settings.log_tokens)

    def prometheus(self) -> tuple[bytes, str]:
        """Returns all metrics in the Prometheus text format, and its content type.

        Safe from any thread; takes milliseconds, so better not from the event loop's.
        """
        with self._scraping:  # the exporter's collector is not made for two at once
            return generate_latest(self._registry), CONTENT_TYPE_LATEST

    def describe(self) -> dict[str, bool]:
        """Returns what is exported, for the log line at start."""
        return {
            "otlp_traces": self._tracer_provider is not None,
            "otlp_metrics": self._metric_exporter is not None,
        }

    def shutdown(self, timeout: float = 5.0) -> None:
        """Pushes what is not exported yet and stops; blocks for at most about `timeout` seconds.

        Args:
            timeout: Seconds to wait for a collector that does not answer.
        """
        deadline = time.monotonic() + timeout
        stopping = [_in_background(lambda: self._meter_provider.shutdown(timeout * 1000))]
        if self._tracer_provider is not None:
            stopping.append(_in_background(self._tracer_provider.shutdown))
        for thread in stopping:
            thread.join(max(0.0, deadline - time.monotonic()))
        if any(thread.is_alive() for thread in stopping):
            _log.warning("telemetry not flushed in time", timeout=timeout)
            # Ends the exporters' own retries, and with them the threads.
            for exporter in (self._span_exporter, self._metric_exporter):
                if exporter is not None:
                    exporter.shutdown()

    def _get_histograms(self) -> tuple[Histogram, ...]:
        return self._histograms


def _resource() -> Resource:
    attributes: dict[str, str] = {"service.version": _version()}
    chosen = OTELResourceDetector().detect().attributes
    if not chosen.get("service.name"):
        attributes["service.name"] = "hookd"
    if chosen.get("service.version"):
        del attributes["service.version"]
    return Resource.create(attributes)


def _version() -> str:
    try:
        return version("hookd-daemon")
    except PackageNotFoundError:
        return "unknown"


def _exports_otlp(signal: str) -> bool:
    """Tells whether a signal goes out by OTLP, by the standard variables.

    Args:
        signal: ``TRACES`` or ``METRICS``.
    """
    if environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return False
    chosen = environ.get(f"OTEL_{signal}_EXPORTER", "").strip().lower()
    if chosen:
        exporters = {name.strip() for name in chosen.split(",")}
        if unknown := exporters - {"otlp", "none", "prometheus"}:
            _log.warning(
                "telemetry exporter not supported", signal=signal, exporters=sorted(unknown)
            )
        exporting = "otlp" in exporters
    else:
        exporting = bool(
            environ.get("OTEL_EXPORTER_OTLP_ENDPOINT")
            or environ.get(f"OTEL_EXPORTER_OTLP_{signal}_ENDPOINT")
        )
    protocol = environ.get(
        f"OTEL_EXPORTER_OTLP_{signal}_PROTOCOL", environ.get("OTEL_EXPORTER_OTLP_PROTOCOL", "")
    )
    if exporting and protocol not in ("", "grpc"):
        _log.warning("OTLP is sent by gRPC whatever the protocol asked for", protocol=protocol)
    return exporting


def _in_background(work: Callable[[], object]) -> threading.Thread:
    def run() -> None:
        try:
            work()
        except Exception:  # noqa: BLE001 - the daemon is on its way out; nothing else can be done
            _log.warning("telemetry did not shut down cleanly", exc_info=True)

    thread = threading.Thread(target=run, name="hookd-telemetry-shutdown", daemon=True)
    thread.start()
    return thread


class _WithHistograms(MetricReader):
    """Adds our own histograms to what a reader collected from the SDK.

    They are cumulative whatever temporality is preferred; every data point
    says so.
    """

    def __init__(
        self, histograms: Callable[[], Iterable[Histogram]], *args: Any, **kwargs: Any
    ) -> None:
        self._own_histograms = histograms
        super().__init__(*args, **kwargs)

    def _receive_metrics(
        self, metrics_data: MetricsData, timeout_millis: float = 10_000, **kwargs: Any
    ) -> None:
        data = _add(metrics_data, self._own_histograms())
        super()._receive_metrics(data, timeout_millis, **kwargs)  # type: ignore[safe-super]


class _PrometheusReader(_WithHistograms, PrometheusMetricReader):
    pass


class _OtlpReader(_WithHistograms, PeriodicExportingMetricReader):
    pass


def _add(data: MetricsData, histograms: Iterable[Histogram]) -> MetricsData:
    now = time.time_ns()
    added = [metric for metric in (_metric(h, now) for h in histograms) if metric is not None]
    resource, *_ = data.resource_metrics
    scope, *other_scopes = resource.scope_metrics
    scope = dataclasses.replace(scope, metrics=[*scope.metrics, *added])
    resource = dataclasses.replace(resource, scope_metrics=[scope, *other_scopes])
    return MetricsData([resource])


def _metric(histogram: Histogram, now_ns: int) -> Metric | None:
    points = []
    for series in histogram.series():
        counts = series.counts.copy()
        count = sum(counts)
        if count:
            points.append(
                HistogramDataPoint(
                    attributes=series.attributes,
                    start_time_unix_nano=series.start_ns,
                    time_unix_nano=now_ns,
                    count=count,
                    sum=series.total,
                    bucket_counts=counts,
                    explicit_bounds=series.bounds,
                    # Not kept: a maximum since the start says nothing about now.
                    # Optional in OTLP, though the SDK's type does not say so.
                    min=cast(float, None),
                    max=cast(float, None),
                )
            )
    if not points:
        return None
    return Metric(
        name=histogram.name,
        description=histogram.description,
        unit=histogram.unit,
        data=HistogramData(points, AggregationTemporality.CUMULATIVE),
    )
