"""Every mutating call, with what its answer and the answer of a retry must agree in."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import grpc
from hookd.v1.common_pb2 import Failure, Hook, HookSpec
from hookd.v1.errors_pb2 import Error
from hookd.v1.hook_service_pb2 import (
    ClaimStreamRequest,
    CreateHookRequest,
    CreateHooksRequest,
    DisposeHookRequest,
    HookClaim,
    HookClaimResult,
    HookRef,
    ResumeHookRequest,
)
from hookd.v1.run_service_pb2 import (
    CONFLICT_POLICY_DELIVER,
    CONFLICT_POLICY_FAIL,
    CONFLICT_POLICY_TAKE_OVER,
    CONFLICT_POLICY_USE_EXISTING,
    START_OUTCOME_ALREADY_STARTED,
    START_OUTCOME_STARTED,
    CancelRunRequest,
    CompleteRunRequest,
    FailRunRequest,
    KeepAliveRequest,
    StartRunRequest,
)
from hookd.v1.stream_service_pb2 import CloseStreamRequest, WriteChunksRequest

from tests.support.api import Api, Refusal, json_payload, seconds


@dataclass
class Call:
    """A mutating call.

    Attributes:
        send: makes the call, over whatever channel.
        facts: what of an answer must be the same in the answer of a retry.
        again: whether an answer says that it is a retry's; None when it cannot.
    """

    send: Callable[[Api], Any]
    facts: Callable[[Any], object]
    again: Callable[[Any], bool] | None = None


def answer_of(call: Call, api: Api) -> tuple[object, bool | None]:
    """Makes a call; returns the facts of its answer, or of its refusal."""
    try:
        answer = call.send(api)
    except grpc.RpcError as error:
        told = Refusal(error)
        conflict = told.conflict.SerializeToString() if told.conflict else None
        return (told.code, told.reason, told.message, told.metadata, conflict), None
    return call.facts(answer), None if call.again is None else call.again(answer)


def _hook(hook: Hook) -> object:
    return hook.run_id, hook.hook_id, hook.token, hook.revision, hook.created_at.ToNanoseconds()


def _started(answer: Any) -> object:
    return (
        answer.run.run_id,
        answer.run.workflow,
        [_hook(hook) for hook in answer.hooks],
        list(answer.superseded_run_ids),
        answer.payload_seq,
        # A new run is started once; an owner is used or delivered to again.
        answer.outcome in (START_OUTCOME_STARTED, START_OUTCOME_ALREADY_STARTED) or answer.outcome,
    )


def _start_again(answer: Any) -> bool:
    return answer.outcome == START_OUTCOME_ALREADY_STARTED or answer.payload_duplicate


def _claims(results: list[HookClaimResult]) -> object:
    def fact(result: HookClaimResult) -> object:
        if result.HasField("claimed"):
            return result.claimed.hook_id, result.claimed.token, result.claimed.revision
        error: Error = result.error
        return error.code, error.message, error.conflict.SerializeToString()

    return [fact(result) for result in results]


def _start(api: Api, **fields: Any) -> Call:
    request = StartRunRequest(project=api.project, workflow="w", external=True, **fields)
    return Call(lambda to: to.runs.StartRun(request), _started, _start_again)


def _create(api: Api, run_id: str, hook: HookSpec) -> Call:
    request = CreateHookRequest(project=api.project, run_id=run_id, hook=hook)
    return Call(
        lambda to: to.hooks.CreateHook(request),
        lambda answer: _hook(answer.hook),
        lambda answer: bool(answer.already_exists),
    )


def _own(token: str) -> HookSpec:
    """A claim with everything that a claim can have."""
    return HookSpec(
        token=token, metadata=json_payload("{}"), ttl=seconds(3600), hold_after=seconds(0.001)
    )


# Each function sets a scene in a project of its own and returns the call. The
# run "mine" is the one that acts, "owner" has claimed the token "taken".


def start_plain(api: Api) -> Call:
    return _start(api, run_id="mine", input=json_payload("1"), attributes={"a": "b"})


def start_claims_won(api: Api) -> Call:
    hooks = [HookSpec(token="x"), HookSpec(hook_id="auto"), _own("y")]
    return _start(api, run_id="mine", claims=hooks, lease_ttl=seconds(3600))


def start_fail_lost(api: Api) -> Call:
    return _start(
        api,
        run_id="mine",
        claims=[HookSpec(token="x"), HookSpec(token="taken")],
        on_conflict=CONFLICT_POLICY_FAIL,
    )


def start_use_existing_won(api: Api) -> Call:
    return _start(
        api,
        run_id="mine",
        claims=[HookSpec(token="x")],
        on_conflict=CONFLICT_POLICY_USE_EXISTING,
    )


def start_use_existing_lost(api: Api) -> Call:
    call = _start(
        api,
        run_id="mine",
        claims=[HookSpec(token="taken")],
        on_conflict=CONFLICT_POLICY_USE_EXISTING,
    )
    call.again = None  # the owner is the owner, however often one asks
    return call


def start_deliver_won(api: Api) -> Call:
    return _start(
        api,
        run_id="mine",
        claims=[HookSpec(token="x")],
        on_conflict=CONFLICT_POLICY_DELIVER,
        payload=json_payload("5"),
        payload_id="p",
    )


def start_deliver_lost(api: Api) -> Call:
    return _start(
        api,
        run_id="mine",
        claims=[HookSpec(token="taken")],
        on_conflict=CONFLICT_POLICY_DELIVER,
        payload=json_payload("5"),
        payload_id="p",
    )


def start_take_over(api: Api) -> Call:
    api.start("other")
    api.claim("other", "taken-too")
    return _start(
        api,
        run_id="mine",
        claims=[HookSpec(token="taken"), HookSpec(token="taken-too"), HookSpec(token="x")],
        on_conflict=CONFLICT_POLICY_TAKE_OVER,
    )


def create_hook_won(api: Api) -> Call:
    api.start("mine")
    spec = _own("x")
    spec.hook_id = "h"
    return _create(api, "mine", spec)


def create_hook_lost(api: Api) -> Call:
    api.start("mine")
    return _create(api, "mine", HookSpec(hook_id="h", token="taken"))


def create_hook_auto(api: Api) -> Call:
    api.start("mine", external=False)
    return _create(api, "mine", HookSpec(hook_id="h"))


def _batch(api: Api) -> list[HookClaim]:
    api.start("mine")
    api.start("second")
    wanted = [("mine", "x"), ("second", "x"), ("mine", "taken"), ("mine", None), ("second", "y")]
    claims = [
        HookClaim(run_id=run_id, hook=HookSpec(hook_id=f"h{i}", token=token))
        for i, (run_id, token) in enumerate(wanted)
    ]
    return [*claims, HookClaim(run_id="nobody", hook=HookSpec(hook_id="h", token="z"))]


def create_hooks(api: Api) -> Call:
    request = CreateHooksRequest(project=api.project, hooks=_batch(api))
    return Call(lambda to: to.hooks.CreateHooks(request), lambda answer: _claims(answer.results))


def claim_stream(api: Api) -> Call:
    hooks = _batch(api)
    requests = [
        ClaimStreamRequest(project=api.project, batch_id=i, hooks=hooks[i * 2 : i * 2 + 2])
        for i in range(3)
    ]
    return Call(
        lambda to: list(to.hooks.ClaimStream(iter(requests))),
        lambda answers: [(answer.batch_id, _claims(answer.results)) for answer in answers],
    )


def resume_hook(api: Api) -> Call:
    api.start("mine")
    api.claim("mine", "x", "h")
    request = ResumeHookRequest(
        project=api.project, token="x", payload_id="p", payload=json_payload("5")
    )
    return Call(
        lambda to: to.hooks.ResumeHook(request),
        lambda answer: (answer.run_id, answer.hook_id, answer.payload_seq),
        lambda answer: bool(answer.duplicate),
    )


def dispose_hook(api: Api) -> Call:
    api.start("mine")
    api.claim("mine", "x", "h")
    ref = HookRef(run_id="mine", hook_id="h")
    request = DisposeHookRequest(project=api.project, ref=ref)
    return Call(
        lambda to: to.hooks.DisposeHook(request),
        lambda answer: (_hook(answer.hook), answer.hook.status),
        lambda answer: bool(answer.already_disposed),
    )


def cancel_run(api: Api) -> Call:
    api.start("mine", claims=[HookSpec(token="x")])
    request = CancelRunRequest(project=api.project, run_id="mine", reason="enough")
    return Call(
        lambda to: to.runs.CancelRun(request),
        lambda answer: answer.run.SerializeToString(deterministic=True),
        lambda answer: bool(answer.already_cancelled),
    )


def complete_run(api: Api) -> Call:
    api.start("mine", claims=[HookSpec(token="x")])
    request = CompleteRunRequest(project=api.project, run_id="mine", output=json_payload("7"))
    return Call(
        lambda to: to.runs.CompleteRun(request),
        lambda answer: answer.run.SerializeToString(deterministic=True),
        lambda answer: bool(answer.already_completed),
    )


def fail_run(api: Api) -> Call:
    api.start("mine", claims=[HookSpec(token="x")])
    failure = Failure(type="ValueError", message="no", details=json_payload("[1]"))
    request = FailRunRequest(project=api.project, run_id="mine", failure=failure)
    return Call(
        lambda to: to.runs.FailRun(request),
        lambda answer: answer.run.SerializeToString(deterministic=True),
        lambda answer: bool(answer.already_failed),
    )


def write_chunks(api: Api) -> Call:
    api.start("mine", external=False)
    request = WriteChunksRequest(
        project=api.project,
        run_id="mine",
        position=0,
        chunks=[json_payload(str(i)) for i in range(3)],
        writer_id="me",
    )
    return Call(
        lambda to: to.streams.WriteChunks(request),
        lambda answer: (answer.position, answer.length),
        lambda answer: bool(answer.duplicate),
    )


def close_stream(api: Api) -> Call:
    api.start("mine")
    api.streams.WriteChunks(
        WriteChunksRequest(project=api.project, run_id="mine", chunks=[json_payload("1")])
    )
    request = CloseStreamRequest(project=api.project, run_id="mine")
    return Call(
        lambda to: to.streams.CloseStream(request),
        lambda answer: (answer.stream.namespace, answer.stream.length, answer.stream.closed),
        lambda answer: bool(answer.already_closed),
    )


def keep_alive(api: Api) -> Call:
    api.start("mine", lease_ttl=seconds(3600))
    request = KeepAliveRequest(project=api.project, run_id="mine")
    # A lease that is kept alive again ends later: nothing else may change.
    return Call(
        lambda to: to.runs.KeepAlive(request),
        lambda answer: answer.HasField("lease_expires_at"),
    )


#: Calls whose first answer rests on a run that is retained: they get it again
#: also when that run has ended.
OF_A_RUN = [
    start_plain,
    start_claims_won,
    start_use_existing_won,
    start_deliver_won,
    start_deliver_lost,
    start_take_over,
    create_hook_won,
    create_hook_lost,
    create_hook_auto,
    create_hooks,
    claim_stream,
    resume_hook,
    dispose_hook,
    cancel_run,
    complete_run,
    fail_run,
    write_chunks,
    close_stream,
]
#: Calls that left nothing behind, and look at how things stand.
OTHERS = [start_fail_lost, start_use_existing_lost, keep_alive]


def scenes() -> Iterator[tuple[Callable[[Api], Call], bool]]:
    """Every call, and whether all runs are to end before its retry."""
    for scene in OF_A_RUN:
        yield scene, False
        yield scene, True
    for scene in OTHERS:
        yield scene, False
