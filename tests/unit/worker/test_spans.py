"""Spans of turns and steps belong to the trace that started the run."""

import pytest
from hookd.worker import spans
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.fixture
def exported(monkeypatch):
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(spans, "_tracer", provider.get_tracer("test"))
    monkeypatch.setattr(trace, "get_tracer_provider", lambda: provider)
    return exporter.get_finished_spans


def test_a_span_is_a_child_of_the_starter(exported):
    with spans.span("hookd.worker.step", TRACEPARENT, run_id="run_1", step="charge"):
        context = trace.get_current_span().get_span_context()
        assert f"{context.trace_id:032x}" == TRACEPARENT.split("-")[1]
    (span,) = exported()
    assert span.name == "hookd.worker.step"
    assert f"{span.parent.span_id:016x}" == TRACEPARENT.split("-")[2]
    assert dict(span.attributes) == {"hookd.run_id": "run_1", "hookd.step": "charge"}
    assert span.status.is_ok


def test_a_failure_is_in_the_span(exported):
    with spans.span("hookd.worker.step", TRACEPARENT) as failed:
        failed(ValueError("no"))
    (span,) = exported()
    assert not span.status.is_ok
    assert span.events[0].attributes["exception.type"] == "ValueError"


def test_without_a_parent_a_span_is_the_first_of_its_trace(exported):
    with spans.span("hookd.worker.turn", ""):
        pass
    (span,) = exported()
    assert span.parent is None


def test_without_telemetry_the_context_is_handed_on_all_the_same():
    with spans.span("hookd.worker.step", TRACEPARENT):
        context = trace.get_current_span().get_span_context()
        assert f"{context.trace_id:032x}" == TRACEPARENT.split("-")[1]
    with spans.span("hookd.worker.step", "") as failed:
        failed(ValueError("nobody looks"))
        assert not trace.get_current_span().get_span_context().is_valid
