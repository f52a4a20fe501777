"""A lost claim in the traces: a span of its own, and a link to how the owner came to be."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hookd.v1.common_pb2 import HookSpec
from hookd.v1.hook_service_pb2 import (
    ClaimStreamRequest,
    CreateHookRequest,
    CreateHooksRequest,
    HookClaim,
)
from hookd.v1.run_service_pb2 import (
    CONFLICT_POLICY_DELIVER,
    CONFLICT_POLICY_FAIL,
    CONFLICT_POLICY_USE_EXISTING,
    StartRunRequest,
)
from hookd_daemon.logs import token_hash

from tests.e2e.telemetry.caller import Caller
from tests.support.api import Api, json_payload, refusal, seconds
from tests.support.daemon import Daemon
from tests.support.otlp import OtlpReceiver, ReceivedSpan

CONFLICT = "hookd.hook.conflict"
PROJECT = "telemetry"
TOKEN = "payment-4711-secret"
CREATE = "hookd.v1.HookService/CreateHook"
START = "hookd.v1.RunService/StartRun"


@dataclass(frozen=True)
class Owner:
    """Who holds the token, and the call that made the claim."""

    caller: Caller
    revision: int


@pytest.fixture
def owner(own: Api, owner_caller: Caller) -> Owner:
    """A run that has claimed the token, with a trace of its own."""
    own.start("owner-run", workflow="owner-workflow")
    spec = HookSpec(hook_id="owner-hook", token=TOKEN)
    request = CreateHookRequest(project=PROJECT, run_id="owner-run", hook=spec)
    created = own.hooks.CreateHook(request, **owner_caller.context)
    return Owner(owner_caller, created.hook.revision)


def conflicts(receiver: OtlpReceiver, count: int) -> list[ReceivedSpan]:
    """The first conflict spans, when they have come."""

    def look(receiver: OtlpReceiver) -> list[ReceivedSpan]:
        spans = receiver.spans(CONFLICT)
        return spans if len(spans) >= count else []

    spans = receiver.wait_for(look)
    assert len(spans) == count
    return spans


def check(
    receiver: OtlpReceiver, span: ReceivedSpan, owner: Owner, run_id: str, server: ReceivedSpan
) -> None:
    """Checks a conflict span against what happened."""
    attributes = dict(span.attributes)
    assert attributes.pop("hookd.owner.age_ms") >= 0
    assert attributes == {
        "hookd.project": PROJECT,
        "hookd.token_hash": token_hash(PROJECT, TOKEN),
        "hookd.run_id": run_id,
        "hookd.owner.run_id": "owner-run",
        "hookd.owner.hook_id": "owner-hook",
        "hookd.owner.status": "running",
        "hookd.owner.workflow": "owner-workflow",
        "hookd.revision": owner.revision,
    }
    # It is part of the trace of the call that lost, and leads to the one that won.
    assert (span.trace_id, span.parent_id) == (server.trace_id, server.span_id)
    claim = owner.caller.server_span(receiver, CREATE)
    assert span.links == [(claim.trace_id, claim.span_id)]
    # Whoever looks at the call alone sees the same.
    assert (CONFLICT, span.attributes) in server.events


def test_a_lost_claim_links_to_the_owners_trace(
    own: Api, receiver: OtlpReceiver, owner: Owner, caller: Caller
) -> None:
    """The daemon's spans are children of the callers', on both sides."""
    own.start("loser-run")
    spec = HookSpec(hook_id="loser-hook", token=TOKEN)
    request = CreateHookRequest(project=PROJECT, run_id="loser-run", hook=spec)
    refusal(own.hooks.CreateHook, request, **caller.context)

    server = caller.server_span(receiver, CREATE)
    assert server.parent_id == caller.span_id
    assert server.attributes["rpc.service"] == "hookd.v1.HookService"
    assert server.attributes["rpc.method"] == "CreateHook"
    assert server.attributes["rpc.grpc.status_code"] == 6
    assert server.proto.status.code == server.proto.status.STATUS_CODE_UNSET
    (span,) = conflicts(receiver, 1)
    check(receiver, span, owner, "loser-run", server)
    assert owner.caller.server_span(receiver, CREATE).parent_id == owner.caller.span_id
    assert server.resource["service.name"] == "hookd"
    assert server.resource["deployment.environment.name"] == "test"


def test_the_age_of_the_owner_grows(
    own: Api, receiver: OtlpReceiver, owner: Owner, caller: Caller
) -> None:
    """It is the time since the claim."""
    for number in range(2):
        own.start(f"loser-{number}")
        refusal(own.claim, f"loser-{number}", TOKEN)
        if number == 0:
            # A call that waits 100 ms by the daemon's own clock.
            refusal(own.resume, "nobody has this", wait=0.1)
    first, second = (s.attributes["hookd.owner.age_ms"] for s in conflicts(receiver, 2))
    assert second >= first + 99


def test_a_batch_has_a_span_for_each_conflict_and_none_for_what_won(
    own: Api, receiver: OtlpReceiver, owner: Owner, caller: Caller
) -> None:
    """The same facts as of a single claim."""
    own.start("first-loser")
    own.start("second-loser")
    hooks = [
        HookClaim(run_id=run_id, hook=HookSpec(hook_id=hook_id, token=token))
        for run_id, hook_id, token in (
            ("first-loser", "lost", TOKEN),
            ("first-loser", "won", "another"),
            ("second-loser", "lost", TOKEN),
        )
    ]
    request = CreateHooksRequest(project=PROJECT, hooks=hooks)
    own.hooks.CreateHooks(request, **caller.context)
    server = caller.server_span(receiver, "hookd.v1.HookService/CreateHooks")
    assert server.parent_id == caller.span_id
    assert server.attributes["rpc.grpc.status_code"] == 0
    first, second = conflicts(receiver, 2)
    check(receiver, first, owner, "first-loser", server)
    check(receiver, second, owner, "second-loser", server)


def test_a_claim_stream_tells_of_its_conflicts(
    own: Api, receiver: OtlpReceiver, owner: Owner, caller: Caller
) -> None:
    """As events of the stream's own span."""
    own.start("loser-run")
    hook = HookClaim(run_id="loser-run", hook=HookSpec(hook_id="lost", token=TOKEN))
    batches = iter([ClaimStreamRequest(project=PROJECT, batch_id=1, hooks=[hook])])
    assert len(list(own.hooks.ClaimStream(batches, **caller.context))) == 1
    server = caller.server_span(receiver, "hookd.v1.HookService/ClaimStream")
    (span,) = conflicts(receiver, 1)
    check(receiver, span, owner, "loser-run", server)


@pytest.mark.parametrize(
    "policy", [CONFLICT_POLICY_FAIL, CONFLICT_POLICY_USE_EXISTING, CONFLICT_POLICY_DELIVER]
)
def test_a_start_that_meets_an_owner(
    own: Api, receiver: OtlpReceiver, owner: Owner, caller: Caller, policy: int
) -> None:
    """Whether it fails, takes the owner as its answer, or hands its payload over."""
    request = StartRunRequest(
        project=PROJECT,
        run_id="not-started",
        workflow="checkout",
        external=True,
        claims=[HookSpec(token=TOKEN)],
        on_conflict=policy,
    )
    if policy == CONFLICT_POLICY_DELIVER:
        request.payload.CopyFrom(json_payload("1"))
    if policy == CONFLICT_POLICY_FAIL:
        assert refusal(own.runs.StartRun, request, **caller.context).conflict
    else:
        own.runs.StartRun(request, **caller.context)
    server = caller.server_span(receiver, START)
    (span,) = conflicts(receiver, 1)
    check(receiver, span, owner, "not-started", server)


def test_the_link_outlives_a_restart(
    exporting: Daemon, own: Api, receiver: OtlpReceiver, owner: Owner
) -> None:
    """The trace of the claim is stored with it."""
    claim = owner.caller.server_span(receiver, CREATE)
    own.start("loser-run")
    exporting.restart()
    api = Api(exporting.channel(), PROJECT)
    refusal(api.claim, "loser-run", TOKEN)
    (span,) = conflicts(receiver, 1)
    assert span.links == [(claim.trace_id, claim.span_id)]


def test_a_held_token_names_the_final_status(
    own: Api, receiver: OtlpReceiver, caller: Caller
) -> None:
    """The owner has ended; its token is still taken."""
    own.start("ended")
    own.claim("ended", TOKEN, hold_after=seconds(3600))
    own.complete("ended")
    own.start("loser-run")
    refusal(own.claim, "loser-run", TOKEN)
    (span,) = conflicts(receiver, 1)
    assert span.attributes["hookd.owner.status"] == "completed"
    assert span.attributes["hookd.owner.run_id"] == "ended"


def test_no_raw_token_leaves_the_daemon(
    exporting: Daemon, own: Api, receiver: OtlpReceiver, owner: Owner
) -> None:
    """Neither in spans nor in metrics, up to the last export at the end."""
    own.start("loser-run")
    refusal(own.claim, "loser-run", TOKEN)
    own.resume(TOKEN, '"1"', "a-payload")
    refusal(own.resume, TOKEN, '"2"', "a-payload")
    refusal(own.resume, f"{TOKEN}-of-nobody")
    refusal(own.claim, "loser-run", TOKEN * 100)
    raw = own.channel.unary_unary("/hookd.v1.HookService/ResumeHook")
    refusal(raw, b"\xff" + TOKEN.encode())
    assert exporting.terminate() == 0
    assert conflicts(receiver, 1)
    assert receiver.metrics()
    exported = [span.proto.SerializeToString() for span in receiver.spans()]
    exported += [metric.SerializeToString() for metric in receiver.metrics().values()]
    assert len(exported) > 10
    assert not [message for message in exported if b"secret" in message]


def test_a_stream_that_ends_badly_is_no_error_of_the_daemon(
    own: Api, receiver: OtlpReceiver, caller: Caller
) -> None:
    """What the caller asked for wrongly is an answer; the span is not marked as failed."""
    refusal(
        own.runs.StartRun,
        StartRunRequest(project=PROJECT, run_id="no spaces", workflow="x"),
        **caller.context,
    )
    server = caller.server_span(receiver, START)
    assert server.attributes["rpc.grpc.status_code"] == 3
    assert server.proto.status.code == server.proto.status.STATUS_CODE_UNSET
