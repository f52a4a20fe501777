"""The trace context of a sender travels with its payload, to whoever receives it."""

from __future__ import annotations

import urllib.request

from hookd.v1.common_pb2 import HookSpec
from hookd.v1.hook_service_pb2 import HookRef, ReceivePayloadsRequest, ResumeHookRequest
from hookd.v1.run_service_pb2 import (
    CONFLICT_POLICY_DELIVER,
    ListEventsRequest,
    StartRunRequest,
)
from hookd.v1.webhook_pb2 import Webhook

from tests.e2e.telemetry.caller import Caller
from tests.support.api import Api, json_payload
from tests.support.otlp import OtlpReceiver

RESUME = "hookd.v1.HookService/ResumeHook"


def handed_on(api: Api, run_id: str, hook_id: str) -> list[str]:
    """The contexts of the payloads so far, from the log and from the stream, which agree."""
    events = api.runs.ListEvents(ListEventsRequest(project=api.project, run_id=run_id)).events
    logged = [e.hook_received.traceparent for e in events if e.HasField("hook_received")]
    ref = HookRef(run_id=run_id, hook_id=hook_id)
    stream = api.hooks.ReceivePayloads(ReceivePayloadsRequest(project=api.project, ref=ref))
    received = [next(stream).payload.traceparent for _ in logged]
    stream.cancel()
    assert received == logged
    return logged


def send(api: Api, payload_id: str, caller: Caller | None) -> None:
    """Resumes the token "t", within the caller's trace if there is one."""
    request = ResumeHookRequest(
        project=api.project, token="t", payload_id=payload_id, payload=json_payload("1")
    )
    api.hooks.ResumeHook(request, **(caller.context if caller else {}))


def test_a_payload_carries_the_span_that_took_it(
    own: Api, receiver: OtlpReceiver, caller: Caller
) -> None:
    """It is in the sender's trace; a sender without one begins a new one."""
    own.start("run")
    own.claim("run", "t", "hook")
    send(own, "first", caller)
    send(own, "second", None)
    first, second = handed_on(own, "run", "hook")
    span = caller.server_span(receiver, RESUME)
    assert span.parent_id == caller.span_id
    assert first == f"00-{span.trace_id}-{span.span_id}-01"
    assert second.split("-")[1] not in ("", caller.trace_id)


def test_a_duplicate_keeps_the_first_context(own: Api, caller: Caller) -> None:
    """A retry of a delivery is not a new one."""
    own.start("run")
    own.claim("run", "t", "hook")
    send(own, "first", caller)
    before = handed_on(own, "run", "hook")
    send(own, "first", Caller())
    assert handed_on(own, "run", "hook") == before


def test_a_payload_that_a_start_delivers_carries_the_starters_context(
    own: Api, caller: Caller
) -> None:
    """Delivered to an owner, or to the new run itself."""
    for run_id, sender in (("owner", Caller()), ("not-started", caller)):
        request = StartRunRequest(
            project=own.project,
            run_id=run_id,
            workflow="checkout",
            external=True,
            claims=[HookSpec(hook_id="hook", token="t")],
            on_conflict=CONFLICT_POLICY_DELIVER,
            payload=json_payload("1"),
            payload_id=run_id,
        )
        own.runs.StartRun(request, **sender.context)
    first, second = handed_on(own, "owner", "hook")
    assert second.split("-")[1] == caller.trace_id
    assert first.split("-")[1] != caller.trace_id


def test_without_export_the_senders_own_context_is_handed_on(api: Api, caller: Caller) -> None:
    """A daemon that records nothing is no hole in the trace; nonsense is not handed on."""
    api.start("run")
    api.claim("run", "t", "hook")
    send(api, "first", caller)
    nonsense = ResumeHookRequest(
        project=api.project, token="t", payload_id="second", payload=json_payload("1")
    )
    api.hooks.ResumeHook(nonsense, metadata=(("traceparent", "not-a-context"),))
    send(api, "third", None)
    assert handed_on(api, "run", "hook") == [caller.traceparent, "", ""]


def test_an_unsampled_trace_stays_unsampled(own: Api, receiver: OtlpReceiver) -> None:
    """The caller has decided that nobody looks; the receiver of the payload is told so."""
    own.start("run")
    own.claim("run", "t", "hook")
    quiet = Caller()
    request = ResumeHookRequest(
        project=own.project, token="t", payload_id="quiet", payload=json_payload("1")
    )
    own.hooks.ResumeHook(
        request, metadata=(("traceparent", f"00-{quiet.trace_id}-{quiet.span_id}-00"),)
    )
    seen = Caller()
    send(own, "seen", seen)
    first, _ = handed_on(own, "run", "hook")
    assert first.split("-")[1] == quiet.trace_id
    assert first.endswith("-00")
    seen.server_span(receiver, RESUME)
    assert quiet.trace_id not in {span.trace_id for span in receiver.spans()}


def test_a_request_to_a_webhook_carries_the_span_that_took_it(
    own: Api, receiver: OtlpReceiver, caller: Caller
) -> None:
    """It is in the sender's trace, by the header that HTTP has for it; no span has the token."""
    own.start("run")
    url = own.claim("run", "secret-token", "hook", webhook=Webhook()).hook.url
    headers = {"traceparent": f"00-{caller.trace_id}-{caller.span_id}-01"}
    with urllib.request.urlopen(urllib.request.Request(url, b"{}", headers)) as reply:
        assert reply.status == 202
    (context,) = handed_on(own, "run", "hook")
    span = caller.server_span(receiver, "webhooks")
    assert span.parent_id == caller.span_id
    assert context == f"00-{span.trace_id}-{span.span_id}-01"
    assert "secret-token" not in repr(span)
