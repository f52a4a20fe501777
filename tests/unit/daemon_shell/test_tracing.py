from __future__ import annotations

from collections.abc import Iterator

import pytest
from hookd_daemon.logs import token_hash
from hookd_daemon.telemetry.tracing import Tracing
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import NoOpTracer, SpanKind, StatusCode

METHOD = "/hookd.v1.HookService/CreateHook"
PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
OWNER = "00-11111111111111111111111111111111-2222222222222222-01"
OFF = Tracing(NoOpTracer(), enabled=False)


class Recorder:
    def __init__(self) -> None:
        self._exporter = InMemorySpanExporter()
        provider = TracerProvider(shutdown_on_exit=False)
        provider.add_span_processor(SimpleSpanProcessor(self._exporter))
        self.tracer = provider.get_tracer("test")
        self.tracing = Tracing(self.tracer, enabled=True)

    def spans(self) -> dict[str, ReadableSpan]:
        return {span.name: span for span in self._exporter.get_finished_spans()}


@pytest.fixture
def recorder() -> Iterator[Recorder]:
    yield Recorder()
    assert not trace.get_current_span().get_span_context().is_valid


def conflict(tracing: Tracing, **changes: object) -> None:
    facts: dict[str, object] = {
        "project": "shop",
        "token": "payment-42",
        "run_id": "loser",
        "owner_run_id": "winner",
        "owner_hook_id": "hook-1",
        "owner_status": "running",
        "owner_workflow": "process_payment",
        "owner_age_ms": 1500,
        "revision": 7,
        "owner_traceparent": OWNER,
    }
    tracing.hook_conflict(**(facts | changes))  # type: ignore[arg-type]


def test_a_server_span_names_the_call_and_continues_the_callers_trace(recorder: Recorder) -> None:
    metadata = {"traceparent": PARENT, "tracestate": "vendor=1"}
    with recorder.tracing.server_span(METHOD, metadata) as span:
        assert trace.get_current_span().get_span_context().trace_state.get("vendor") == "1"
        span.set_code("ALREADY_EXISTS")
    (done,) = recorder.spans().values()
    assert done.name == "hookd.v1.HookService/CreateHook"
    assert done.kind == SpanKind.SERVER
    assert dict(done.attributes or {}) == {
        "rpc.system": "grpc",
        "rpc.service": "hookd.v1.HookService",
        "rpc.method": "CreateHook",
        "rpc.grpc.status_code": 6,
    }
    assert done.parent is not None
    assert trace.format_trace_id(done.parent.trace_id) == "0af7651916cd43dd8448eb211c80319c"
    assert trace.format_span_id(done.parent.span_id) == "b7ad6b7169203331"
    # To be told of a conflict is an answer, not a failure.
    assert done.status.status_code == StatusCode.UNSET


def test_without_metadata_a_server_span_begins_a_trace(recorder: Recorder) -> None:
    metadata = {"traceparent": "nonsense"}
    with (
        recorder.tracer.start_as_current_span("outer"),
        recorder.tracing.server_span(METHOD, metadata),
    ):
        pass
    assert recorder.spans()["hookd.v1.HookService/CreateHook"].parent is None


@pytest.mark.parametrize(
    ("code", "failed"), [("OK", False), ("INTERNAL", True), ("UNAVAILABLE", True)]
)
def test_only_failures_of_the_server_are_errors(
    recorder: Recorder, code: str, failed: bool
) -> None:
    with recorder.tracing.server_span(METHOD, {}) as span:
        span.set_code(code)
    (done,) = recorder.spans().values()
    assert (done.status.status_code == StatusCode.ERROR) is failed


def test_an_unexpected_error_is_recorded_without_its_message(recorder: Recorder) -> None:
    with pytest.raises(KeyError), recorder.tracing.server_span(METHOD, {}):
        raise KeyError("secret-token")
    (done,) = recorder.spans().values()
    assert done.status.status_code == StatusCode.ERROR
    (event,) = done.events
    attributes = dict(event.attributes or {})
    assert attributes["exception.type"] == "builtins.KeyError"
    assert "test_an_unexpected_error" in str(attributes["exception.stacktrace"])
    assert set(attributes) == {"exception.type", "exception.stacktrace"}
    # The trace's own source line is all that may name it.
    assert "KeyError: " not in str(attributes)


def test_without_tracing_nothing_is_made() -> None:
    span = OFF.server_span(METHOD, {"traceparent": PARENT})
    assert span is OFF.server_span("/other/Method", {})
    with span as entered:
        entered.set_code("OK")
        entered.record_error(ValueError())
        assert not trace.get_current_span().get_span_context().is_valid
    conflict(OFF)


def test_the_current_span_is_what_is_stored(recorder: Recorder) -> None:
    with recorder.tracing.server_span(METHOD, {"traceparent": PARENT}):
        stored = recorder.tracing.current_traceparent({"traceparent": PARENT})
        context = trace.get_current_span().get_span_context()
    assert stored == (
        f"00-0af7651916cd43dd8448eb211c80319c-{trace.format_span_id(context.span_id)}-01"
    )


@pytest.mark.parametrize(
    ("sent", "stored"),
    [
        (PARENT, PARENT),
        (PARENT[:-2] + "00", PARENT[:-2] + "00"),
        ("", ""),
        (PARENT.upper(), ""),
        (PARENT + "-extra", ""),
        (PARENT + "\n", ""),
        (" " + PARENT, ""),
        ("ff" + PARENT[2:], ""),
        ("00-" + "0" * 32 + PARENT[35:], ""),
        (PARENT[:36] + "0" * 16 + "-01", ""),
        (PARENT[:-1], ""),
        (PARENT.replace("a", "g"), ""),
        ("x" * 100_000, ""),
    ],
)
def test_without_a_span_the_callers_is_stored_if_well_formed(sent: str, stored: str) -> None:
    assert OFF.current_traceparent({"traceparent": sent}) == stored
    assert OFF.current_traceparent({}) == ""


def test_a_conflict_is_an_event_and_a_span_linked_to_the_owners_trace(recorder: Recorder) -> None:
    with recorder.tracing.server_span(METHOD, {"traceparent": PARENT}):
        conflict(recorder.tracing)
    spans = recorder.spans()
    server, own = spans["hookd.v1.HookService/CreateHook"], spans["hookd.hook.conflict"]
    expected = {
        "hookd.project": "shop",
        "hookd.token_hash": token_hash("shop", "payment-42"),
        "hookd.run_id": "loser",
        "hookd.owner.run_id": "winner",
        "hookd.owner.hook_id": "hook-1",
        "hookd.owner.status": "running",
        "hookd.owner.workflow": "process_payment",
        "hookd.owner.age_ms": 1500,
        "hookd.revision": 7,
    }
    assert dict(own.attributes or {}) == expected
    (event,) = server.events
    assert (event.name, dict(event.attributes or {})) == ("hookd.hook.conflict", expected)
    assert own.parent is not None
    assert server.context is not None
    assert own.parent.span_id == server.context.span_id
    (link,) = own.links
    assert trace.format_trace_id(link.context.trace_id) == "1" * 32
    assert trace.format_span_id(link.context.span_id) == "2" * 16


def test_a_conflict_outside_a_call_with_an_owner_without_trace(recorder: Recorder) -> None:
    conflict(recorder.tracing, owner_traceparent="", run_id="", token=b"payment-42")
    (own,) = recorder.spans().values()
    assert own.parent is None
    assert not own.links
    assert (own.attributes or {})["hookd.run_id"] == ""
    assert (own.attributes or {})["hookd.token_hash"] == token_hash("shop", "payment-42")


def test_raw_tokens_are_in_spans_only_when_that_is_on(recorder: Recorder) -> None:
    conflict(Tracing(recorder.tracer, enabled=True, log_tokens=True), token=b"se\xffcret")
    (own,) = recorder.spans().values()
    assert (own.attributes or {})["hookd.token"] == "se\\xffcret"
