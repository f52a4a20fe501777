"""The API as a test calls it: the generated stubs, and short ways to say things."""

from __future__ import annotations

import itertools
from typing import Any

import grpc
from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo
from google.rpc.status_pb2 import Status
from hookd.v1.admin_service_pb2_grpc import AdminServiceStub
from hookd.v1.common_pb2 import Failure, Hook, HookSpec, Payload, Run
from hookd.v1.errors_pb2 import HookConflict
from hookd.v1.events_pb2 import Event
from hookd.v1.hook_service_pb2 import (
    CreateHookRequest,
    CreateHookResponse,
    DisposeHookRequest,
    DisposeHookResponse,
    GetHookRequest,
    HookRef,
    ReceivePayloadsRequest,
    ResumeHookRequest,
    ResumeHookResponse,
)
from hookd.v1.hook_service_pb2_grpc import HookServiceStub
from hookd.v1.run_service_pb2 import (
    AwaitRunRequest,
    CancelRunRequest,
    CompleteRunRequest,
    FailRunRequest,
    GetRunRequest,
    ListEventsRequest,
    StartRunRequest,
    StartRunResponse,
    WatchRunRequest,
)
from hookd.v1.run_service_pb2_grpc import RunServiceStub
from hookd.v1.stream_service_pb2_grpc import StreamServiceStub

_numbers = itertools.count(1)


def unique(prefix: str) -> str:
    """A name that no other test of this process has."""
    return f"{prefix}-{next(_numbers)}"


def seconds(value: float) -> Duration:
    """A duration."""
    duration = Duration()
    duration.FromMilliseconds(round(value * 1000))
    return duration


def json_payload(text: str) -> Payload:
    """A payload of JSON text."""
    return Payload(content_type="application/json", data=text.encode())


class Refusal:
    """What a refused call was told, taken from its status.

    Attributes:
        code: the gRPC status.
        message: the message.
        reason: the reason of ``google.rpc.ErrorInfo``.
        metadata: its metadata.
        conflict: the typed detail of a conflict; None for others.
        fields: the fields of ``google.rpc.BadRequest``.
    """

    def __init__(self, error: grpc.RpcError) -> None:
        self.code: grpc.StatusCode = error.code()
        self.message: str = error.details()
        self.reason = ""
        self.metadata: dict[str, str] = {}
        self.conflict: HookConflict | None = None
        self.fields: dict[str, str] = {}
        trailing = dict(error.trailing_metadata() or ())
        raw: Any = trailing.get("grpc-status-details-bin", b"")
        for detail in Status.FromString(raw).details:
            info, bad, conflict = ErrorInfo(), BadRequest(), HookConflict()
            if detail.Unpack(info):
                assert info.domain == "hookd"
                self.reason, self.metadata = info.reason, dict(info.metadata)
            elif detail.Unpack(conflict):
                self.conflict = conflict
            elif detail.Unpack(bad):
                self.fields = {v.field: v.description for v in bad.field_violations}


class Api:
    """The services of a daemon over one channel; blocking.

    Args:
        channel: to the daemon.
        project: what the short ways name in their requests.
    """

    def __init__(self, channel: grpc.Channel, project: str = "") -> None:
        self.channel = channel
        self.project = project
        self.runs = RunServiceStub(channel)
        self.hooks = HookServiceStub(channel)
        self.streams = StreamServiceStub(channel)
        self.admin = AdminServiceStub(channel)

    def start(self, run_id: str = "", workflow: str = "checkout", **more: Any) -> StartRunResponse:
        """Starts an externally driven run."""
        more.setdefault("external", True)
        request = StartRunRequest(
            project=self.project, run_id=run_id or unique("run"), workflow=workflow, **more
        )
        return self.runs.StartRun(request)

    def run(self, run_id: str) -> Run:
        """Reads a run."""
        return self.runs.GetRun(GetRunRequest(project=self.project, run_id=run_id)).run

    def claim(
        self, run_id: str, token: str | None, hook_id: str = "", **more: Any
    ) -> CreateHookResponse:
        """Creates a hook."""
        spec = HookSpec(hook_id=hook_id or unique("hook"), token=token, **more)
        return self.hooks.CreateHook(
            CreateHookRequest(project=self.project, run_id=run_id, hook=spec)
        )

    def resume(
        self, token: str, text: str = "1", payload_id: str = "", wait: float = 0
    ) -> ResumeHookResponse:
        """Delivers JSON text to a token."""
        return self.hooks.ResumeHook(
            ResumeHookRequest(
                project=self.project,
                token=token,
                payload_id=payload_id or unique("payload"),
                payload=json_payload(text),
                wait=seconds(wait),
            )
        )

    def hook(self, token: str) -> Hook:
        """Reads the hook that holds a token."""
        return self.hooks.GetHook(GetHookRequest(project=self.project, token=token)).hook

    def dispose(self, run_id: str, hook_id: str) -> DisposeHookResponse:
        """Gives up a hook."""
        ref = HookRef(run_id=run_id, hook_id=hook_id)
        return self.hooks.DisposeHook(DisposeHookRequest(project=self.project, ref=ref))

    def complete(self, run_id: str, text: str = "1") -> Run:
        """Ends a run with an output."""
        return self.runs.CompleteRun(
            CompleteRunRequest(project=self.project, run_id=run_id, output=json_payload(text))
        ).run

    def fail(self, run_id: str, message: str = "broken") -> Run:
        """Ends a run with an error."""
        failure = Failure(type="Error", message=message)
        return self.runs.FailRun(
            FailRunRequest(project=self.project, run_id=run_id, failure=failure)
        ).run

    def cancel(self, run_id: str, reason: str = "") -> Run:
        """Cancels a run."""
        return self.runs.CancelRun(
            CancelRunRequest(project=self.project, run_id=run_id, reason=reason)
        ).run

    def ended(self, run_id: str, wait: float = 30) -> Run:
        """A run after its end, or after so many seconds."""
        return self.runs.AwaitRun(
            AwaitRunRequest(project=self.project, run_id=run_id, wait=seconds(wait))
        ).run

    def log(self, run_id: str) -> list[Event]:
        """The first 1000 events in the log of a run, as it is now."""
        return list(
            self.runs.ListEvents(
                ListEventsRequest(project=self.project, run_id=run_id, page_size=1000)
            ).events
        )

    def hook_by_id(self, run_id: str, hook_id: str) -> Hook:
        """Reads a hook of a run, also one that is gone."""
        ref = HookRef(run_id=run_id, hook_id=hook_id)
        return self.hooks.GetHook(GetHookRequest(project=self.project, ref=ref)).hook

    def events(self, run_id: str) -> list[str]:
        """The kinds of the events in the log of a run that has ended, or so far."""
        last = self.run(run_id).last_seq
        watch = self.runs.WatchRun(WatchRunRequest(project=self.project, run_id=run_id))
        kinds = []
        for item in watch:
            kinds.append(item.event.WhichOneof("data"))
            if item.event.seq == last:
                break
        watch.cancel()
        return kinds

    def payloads(self, run_id: str, hook_id: str, count: int) -> list[str]:
        """The first ``count`` payloads of a hook, as text; waits for them."""
        ref = HookRef(run_id=run_id, hook_id=hook_id)
        stream = self.hooks.ReceivePayloads(
            ReceivePayloadsRequest(project=self.project, ref=ref), timeout=30
        )
        texts: list[str] = []
        for item in stream:
            if item.HasField("closed"):
                break
            texts.append(item.payload.payload.data.decode())
            if len(texts) == count:
                break
        stream.cancel()
        return texts


def refusal(call: Any, *args: Any, **kwargs: Any) -> Refusal:
    """Calls something that must be refused; returns what it was told."""
    try:
        answer = call(*args, **kwargs)
    except grpc.RpcError as error:
        return Refusal(error)
    raise AssertionError(f"the call was not refused, it was answered with {answer}")
