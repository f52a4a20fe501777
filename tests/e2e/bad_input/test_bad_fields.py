"""Requests with one wrong field: each is told which, the limit and the size."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from hookd.v1.admin_service_pb2 import BackupRequest, GetStatsRequest
from hookd.v1.common_pb2 import Failure, HookSpec, Payload
from hookd.v1.hook_service_pb2 import (
    CreateHookRequest,
    CreateHooksRequest,
    DisposeHookRequest,
    GetHookRequest,
    HookClaim,
    HookRef,
    ListHooksRequest,
    ReceivePayloadsRequest,
    ResumeHookRequest,
)
from hookd.v1.run_service_pb2 import (
    AwaitRunRequest,
    CancelRunRequest,
    CompleteRunRequest,
    FailRunRequest,
    GetRunRequest,
    KeepAliveRequest,
    ListEventsRequest,
    ListRunsRequest,
    StartRunRequest,
    WatchRunRequest,
)
from hookd.v1.stream_service_pb2 import (
    CloseStreamRequest,
    ListStreamsRequest,
    ReadStreamRequest,
    WriteChunksRequest,
)

from tests.support.api import Api, refusal

MIB = 1 << 20
HUGE = Payload(data=bytes(4 * MIB + 1))
LONG_TYPE = Payload(content_type="t" * 257)


class Bad(NamedTuple):
    """A request, the field that is wrong with it, and numbers that the error must name."""

    request: Any
    field: str
    numbers: tuple[str, ...] = ()


def start(**more: Any) -> StartRunRequest:
    return StartRunRequest(**{"run_id": "bad", "workflow": "w", "external": True, **more})


def create(**more: Any) -> CreateHookRequest:
    return CreateHookRequest(run_id="run", hook=HookSpec(**{"hook_id": "bad", **more}))


def resume(**more: Any) -> ResumeHookRequest:
    return ResumeHookRequest(**{"token": "token", **more})


SIZE_4M = (str(4 * MIB), str(4 * MIB + 1))
FAR = Duration(seconds=2**62)

BAD: dict[str, Bad] = {
    # Text that is too long, or is not there.
    "project of 65": Bad(GetRunRequest(project="p" * 65, run_id="run"), "project", ("64", "65")),
    "project with slash": Bad(GetRunRequest(project="a/b", run_id="run"), "project", ("64", "3")),
    "project with dot first": Bad(GetRunRequest(project="..", run_id="run"), "project"),
    "project of NUL": Bad(GetStatsRequest(project="a\0b"), "project"),
    "run id empty": Bad(GetRunRequest(run_id=""), "run_id", ("128", "0")),
    "run id of 129": Bad(GetRunRequest(run_id="r" * 129), "run_id", ("128", "129")),
    "run id with space": Bad(GetRunRequest(run_id="a b"), "run_id", ("128", "3")),
    "run id with NUL": Bad(GetRunRequest(run_id="a\0"), "run_id", ("128", "2")),
    "run id with line break": Bad(GetRunRequest(run_id="run\n"), "run_id", ("128", "4")),
    "run id not ASCII": Bad(GetRunRequest(run_id="jörg"), "run_id", ("128", "4")),
    "start run id": Bad(start(run_id="x" * 129), "run_id", ("128", "129")),
    "workflow empty": Bad(start(workflow=""), "workflow", ("1", "256", "0")),
    "workflow of 257": Bad(start(workflow="w" * 257), "workflow", ("256", "257")),
    "workflow in bytes": Bad(start(workflow="ü" * 129), "workflow", ("256", "258")),
    "hook id of 129": Bad(create(hook_id="h" * 129), "hook.hook_id", ("128", "129")),
    "hook id not ASCII": Bad(create(hook_id="ö"), "hook.hook_id", ("128", "1")),
    "token empty": Bad(create(token=""), "hook.token", ("512", "0")),
    "token of 513": Bad(create(token="t" * 513), "hook.token", ("512", "513")),
    "get by nothing": Bad(GetHookRequest(), "token", ("512", "0")),
    "get by empty ref": Bad(GetHookRequest(ref=HookRef()), "ref.run_id", ("128", "0")),
    "get by half a ref": Bad(GetHookRequest(ref=HookRef(run_id="run")), "ref.hook_id"),
    "dispose nothing": Bad(DisposeHookRequest(), "ref.run_id", ("128", "0")),
    "receive nothing": Bad(ReceivePayloadsRequest(), "ref.run_id", ("128", "0")),
    "resume nothing": Bad(ResumeHookRequest(), "token", ("512", "0")),
    "payload id of 257": Bad(resume(payload_id="p" * 257), "payload_id", ("256", "257")),
    "token prefix of 513": Bad(
        ListHooksRequest(token_prefix="t" * 513), "token_prefix", ("512", "513")
    ),
    "prefix and run": Bad(ListHooksRequest(run_id="run", token_prefix="t"), "token_prefix"),
    "cancel reason": Bad(
        CancelRunRequest(run_id="run", reason="r" * 4097), "reason", ("4096", "4097")
    ),
    "failure type": Bad(
        FailRunRequest(run_id="run", failure=Failure(type="t" * 257)),
        "failure.type",
        ("256", "257"),
    ),
    "failure message": Bad(
        FailRunRequest(run_id="run", failure=Failure(message="m" * 65537)),
        "failure.message",
        ("65536", "65537"),
    ),
    "attribute name empty": Bad(start(attributes={"": "x"}), "attributes", ("128", "0")),
    "attribute name": Bad(start(attributes={"n" * 129: "x"}), "attributes", ("128", "129")),
    "attribute value": Bad(start(attributes={"n": "v" * 1025}), "attributes", ("1024", "1025")),
    "namespace": Bad(
        WriteChunksRequest(run_id="run", namespace="n" * 129), "namespace", ("128", "129")
    ),
    "namespace of NUL": Bad(ReadStreamRequest(run_id="run", namespace="\0"), "namespace"),
    "writer id": Bad(WriteChunksRequest(run_id="run", writer_id="w" * 129), "writer_id"),
    "backup name": Bad(BackupRequest(name="b" * 65), "name", ("64", "65")),
    "backup elsewhere": Bad(BackupRequest(name="../../etc"), "name"),
    "backup hidden": Bad(BackupRequest(name=".b"), "name"),
    # Payloads and metadata that are too large.
    "input": Bad(start(input=HUGE), "input.data", SIZE_4M),
    "input type": Bad(start(input=LONG_TYPE), "input.content_type", ("256", "257")),
    "output": Bad(CompleteRunRequest(run_id="run", output=HUGE), "output.data", SIZE_4M),
    "failure details": Bad(
        FailRunRequest(run_id="run", failure=Failure(details=HUGE)),
        "failure.details.data",
        SIZE_4M,
    ),
    "payload": Bad(resume(payload=HUGE), "payload.data", SIZE_4M),
    "payload type": Bad(resume(payload=LONG_TYPE), "payload.content_type", ("256", "257")),
    "chunk": Bad(
        WriteChunksRequest(run_id="run", chunks=[Payload(), HUGE]), "chunks[1].data", SIZE_4M
    ),
    "metadata": Bad(
        create(metadata=Payload(data=bytes(65537))), "hook.metadata.data", ("65536", "65537")
    ),
    "delivered payload": Bad(
        start(on_conflict=3, claims=[HookSpec(token="t")], payload=HUGE), "payload.data", SIZE_4M
    ),
    # Durations and times.
    "wait negative": Bad(
        AwaitRunRequest(run_id="run", wait=Duration(seconds=-1)), "wait", ("0", "300", "-1")
    ),
    "wait too long": Bad(
        AwaitRunRequest(run_id="run", wait=Duration(seconds=301)), "wait", ("300", "301")
    ),
    "wait absurd": Bad(resume(wait=FAR), "wait", ("300", str(2**62))),
    "wait of mixed signs": Bad(
        GetHookRequest(token="t", wait=Duration(seconds=1, nanos=-1)), "wait", ("300", "-1")
    ),
    "wait of too many nanos": Bad(
        GetHookRequest(token="t", wait=Duration(nanos=1_000_000_000)), "wait", ("300",)
    ),
    "ttl zero": Bad(create(ttl=Duration()), "hook.ttl", ("0.001", "0")),
    "ttl below a millisecond": Bad(create(ttl=Duration(nanos=999_999)), "hook.ttl", ("0.001",)),
    "ttl negative": Bad(create(ttl=Duration(seconds=-(2**63))), "hook.ttl", (str(-(2**63)),)),
    "ttl absurd": Bad(create(ttl=FAR), "hook.ttl", (str(2**62),)),
    "hold negative": Bad(create(hold_after=Duration(nanos=-1)), "hook.hold_after", ("-1",)),
    "hold absurd": Bad(create(hold_after=FAR), "hook.hold_after", (str(2**62),)),
    "lease too short": Bad(start(lease_ttl=Duration(nanos=99_000_000)), "lease_ttl", ("0.1",)),
    "lease too long": Bad(
        start(lease_ttl=Duration(seconds=86401)), "lease_ttl", ("86400", "86401")
    ),
    "lease negative": Bad(start(lease_ttl=Duration(seconds=-1)), "lease_ttl", ("-1",)),
    "lease of a worker's run": Bad(
        start(external=False, lease_ttl=Duration(seconds=1)), "lease_ttl"
    ),
    "keep alive without lease": Bad(KeepAliveRequest(run_id="run"), "run_id"),
    "time before 1970": Bad(
        ListRunsRequest(created_after=Timestamp(seconds=-1)), "created_after", ("1970", "-1")
    ),
    "time after 9999": Bad(
        ListRunsRequest(created_before=Timestamp(seconds=2**62)), "created_before", ("9999",)
    ),
    "time with bad nanos": Bad(
        ListRunsRequest(created_before=Timestamp(nanos=-1)), "created_before", ("-1",)
    ),
    # Numbers.
    "page size negative": Bad(ListRunsRequest(page_size=-1), "page_size", ("0", "1000", "-1")),
    "page size too large": Bad(ListHooksRequest(page_size=1001), "page_size", ("1000", "1001")),
    "page size absurd": Bad(
        ListEventsRequest(run_id="run", page_size=2**31 - 1), "page_size", ("1000",)
    ),
    "position beyond the end": Bad(
        WriteChunksRequest(run_id="run", position=7, chunks=[Payload()]), "position", ("7", "0")
    ),
    "position absurd": Bad(
        WriteChunksRequest(run_id="run", position=2**64 - 1, chunks=[Payload()]), "position"
    ),
    # Enums.
    "conflict policy": Bad(start(on_conflict=99), "on_conflict", ("99",)),
    "conflict policy negative": Bad(start(on_conflict=-1), "on_conflict", ("-1",)),
    "run status": Bad(ListRunsRequest(statuses=[1, 77]), "statuses", ("77",)),
    "run status unspecified": Bad(ListRunsRequest(statuses=[0]), "statuses", ("0",)),
    # Too many, or together what goes only apart.
    "65 claims": Bad(start(claims=[HookSpec()] * 65), "claims", ("64", "65")),
    "65 attributes": Bad(
        start(attributes={f"a{n}": "" for n in range(65)}), "attributes", ("64", "65")
    ),
    "1025 hooks": Bad(
        CreateHooksRequest(hooks=[HookClaim(run_id="run")] * 1025), "hooks", ("1024", "1025")
    ),
    "1025 chunks": Bad(
        WriteChunksRequest(run_id="run", chunks=[Payload()] * 1025), "chunks", ("1024", "1025")
    ),
    "claims of one token": Bad(start(claims=[HookSpec(token="t")] * 2), "claims"),
    "claims of one hook id": Bad(start(claims=[HookSpec(hook_id="h")] * 2), "claims"),
    "deliver without claim": Bad(start(on_conflict=3, payload=Payload(data=b"1")), "claims"),
    "payload without deliver": Bad(start(payload=Payload(data=b"1")), "payload"),
}


def method_of(message: Any) -> tuple[str, bool]:
    """The path of the call that takes a message, and whether it answers with a stream."""
    file = message.DESCRIPTOR.file
    for service in file.services_by_name.values():
        for method in service.methods:
            if method.input_type is message.DESCRIPTOR:
                return f"/{service.full_name}/{method.name}", method.server_streaming
    raise AssertionError(f"no call takes a {message.DESCRIPTOR.name}")


def send(api: Api, request: Any) -> bytes:
    """Sends a request to the call that takes it; of a stream, the first answer."""
    path, streams = method_of(request)
    data = request.SerializeToString()
    if streams:
        return next(api.channel.unary_stream(path)(data, timeout=30))
    return api.channel.unary_unary(path)(data, timeout=30)


def project_of(request: Any, api: Api) -> Any:
    """The request in the project of the test, unless its project is what is wrong."""
    if "project" in request.DESCRIPTOR.fields_by_name and not request.project:
        copy = type(request)()
        copy.CopyFrom(request)
        copy.project = api.project
        return copy
    return request


@pytest.mark.parametrize("name", BAD)
def test_bad_field(api: Api, name: str) -> None:
    bad = BAD[name]
    api.start("run", claims=[HookSpec(token="token")])
    before = api.run("run")

    told = refusal(send, api, project_of(bad.request, api))
    assert told.code == grpc.StatusCode.INVALID_ARGUMENT, told.message
    assert told.reason == "INVALID_ARGUMENT"
    assert list(told.fields) == [bad.field]
    said = told.fields[bad.field]
    assert len(said) < 300
    for number in bad.numbers:
        assert re.search(rf"(?<![\w.-]){re.escape(number)}(?![\w])", said), said
    assert told.metadata["field"] == bad.field
    assert bad.field in told.message
    assert "docs/errors/invalid-argument.md" in told.message

    # The daemon goes on, and nothing is half done.
    assert api.run("run") == before
    assert refusal(api.run, "bad").reason == "RUN_NOT_FOUND"
    stats = api.admin.GetStats(GetStatsRequest(project=api.project))
    assert (stats.active_tokens, stats.running_runs, stats.pending_runs) == (1, 1, 0)
    assert api.hook("token").payload_count == 0


def test_every_call_of_a_run_knows_it_not(api: Api) -> None:
    ref = HookRef(run_id="nobody", hook_id="hook")
    unknown = [
        GetRunRequest,
        CancelRunRequest,
        CompleteRunRequest,
        FailRunRequest,
        AwaitRunRequest,
        KeepAliveRequest,
        ListEventsRequest,
        WatchRunRequest,
        CreateHookRequest,
        ListHooksRequest,
        WriteChunksRequest,
        ReadStreamRequest,
        CloseStreamRequest,
        ListStreamsRequest,
    ]
    with_ref = [GetHookRequest, DisposeHookRequest, ReceivePayloadsRequest]
    requests = [kind(project=api.project, run_id="nobody") for kind in unknown]
    for request in requests + [kind(project=api.project, ref=ref) for kind in with_ref]:
        told = refusal(send, api, request)
        name = type(request).__name__
        assert (told.code, told.reason) == (grpc.StatusCode.NOT_FOUND, "RUN_NOT_FOUND"), name
        assert told.metadata == {"run_id": "nobody"}, name
    stats = api.admin.GetStats(GetStatsRequest(project=api.project))
    assert (stats.active_tokens, stats.running_runs, stats.pending_runs) == (0, 0, 0)


@pytest.mark.parametrize("kind", [ReceivePayloadsRequest, WatchRunRequest, ListEventsRequest])
def test_positions_beyond_the_end(api: Api, kind: Any) -> None:
    """The greatest position there can be has nothing after it, and is no failure."""
    api.start("run", claims=[HookSpec(token="token")])
    api.complete("run")
    end = 2**64 - 1
    request = kind(project=api.project)
    if kind is ReceivePayloadsRequest:
        request.ref.CopyFrom(HookRef(run_id="run", hook_id="claim-1"))
        request.after_payload_seq = end
        (item,) = api.hooks.ReceivePayloads(request, timeout=30)
        assert item.HasField("closed")
    elif kind is WatchRunRequest:
        request.run_id, request.after_seq = "run", end
        assert list(api.runs.WatchRun(request, timeout=30)) == []
    else:
        request.run_id, request.after_seq = "run", end
        assert not api.runs.ListEvents(request).events


@pytest.mark.parametrize("index", [2**63 - 1, -(2**63)])
def test_chunks_beyond_the_end(api: Api, index: int) -> None:
    api.start("run")
    write = WriteChunksRequest(project=api.project, run_id="run", chunks=[Payload(data=b"1")])
    api.streams.WriteChunks(write)
    request = ReadStreamRequest(project=api.project, run_id="run", start_index=index, no_wait=True)
    items = list(api.streams.ReadStream(request, timeout=30))
    assert len(items) == (2 if index < 0 else 1)
    assert items[-1].closed.length == 1


def test_message_larger_than_any_may_be(api: Api) -> None:
    """Refused by the transport; the connection and the daemon go on."""
    api.start("run", claims=[HookSpec(token="token")])
    told = refusal(send, api, resume(project=api.project, payload=Payload(data=bytes(17 * MIB))))
    assert told.code == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert str(16 * MIB) in told.message
    assert api.hook("token").payload_count == 0
    assert api.resume("token", "x" * (4 * MIB)).payload_seq == 1, "as large as may be"


def test_list_of_runs_with_long_failures_is_answered(api: Api) -> None:
    """A page that would be larger than a message may be is a short page."""
    failure = Failure(type="Error", message="m" * 65536)
    for n in range(300):
        api.start(f"run-{n}")
        api.runs.FailRun(FailRunRequest(project=api.project, run_id=f"run-{n}", failure=failure))
    found: list[str] = []
    page = ""
    while True:
        answer = api.runs.ListRuns(
            ListRunsRequest(project=api.project, page_size=1000, page_token=page)
        )
        found += [run.run_id for run in answer.runs]
        page = answer.next_page_token
        if not page:
            break
    assert sorted(found) == sorted(f"run-{n}" for n in range(300))


def test_unknown_call(api: Api) -> None:
    told = refusal(api.channel.unary_unary("/hookd.v1.HookService/StealHook"), b"")
    assert told.code == grpc.StatusCode.UNIMPLEMENTED
