"""What is wrong with a worker's request is named, and nothing is done."""

from __future__ import annotations

import math
from typing import Any

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from hookd.v1 import worker_service_pb2 as pb
from hookd.v1.common_pb2 import Failure, HookSpec, Payload
from hookd.v1.events_pb2 import RetryPolicy

from tests.e2e.work.worker import (
    Worker,
    complete,
    connected,
    queues,
    ref,
    schedule,
    start,
)
from tests.support.api import Api, Refusal, refusal, seconds

LONG = "x" * 257
ID = "x" * 129
BIG = Payload(data=b"x" * (4 * 1024 * 1024 + 1))


def step(**fields: Any) -> pb.Command:
    fields.setdefault("step_id", "step-1")
    fields.setdefault("name", "charge")
    return pb.Command(schedule_step=pb.ScheduleStepCommand(**fields))


def retry(**fields: Any) -> pb.Command:
    return step(retry=RetryPolicy(**fields))


def timer(**fields: Any) -> pb.Command:
    fields.setdefault("timer_id", "timer-1")
    return pb.Command(start_timer=pb.StartTimerCommand(**fields))


def child(**fields: Any) -> pb.Command:
    fields.setdefault("run_id", "c")
    fields.setdefault("workflow", "flow")
    return pb.Command(start_child=pb.StartChildCommand(**fields))


def chunks(**fields: Any) -> pb.Command:
    return pb.Command(write_chunks=pb.WriteChunksCommand(**fields))


def attributes(**values: str) -> pb.Command:
    return pb.Command(set_attributes=pb.SetAttributesCommand(attributes=values))


def hook(**fields: Any) -> pb.Command:
    return pb.Command(create_hook=HookSpec(**fields))


BAD_COMMANDS = [
    ("command", pb.Command()),
    ("create_hook.hook_id", hook(token="t")),
    ("create_hook.token", hook(hook_id="h", token="")),
    ("create_hook.ttl", hook(hook_id="h", token="t", ttl=seconds(0))),
    ("dispose_hook.hook_id", pb.Command(dispose_hook=pb.DisposeHookCommand())),
    ("schedule_step.step_id", step(step_id="")),
    ("schedule_step.step_id", step(step_id="a b")),
    ("schedule_step.name", step(name="")),
    ("schedule_step.name", step(name=LONG)),
    ("schedule_step.input.data", step(input=BIG)),
    ("schedule_step.retry.max_retries", retry(max_retries=1_000_001)),
    ("schedule_step.retry.backoff", retry(backoff=0.5)),
    ("schedule_step.retry.backoff", retry(backoff=-2)),
    ("schedule_step.retry.backoff", retry(backoff=math.nan)),
    ("schedule_step.retry.backoff", retry(backoff=math.inf)),
    ("schedule_step.retry.initial_interval", retry(initial_interval=seconds(-1))),
    ("schedule_step.retry.max_interval", retry(max_interval=Duration(seconds=10**10))),
    ("cancel_step.step_id", pb.Command(cancel_step=pb.CancelStepCommand())),
    ("start_timer.timer_id", timer(timer_id=ID, after=seconds(1))),
    ("start_timer.when", timer()),
    ("start_timer.after", timer(after=seconds(-1))),
    ("start_timer.after", timer(after=Duration(nanos=-1, seconds=1))),
    ("start_timer.at", timer(at=Timestamp(seconds=-1))),
    ("cancel_timer.timer_id", pb.Command(cancel_timer=pb.CancelTimerCommand())),
    ("start_child.run_id", child(run_id="")),
    ("start_child.workflow", child(workflow="")),
    ("start_child.input.data", child(input=BIG)),
    ("start_child.attributes", child(attributes={"": "x"})),
    ("set_attributes.attributes", attributes(x="x" * 1025)),
    ("set_attributes.attributes", attributes(**{f"n{i}": "x" for i in range(65)})),
    ("write_chunks.namespace", chunks(namespace="a b")),
    ("write_chunks.chunks", chunks(chunks=[Payload()] * 1025)),
    ("write_chunks.chunks[1].data", chunks(chunks=[Payload(), BIG])),
    ("complete_run.output.data", pb.Command(complete_run=pb.CompleteRunCommand(output=BIG))),
    (
        "fail_run.failure.type",
        pb.Command(fail_run=pb.FailRunCommand(failure=Failure(type=LONG))),
    ),
]


@pytest.mark.parametrize(
    ("field", "command"), BAD_COMMANDS, ids=[f"{n}-{f}" for n, (f, _) in enumerate(BAD_COMMANDS)]
)
def test_a_bad_command_is_named_and_none_is_applied(
    api: Api, field: str, command: pb.Command
) -> None:
    run_id = start(api)
    with connected(api) as worker:
        turn = worker.turn()
        told = refusal(worker.complete_turn, turn, schedule("step-0"), command)
        assert list(told.fields) == [f"commands[1].{field}"]
        assert told.code == grpc.StatusCode.INVALID_ARGUMENT
        assert api.run(run_id).last_seq == turn.last_seq
        assert queues(api)["charge"].length == 0
        worker.complete_turn(turn, complete())


def test_an_end_is_the_last_command(api: Api) -> None:
    start(api)
    failed = pb.Command(fail_run=pb.FailRunCommand(failure=Failure(type="E")))
    with connected(api) as worker:
        turn = worker.turn()
        for end, name in ((complete(), "complete_run"), (failed, "fail_run")):
            told = refusal(worker.complete_turn, turn, end, schedule())
            assert list(told.fields) == [f"commands[0].{name}"]


def test_too_many_commands(api: Api) -> None:
    start(api)
    with connected(api) as worker:
        turn = worker.turn()
        told = refusal(worker.complete_turn, turn, *[schedule(f"s-{n}") for n in range(1025)])
        assert list(told.fields) == ["commands"]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("project", "no spaces"),
        ("run_id", ""),
        ("worker_id", ""),
        ("worker_id", ID),
        ("turn_id", ""),
        ("turn_id", "ü"),
        ("version", "a b"),
    ],
)
def test_a_bad_turn(api: Api, field: str, value: str) -> None:
    request = pb.CompleteTurnRequest(
        project=api.project, run_id="r", worker_id="w", turn_id="t", incarnation=1
    )
    setattr(request, field, value)
    told = refusal(Worker(api).stub.CompleteTurn, request)
    assert list(told.fields) == [field]


BAD_REPORTS: list[tuple[str, dict[str, Any]]] = [
    ("result", {}),
    ("worker_id", {"worker_id": "", "output": Payload()}),
    ("step.run_id", {"step": pb.StepRef(step_id="s", attempt=1), "output": Payload()}),
    ("step.step_id", {"step": pb.StepRef(run_id="r", attempt=1), "output": Payload()}),
    ("step.attempt", {"step": pb.StepRef(run_id="r", step_id="s"), "output": Payload()}),
    ("output.data", {"output": BIG}),
    ("failure.failure.type", {"failure": pb.StepFailure(failure=Failure(type=LONG))}),
    ("failure.retry_after", {"failure": pb.StepFailure(retry_after=seconds(-1))}),
]


@pytest.mark.parametrize(
    ("field", "fields"), BAD_REPORTS, ids=[f"{n}-{f}" for n, (f, _) in enumerate(BAD_REPORTS)]
)
def test_a_bad_report_of_a_step(api: Api, field: str, fields: dict[str, Any]) -> None:
    known = {
        "project": api.project,
        "worker_id": "w",
        "step": pb.StepRef(run_id="r", step_id="s", attempt=1),
    }
    request = pb.CompleteStepRequest(**{**known, **fields})
    told = refusal(Worker(api).stub.CompleteStep, request)
    assert list(told.fields) == [field]


def served(name: str, version: str = "v1") -> pb.ServedWorkflow:
    return pb.ServedWorkflow(name=name, version=version)


BAD_POLLS: list[tuple[str, dict[str, Any]]] = [
    ("worker_id", {"worker_id": ""}),
    ("worker_id", {"worker_id": ID}),
    ("name", {"name": LONG}),
    ("workflows", {"workflows": [served(f"w{n}") for n in range(1025)]}),
    ("workflows[0].name", {"workflows": [served("")]}),
    ("workflows[0].name", {"workflows": [served(LONG)]}),
    ("workflows[1].version", {"workflows": [served("a"), served("b", "v 1")]}),
    ("workflows[1].name", {"workflows": [served("a"), served("a", "v2")]}),
    ("steps", {"steps": [f"s{n}" for n in range(4097)]}),
    ("steps[1]", {"steps": ["a", ""]}),
    ("max_turns", {"max_turns": 10_001}),
    ("max_steps", {"max_steps": 4_000_000_000}),
    ("held_steps[0].attempt", {"held_steps": [pb.StepRef(run_id="r", step_id="s")]}),
]


@pytest.mark.parametrize(
    ("field", "fields"), BAD_POLLS, ids=[f"{n}-{f}" for n, (f, _) in enumerate(BAD_POLLS)]
)
def test_a_bad_poll(api: Api, field: str, fields: dict[str, Any]) -> None:
    request = pb.PollRequest(**{"project": api.project, "worker_id": "w", **fields})
    with pytest.raises(grpc.RpcError) as error:
        list(Worker(api).stub.Poll(request))
    assert list(Refusal(error.value).fields) == [field]
    assert queues(api) == {}


def test_bad_heartbeats(api: Api) -> None:
    stub = Worker(api).stub
    for field, fields in (
        ("worker_id", {"worker_id": ""}),
        ("run_ids[0]", {"run_ids": [""]}),
        ("steps[0].step_id", {"steps": [pb.StepRef(run_id="r", attempt=1)]}),
        ("run_ids", {"run_ids": ["r"] * 10_001}),
    ):
        request = pb.HeartbeatRequest(**{"worker_id": "w", **fields})  # type: ignore[arg-type]
        assert list(refusal(stub.Heartbeat, request).fields) == [field]


def test_a_heartbeat_about_what_is_not_there(api: Api) -> None:
    ghost = pb.StepTask(run_id="nobody", step_id="step-1", attempt=1)
    assert Worker(api).heartbeat([ghost], [pb.TurnTask(run_id="nobody")]) == [ref(ghost)]
