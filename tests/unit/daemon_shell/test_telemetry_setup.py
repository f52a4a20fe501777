from __future__ import annotations

import socket
import threading
import time

import pytest
from hookd_daemon.config import ConfigError, Settings
from hookd_daemon.telemetry import Telemetry
from opentelemetry import metrics as otel_metrics
from opentelemetry import trace

from tests.support.otlp import OtlpReceiver, attributes_of

METHOD = "/hookd.v1.HookService/CreateHook"


def exporting(monkeypatch: pytest.MonkeyPatch, endpoint: str, **variables: str) -> Telemetry:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)
    for name, value in variables.items():
        monkeypatch.setenv(f"OTEL_{name}", value)
    return Telemetry(Settings())


def use(telemetry: Telemetry) -> None:
    with telemetry.tracing.server_span(METHOD, {}) as span:
        span.set_code("OK")
    telemetry.metrics.claims += 3
    telemetry.metrics.request_seconds(METHOD, "OK", 0.02)


def test_without_an_endpoint_nothing_is_traced_or_pushed(settings: Settings) -> None:
    before = threading.active_count()
    telemetry = Telemetry(settings)
    use(telemetry)
    assert not telemetry.tracing.enabled
    assert telemetry.describe() == {"otlp_traces": False, "otlp_metrics": False}
    assert threading.active_count() == before
    assert b"hookd_claims_total 3.0" in telemetry.prometheus()[0]
    telemetry.shutdown()


def test_traces_and_metrics_arrive(monkeypatch: pytest.MonkeyPatch, receiver: OtlpReceiver) -> None:
    telemetry = exporting(monkeypatch, receiver.endpoint)
    use(telemetry)
    telemetry.shutdown()
    (span,) = receiver.spans("hookd.v1.HookService/CreateHook")
    assert span.attributes["rpc.grpc.status_code"] == 0
    assert span.resource["service.name"] == "hookd"
    assert receiver.metric_resource()["service.name"] == "hookd"
    received = receiver.metrics()
    claims = received["hookd.claims"].sum
    assert claims.is_monotonic
    assert [point.as_int for point in claims.data_points] == [3]
    request = received["hookd.request.duration"]
    assert request.unit == "s"
    (point,) = request.histogram.data_points
    assert attributes_of(point.attributes) == {
        "rpc.service": "hookd.v1.HookService",
        "rpc.method": "CreateHook",
        "rpc.grpc.code": "OK",
    }
    assert (point.count, point.sum, sum(point.bucket_counts)) == (1, 0.02, 1)
    assert not point.HasField("max")
    assert request.histogram.aggregation_temporality == 2
    assert point.start_time_unix_nano <= point.time_unix_nano


def test_a_conflict_arrives_with_its_link(
    monkeypatch: pytest.MonkeyPatch, receiver: OtlpReceiver
) -> None:
    telemetry = exporting(monkeypatch, receiver.endpoint)
    with telemetry.tracing.server_span(METHOD, {}):
        telemetry.tracing.hook_conflict(
            project="p",
            token="secret",
            run_id="loser",
            owner_run_id="winner",
            owner_hook_id="h",
            owner_status="running",
            owner_workflow="w",
            owner_age_ms=10,
            revision=2,
            owner_traceparent="00-11111111111111111111111111111111-2222222222222222-01",
        )
    telemetry.shutdown()
    (span,) = receiver.spans("hookd.hook.conflict")
    (server,) = receiver.spans("hookd.v1.HookService/CreateHook")
    assert span.links == [("1" * 32, "2" * 16)]
    assert span.parent_id == server.span_id
    assert span.attributes["hookd.owner.run_id"] == "winner"
    assert server.events == [("hookd.hook.conflict", span.attributes)]
    assert "secret" not in str(span.proto) + str(server.proto)


def test_intervals_of_the_standard_variables_are_honoured(
    monkeypatch: pytest.MonkeyPatch, receiver: OtlpReceiver
) -> None:
    telemetry = exporting(
        monkeypatch, receiver.endpoint, BSP_SCHEDULE_DELAY="10", METRIC_EXPORT_INTERVAL="10"
    )
    try:
        use(telemetry)
        receiver.wait_for(lambda r: r.spans("hookd.v1.HookService/CreateHook"))
        receiver.wait_for(lambda r: "hookd.request.duration" in r.metrics())
    finally:
        telemetry.shutdown()


def test_names_of_the_standard_variables_are_honoured(
    monkeypatch: pytest.MonkeyPatch, receiver: OtlpReceiver
) -> None:
    telemetry = exporting(
        monkeypatch,
        receiver.endpoint,
        SERVICE_NAME="hookd-eu",
        RESOURCE_ATTRIBUTES="deployment.environment=test,service.version=9",
    )
    use(telemetry)
    telemetry.shutdown()
    (span,) = receiver.spans()
    assert span.resource["service.name"] == "hookd-eu"
    assert span.resource["deployment.environment"] == "test"
    assert span.resource["service.version"] == "9"


def test_the_sampler_of_the_standard_variables_is_honoured(
    monkeypatch: pytest.MonkeyPatch, receiver: OtlpReceiver
) -> None:
    telemetry = exporting(monkeypatch, receiver.endpoint, TRACES_SAMPLER="always_off")
    use(telemetry)
    telemetry.shutdown()
    assert receiver.spans() == []
    assert "hookd.claims" in receiver.metrics()


@pytest.mark.parametrize(
    ("variables", "traces", "metrics"),
    [
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://127.0.0.1:1"}, True, False),
        ({"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": "http://127.0.0.1:1"}, False, True),
        ({"OTEL_TRACES_EXPORTER": "otlp"}, True, False),
        ({"OTEL_METRICS_EXPORTER": "prometheus, otlp"}, False, True),
        (
            {
                "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1",
                "OTEL_TRACES_EXPORTER": "none",
                "OTEL_METRICS_EXPORTER": "prometheus",
            },
            False,
            False,
        ),
        (
            {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", "OTEL_SDK_DISABLED": "true"},
            False,
            False,
        ),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": ""}, False, False),
    ],
)
def test_what_is_exported(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], traces: bool, metrics: bool
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    telemetry = Telemetry(Settings())
    try:
        assert telemetry.describe() == {"otlp_traces": traces, "otlp_metrics": metrics}
        assert telemetry.tracing.enabled is traces
    finally:
        telemetry.shutdown(0.05)


def test_a_disabled_sdk_answers_scrapes_with_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    telemetry = Telemetry(Settings())
    use(telemetry)
    assert telemetry.prometheus()[0] == b""
    telemetry.shutdown()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "soon"),
        ("OTEL_EXPORTER_OTLP_COMPRESSION", "zip"),
        ("OTEL_METRIC_EXPORT_INTERVAL", "0"),
    ],
)
def test_a_bad_variable_is_a_clear_error(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError, match="OpenTelemetry"):
        exporting(monkeypatch, "http://127.0.0.1:1")


def test_shutdown_is_bounded_when_the_collector_does_not_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        telemetry = exporting(monkeypatch, f"http://127.0.0.1:{deaf.getsockname()[1]}")
        use(telemetry)
        start = time.monotonic()
        telemetry.shutdown(timeout=0.2)
        assert time.monotonic() - start < 3


def test_nothing_global_is_touched(monkeypatch: pytest.MonkeyPatch, receiver: OtlpReceiver) -> None:
    before = trace.get_tracer_provider(), otel_metrics.get_meter_provider()
    telemetry = exporting(monkeypatch, receiver.endpoint)
    assert (trace.get_tracer_provider(), otel_metrics.get_meter_provider()) == before
    telemetry.shutdown()
