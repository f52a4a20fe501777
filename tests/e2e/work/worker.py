"""A worker that does what a test tells it, and nothing else."""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import grpc
from hookd.v1 import worker_service_pb2 as pb
from hookd.v1.common_pb2 import WAIT_KIND_UNSPECIFIED, Failure, Payload, Wait
from hookd.v1.events_pb2 import Event, RetryPolicy
from hookd.v1.run_service_pb2 import GetRunRequest
from hookd.v1.worker_service_pb2_grpc import WorkerServiceStub

from tests.support.api import Api, json_payload, unique
from tests.support.concurrency import eventually

#: Seconds that a test waits for what must come.
PATIENCE = 30.0


def kinds(events: Sequence[Event]) -> list[str]:
    """What happened in some events."""
    return [str(event.WhichOneof("data")) for event in events]


def schedule(
    step_id: str = "step-1", name: str = "charge", text: str = "1", **retry: Any
) -> pb.Command:
    """A step is to be executed."""
    return pb.Command(
        schedule_step=pb.ScheduleStepCommand(
            step_id=step_id, name=name, input=json_payload(text), retry=RetryPolicy(**retry)
        )
    )


def cancel_step(step_id: str = "step-1") -> pb.Command:
    """A step is not waited for any more."""
    return pb.Command(cancel_step=pb.CancelStepCommand(step_id=step_id))


def complete(text: str = "1") -> pb.Command:
    """The run has ended with an output."""
    return pb.Command(complete_run=pb.CompleteRunCommand(output=json_payload(text)))


class Worker:
    """A worker at the other end of a channel; see ``connected``.

    Args:
        api: the daemon, and the project.
        workflows: names and versions of the workflows it serves.
        steps: the steps it serves.
        worker_id: its id; a new one if empty.
        offer: more fields of its ``PollRequest``.

    Attributes:
        welcome: what it was told first.
    """

    def __init__(
        self,
        api: Api,
        workflows: Mapping[str, str] | None = None,
        steps: Sequence[str] = ("charge",),
        worker_id: str = "",
        **offer: Any,
    ) -> None:
        self.api = api
        self.stub = WorkerServiceStub(api.channel)
        self.worker_id = worker_id or unique("worker")
        self.welcome: pb.Welcome | None = None
        served = {"flow": "v1"} if workflows is None else workflows
        offer.setdefault("name", self.worker_id)
        offer.setdefault("max_turns", 4)
        offer.setdefault("max_steps", 4)
        self.request = pb.PollRequest(
            project=api.project,
            worker_id=self.worker_id,
            workflows=[pb.ServedWorkflow(name=n, version=v) for n, v in served.items()],
            steps=steps,
            **offer,
        )
        self._turns: queue.Queue[pb.TurnTask] = queue.Queue()
        self._steps: queue.Queue[pb.StepTask] = queue.Queue()
        self._dropped: queue.Queue[pb.StepRef] = queue.Queue()
        self._ended: queue.Queue[grpc.StatusCode] = queue.Queue()
        self._stream: Any = None

    def connect(self) -> Worker:
        """Opens the stream; returns when it is welcome."""
        self._stream = self.stub.Poll(self.request)
        self.welcome = next(self._stream).welcome
        threading.Thread(target=self._read, args=(self._stream,), daemon=True).start()
        return self

    def _read(self, stream: Any) -> None:
        try:
            for item in stream:
                kind = item.WhichOneof("item")
                {"turn": self._turns, "step": self._steps, "dropped_step": self._dropped}[kind].put(
                    getattr(item, kind)
                )
            self._ended.put(grpc.StatusCode.OK)
        except grpc.RpcError as error:
            self._ended.put(error.code())

    def disconnect(self) -> None:
        """Ends the stream, as a lost connection would."""
        self._stream.cancel()

    def ended(self) -> grpc.StatusCode:
        """How the stream has ended; waits for that."""
        return self._ended.get(timeout=PATIENCE)

    def turn(self) -> pb.TurnTask:
        """The next turn that it is handed."""
        return self._turns.get(timeout=PATIENCE)

    def step(self) -> pb.StepTask:
        """The next step that it is handed."""
        return self._steps.get(timeout=PATIENCE)

    def dropped(self) -> pb.StepRef:
        """The next attempt that it need not finish."""
        return self._dropped.get(timeout=PATIENCE)

    def has_turns(self) -> int:
        """How many turns it was handed that were not looked at."""
        return self._turns.qsize()

    def has_steps(self) -> int:
        """How many steps it was handed that were not looked at."""
        return self._steps.qsize()

    def complete_turn(
        self, turn: pb.TurnTask, *commands: pb.Command, seen_seq: int = 0, **more: Any
    ) -> pb.CompleteTurnResponse:
        """Completes a turn that has seen all events of its task, or so many."""
        more.setdefault("turn_id", unique("turn"))
        return self.stub.CompleteTurn(
            pb.CompleteTurnRequest(
                project=self.api.project,
                worker_id=self.worker_id,
                run_id=turn.run_id,
                incarnation=turn.incarnation,
                seen_seq=seen_seq or turn.last_seq,
                commands=commands,
                **more,
            )
        )

    def complete_step(
        self, step: pb.StepTask, text: str = "1", **more: Any
    ) -> pb.CompleteStepResponse:
        """Reports the output of a step, or what ``more`` says."""
        if not more.keys() & {"failure", "hand_back"}:
            more["output"] = json_payload(text)
        return self.stub.CompleteStep(
            pb.CompleteStepRequest(
                project=self.api.project,
                worker_id=self.worker_id,
                step=ref(step),
                incarnation=step.incarnation,
                **more,
            )
        )

    def fail_step(
        self, step: pb.StepTask, message: str = "broken", **more: Any
    ) -> pb.CompleteStepResponse:
        """Reports that an attempt failed."""
        failure = Failure(type="Error", message=message)
        return self.complete_step(step, failure=pb.StepFailure(failure=failure, **more))

    def heartbeat(
        self, steps: Sequence[pb.StepTask] = (), turns: Sequence[pb.TurnTask] = ()
    ) -> list[pb.StepRef]:
        """Says what it is at; returns what it need not do any more."""
        request = pb.HeartbeatRequest(
            project=self.api.project,
            worker_id=self.worker_id,
            steps=[ref(step) for step in steps],
            run_ids=[turn.run_id for turn in turns],
        )
        return list(self.stub.Heartbeat(request).dropped_steps)


def ref(step: pb.StepTask) -> pb.StepRef:
    """The attempt that a task is about."""
    return pb.StepRef(run_id=step.run_id, step_id=step.step_id, attempt=step.attempt)


@contextlib.contextmanager
def connected(api: Api, *args: Any, **kwargs: Any) -> Iterator[Worker]:
    """A worker whose stream is open inside the ``with`` block; see ``Worker``."""
    worker = Worker(api, *args, **kwargs).connect()
    try:
        yield worker
    finally:
        worker.disconnect()


def start(api: Api, run_id: str = "", workflow: str = "flow", **more: Any) -> str:
    """Starts a run for workers; returns its id."""
    return api.start(run_id, workflow, external=False, **more).run.run_id


def queues(api: Api) -> dict[str, pb.Queue]:
    """The queues of the project by their names."""
    stub = WorkerServiceStub(api.channel)
    return {q.name: q for q in stub.ListQueues(pb.ListQueuesRequest(project=api.project)).queues}


def leased(api: Api, name: str, count: int) -> None:
    """Waits until so much of a queue is leased."""

    def look() -> bool:
        return name in queues(api) and queues(api)[name].leased == count

    eventually(look)


def waits(api: Api, run_id: str) -> list[Wait]:
    """What a run waits for."""
    request = GetRunRequest(project=api.project, run_id=run_id, with_waits=True)
    found = list(api.runs.GetRun(request).waits)
    assert all(wait.kind != WAIT_KIND_UNSPECIFIED for wait in found)
    return found


def text_of(payload: Payload) -> str:
    """A payload as text."""
    return payload.data.decode()
