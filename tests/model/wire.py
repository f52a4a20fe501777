"""The calls of the oracle as calls of the API, and their answers as facts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

import grpc
from google.protobuf.message import Message
from google.rpc.code_pb2 import Code
from google.rpc.error_details_pb2 import ErrorInfo
from google.rpc.status_pb2 import Status
from hookd.v1 import hook_service_pb2 as hooks
from hookd.v1 import run_service_pb2 as runs
from hookd.v1.common_pb2 import Failure, HookSpec
from hookd.v1.errors_pb2 import HookConflict
from hookd.v1.worker_service_pb2 import CompleteTurnRequest

from tests.model.facts import Bindings, Facts, facts
from tests.model.things import Spec
from tests.support.api import Api, json_payload, seconds
from tests.support.snapshot import Snapshot

POLICIES = {
    "fail": runs.CONFLICT_POLICY_FAIL,
    "use_existing": runs.CONFLICT_POLICY_USE_EXISTING,
    "deliver": runs.CONFLICT_POLICY_DELIVER,
    "take_over": runs.CONFLICT_POLICY_TAKE_OVER,
}
Arguments = dict[str, Any]


class StatusError(Exception):
    """A call in this process was refused, with this status."""

    def __init__(self, status: Status) -> None:
        super().__init__(status.message)
        self.status = status


def refusal(error: Exception) -> Facts:
    """What a refused call was told: the code, and the reason unless it has none."""
    if isinstance(error, StatusError):
        status = error.status
    elif isinstance(error, grpc.RpcError):
        trailing = dict(error.trailing_metadata() or ())
        status = Status.FromString(trailing.get("grpc-status-details-bin", b""))
        status.code = error.code().value[0]
    else:
        raise error
    told: Facts = {"code": Code.Name(status.code)}
    for detail in status.details:
        info, conflict = ErrorInfo(), HookConflict()
        if detail.Unpack(info):
            told["reason"], told["metadata"] = info.reason, dict(info.metadata)
        elif detail.Unpack(conflict):
            told["conflict"] = facts(conflict)
    return told


class Wire:
    """Makes calls on one project of one world.

    Args:
        api: the services, over a connection or in this process.
        bindings: what the symbols in arguments stand for.
    """

    def __init__(self, api: Api, bindings: Bindings) -> None:
        self._api = api
        self._bindings = bindings

    def perform(self, call: str, arguments: Arguments, expected: Facts) -> Facts:
        """Makes a call, and gives the facts of its answer or of its refusal.

        Args:
            call: the name of a method of the oracle.
            arguments: its arguments.
            expected: what the oracle says. Of a stream that has no end yet, as
                many messages are read as are expected.
        """
        try:
            match call:
                case "watch_run":
                    return self._watch_run(expected, **arguments)
                case "receive_payloads":
                    return self._receive_payloads(expected, **arguments)
                case _:
                    answer: Message = getattr(self, f"_{call}")(**arguments)
        except (grpc.RpcError, StatusError) as error:
            return {"refused": refusal(error)}
        return _with_plain_errors(facts(answer))

    def _spec(self, spec: Spec) -> HookSpec:
        message = HookSpec(hook_id=spec.hook_id)
        if spec.token is not None:
            message.token = self._bindings.real(spec.token)
        if spec.metadata is not None:
            message.metadata.CopyFrom(json_payload(spec.metadata))
        if spec.ttl:
            message.ttl.CopyFrom(seconds(spec.ttl / 1000))
        if spec.hold_after:
            message.hold_after.CopyFrom(seconds(spec.hold_after / 1000))
        return message

    def _start_run(
        self,
        run_id: str,
        claims: Sequence[Spec] = (),
        on_conflict: str = "fail",
        workflow: str = "checkout",
        input: str = "1",
        external: bool = True,
        lease_ttl: int = 0,
        payload_id: str = "",
        payload: str = "",
    ) -> Message:
        request = runs.StartRunRequest(
            project=self._api.project,
            run_id=run_id,
            workflow=workflow,
            input=json_payload(input),
            claims=[self._spec(spec) for spec in claims],
            on_conflict=POLICIES[on_conflict],
            external=external,
        )
        if lease_ttl:
            request.lease_ttl.CopyFrom(seconds(lease_ttl / 1000))
        if payload_id:
            request.payload_id = payload_id
            request.payload.CopyFrom(json_payload(payload))
        return self._api.runs.StartRun(request)

    def _get_run(self, run_id: str) -> Message:
        return self._api.runs.GetRun(runs.GetRunRequest(project=self._api.project, run_id=run_id))

    def _await_run(self, run_id: str) -> Message:
        return self._api.runs.AwaitRun(
            runs.AwaitRunRequest(project=self._api.project, run_id=run_id)
        )

    def _keep_alive(self, run_id: str) -> Message:
        return self._api.runs.KeepAlive(
            runs.KeepAliveRequest(project=self._api.project, run_id=run_id)
        )

    def _complete_run(self, run_id: str, output: str) -> Message:
        return self._api.runs.CompleteRun(
            runs.CompleteRunRequest(
                project=self._api.project, run_id=run_id, output=json_payload(output)
            )
        )

    def _fail_run(self, run_id: str, message: str) -> Message:
        return self._api.runs.FailRun(
            runs.FailRunRequest(
                project=self._api.project,
                run_id=run_id,
                failure=Failure(type="Error", message=message),
            )
        )

    def _cancel_run(self, run_id: str, reason: str) -> Message:
        return self._api.runs.CancelRun(
            runs.CancelRunRequest(project=self._api.project, run_id=run_id, reason=reason)
        )

    def _complete_turn(self, run_id: str) -> Message:
        return self._api.workers.CompleteTurn(  # type: ignore[attr-defined]
            CompleteTurnRequest(
                project=self._api.project, worker_id="nobody", run_id=run_id, turn_id="turn"
            )
        )

    def _watch_run(self, expected: Facts, run_id: str) -> Facts:
        stream = self._api.runs.WatchRun(
            runs.WatchRunRequest(project=self._api.project, run_id=run_id)
        )
        ends = expected.get("ended", False)
        items = _read(stream, expected, "events", ends=ends)
        return {"events": [item["event"] for item in items], "ended": ends}

    def _create_hook(self, run_id: str, spec: Spec) -> Message:
        return self._api.hooks.CreateHook(
            hooks.CreateHookRequest(project=self._api.project, run_id=run_id, hook=self._spec(spec))
        )

    def _claims(self, wanted: Sequence[tuple[str, Spec]]) -> list[hooks.HookClaim]:
        return [hooks.HookClaim(run_id=run_id, hook=self._spec(spec)) for run_id, spec in wanted]

    def _create_hooks(self, hooks: Sequence[tuple[str, Spec]]) -> Message:
        return self._api.hooks.CreateHooks(create_hooks(self._api.project, self._claims(hooks)))

    def _claim_stream(self, hooks: Sequence[tuple[str, Spec]]) -> Message:
        request = claim_stream(self._api.project, self._claims(hooks))
        (answer,) = self._api.hooks.ClaimStream(iter([request]))
        return answer

    def _get_hook(self, token: Any) -> Message:
        return self._api.hooks.GetHook(
            hooks.GetHookRequest(project=self._api.project, token=self._bindings.real(token))
        )

    def _get_hook_by_id(self, run_id: str, hook_id: str) -> Message:
        ref = hooks.HookRef(run_id=run_id, hook_id=hook_id)
        return self._api.hooks.GetHook(hooks.GetHookRequest(project=self._api.project, ref=ref))

    def _resume_hook(self, token: Any, payload_id: str, payload: str) -> Message:
        return self._api.hooks.ResumeHook(
            hooks.ResumeHookRequest(
                project=self._api.project,
                token=self._bindings.real(token),
                payload_id=payload_id,
                payload=json_payload(payload),
            )
        )

    def _dispose_hook(self, run_id: str, hook_id: str) -> Message:
        ref = hooks.HookRef(run_id=run_id, hook_id=hook_id)
        return self._api.hooks.DisposeHook(
            hooks.DisposeHookRequest(project=self._api.project, ref=ref)
        )

    def _receive_payloads(self, expected: Facts, run_id: str, hook_id: str) -> Facts:
        ref = hooks.HookRef(run_id=run_id, hook_id=hook_id)
        stream = self._api.hooks.ReceivePayloads(
            hooks.ReceivePayloadsRequest(project=self._api.project, ref=ref)
        )
        items = _read(stream, expected, "payloads", ends="closed" in expected)
        found: Facts = {"payloads": [item["payload"] for item in items if "payload" in item]}
        return found | next((item for item in items if "closed" in item), {})


def create_hooks(project: str, claims: list[hooks.HookClaim]) -> hooks.CreateHooksRequest:
    """A batch of claims."""
    return hooks.CreateHooksRequest(project=project, hooks=claims)


def claim_stream(project: str, claims: list[hooks.HookClaim]) -> hooks.ClaimStreamRequest:
    """A batch of claims on a stream."""
    return hooks.ClaimStreamRequest(project=project, batch_id=7, hooks=claims)


def _read(stream: Any, expected: Facts, name: str, *, ends: bool) -> list[Facts]:
    """The messages of a stream: all if it ends, or as many as are expected under a name."""
    messages: Iterator[Message] = iter(stream)
    count = 1 if "refused" in expected else len(expected[name])
    items = list(messages if ends else islice(messages, count))
    stream.cancel()
    return [facts(item) for item in items]


def _with_plain_errors(answer: Facts) -> Facts:
    """The errors of a batch as those of single calls."""
    for result in answer.get("results", []):
        error = result.get("error")
        if error is not None:
            error.pop("message")
            error["code"] = Code.Name(error["code"])
            error["reason"] = error["reason"].upper()
    return answer


def snapshot_facts(found: Snapshot) -> Facts:
    """A snapshot in the words of the oracle's."""

    def named(items: Iterable[Any]) -> Facts:
        return {f"{hook.run_id} {hook.hook_id}": facts(hook) for hook in items}

    return {
        "runs": {run_id: facts(run) for run_id, run in found.runs.items()},
        "logs": {run_id: [facts(event) for event in log] for run_id, log in found.logs.items()},
        "hooks": named(found.hooks.values()),
        "holders": named(found.tokens.values()),
    }
