"""Plays the daemon's part for one run, and replays its log after every event.

A test says what comes from outside (payloads, results, time); the commands of
the code become events by themselves. After each event the whole log is fed to
a fresh execution: it must want the very same things as the one that was there
all the time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from hookd.payload import decode, encode
from hookd.v1 import common_pb2, events_pb2, webhook_pb2
from hookd.v1 import worker_service_pb2 as pb
from hookd.v1.errors_pb2 import HookConflict
from hookd.v1.events_pb2 import Event
from hookd.workflows.definition import Workflow
from hookd.workflows.execution import Execution
from hookd.workflows.failures import to_failure

SEED = bytes(range(32))
RUN_ID = "run-1"
START = 1_700_000_000_000
MOST_ROUNDS = 10_000
BASE_URL = "http://127.0.0.1:4666"


def execution_of(workflow: Workflow[..., Any], *, run_id: str = RUN_ID, seed: bytes = SEED):
    return Execution(workflow, run_id=run_id, project="blue", seed=seed)


class Story:
    """One run, its log, and its execution in a worker that keeps it warm."""

    def __init__(
        self,
        workflow: Workflow[..., Any] | Callable[..., Any],
        *args: Any,
        claims: Iterable[str] = (),
        webhook: webhook_pb2.Webhook | None = None,
        base_url: str = BASE_URL,
        taken: Iterable[str] = (),
        run_id: str = RUN_ID,
        seed: bytes = SEED,
        replays: bool = True,
        begin: bool = True,
    ) -> None:
        self.workflow = workflow if isinstance(workflow, Workflow) else Workflow(workflow)
        self.run_id = run_id
        self.seed = seed
        self.replays = replays
        self.events: list[Event] = []
        self.live = self.fresh()
        self.now_ms = START
        self.turns = 0
        self.taken = {token: self._owner(token) for token in taken}
        self.refused_runs: set[str] = set()
        self.hooks: dict[str, str] = {}
        self.received: dict[str, int] = {}
        self.answers: dict[tuple[str, int], webhook_pb2.HttpResponse] = {}
        self.steps: dict[str, pb.ScheduleStepCommand] = {}
        self.timers: dict[str, int] = {}
        self.children: dict[str, pb.StartChildCommand] = {}
        self.ended: Event | None = None
        created = events_pb2.RunCreated(
            workflow=self.workflow.workflow_name, webhook_base_url=base_url
        )
        if args:
            created.input.CopyFrom(encode(list(args), "args"))
        self.append(run_created=created)
        for number, token in enumerate(claims, 1):
            self.hooks[token] = f"claim-{number}"
            self.append(f"claim-{number}", hook_created=self._hook_created(token, webhook))
        if begin:
            self.begin()

    def begin(self) -> None:
        """A worker takes the run."""
        self.append(run_started=events_pb2.RunStarted())
        self.settle()

    def fresh(self) -> Execution:
        return execution_of(self.workflow, run_id=self.run_id, seed=self.seed)

    # The log

    def append(self, correlation_id: str = "", *, turn: int = 0, **data: Any) -> None:
        """Appends an event, and shows it to the execution."""
        self.now_ms += 1
        event = Event(seq=len(self.events) + 1, correlation_id=correlation_id, turn=turn, **data)
        event.time.FromMilliseconds(self.now_ms)
        self.events.append(event)
        self.live.feed([event])
        if self.replays:
            self.check_replay()

    def check_replay(self) -> None:
        """Makes sure that another worker would come to the same."""
        other = self.fresh()
        other.feed(self.events)
        assert told(other) == told(self.live)
        other.discard()

    def turn(self) -> bool:
        """Completes one turn: what the code wants becomes events. Tells whether it goes on."""
        commands = self.live.commands()
        awaits = self.live.awaits_claims
        if not commands:
            return False
        self.turns += 1
        before = len(self.events)
        for command in commands:
            kind = command.WhichOneof("command")
            assert kind is not None
            getattr(self, f"_{kind}")(getattr(command, kind))
        return awaits or any(e.HasField("hook_conflict") for e in self.events[before:])

    def settle(self) -> Story:
        """Completes turns until the run is put aside."""
        while self.live.commands():
            before = self.live.awaits_claims
            on = self.turn()
            if self.live.commands():
                assert on, f"nobody would have told the code (awaits: {before})"
        return self

    # What comes from outside

    def payload(self, token: str, value: Any) -> Story:
        """Delivers a payload; the turn is not completed."""
        id = self.hooks[token]
        self.received[id] = seq = self.received.get(id, 0) + 1
        received = events_pb2.HookReceived(payload=encode(value, "value"), payload_seq=seq)
        self.append(id, hook_received=received)
        return self

    def answer(self, token: str, payload_seq: int, response: webhook_pb2.HttpResponse) -> Story:
        """Somebody else answers a request to a webhook."""
        id = self.hooks[token]
        self.answers[id, payload_seq] = response
        said = events_pb2.WebhookResponded(payload_seq=payload_seq, response=response)
        self.append(id, webhook_responded=said)
        return self

    def expire(self, token: str) -> Story:
        return self._dispose_outside(token, events_pb2.DISPOSE_CAUSE_EXPIRED)

    def dispose(self, token: str) -> Story:
        return self._dispose_outside(token, events_pb2.DISPOSE_CAUSE_REQUESTED)

    def complete(self, step: str, value: Any = None) -> Story:
        """Reports the result of the oldest open step with this name or id."""
        id = self._step(step)
        name = self.steps.pop(id).name
        done = events_pb2.StepCompleted(name=name, output=encode(value, "value"), attempt=1)
        self.append(id, step_completed=done)
        return self

    def fail(self, step: str, error: BaseException, attempt: int = 4) -> Story:
        id = self._step(step)
        name = self.steps.pop(id).name
        failed = events_pb2.StepFailed(name=name, failure=to_failure(error), attempt=attempt)
        self.append(id, step_failed=failed)
        return self

    def advance(self, seconds: float, *, settle: bool = True) -> Story:
        """Lets time pass; timers fire when theirs has come."""
        end = self.now_ms + round(seconds * 1000)
        while self.timers:
            due, id = min((due, id) for id, due in self.timers.items())
            if due > end:
                break
            self.fire(id)
            if settle:
                self.settle()
        self.now_ms = max(self.now_ms, end)
        return self

    def fire(self, id: str) -> Story:
        self.now_ms = max(self.now_ms, self.timers.pop(id) - 1)
        self.append(id, timer_fired=events_pb2.TimerFired())
        return self

    def end_child(
        self,
        run_id: str,
        value: Any = None,
        *,
        error: BaseException | None = None,
        cancelled: str | None = None,
    ) -> Story:
        del self.children[run_id]
        ended = events_pb2.ChildEnded(status=common_pb2.RUN_STATUS_COMPLETED)
        if error is not None:
            ended.status = common_pb2.RUN_STATUS_FAILED
            ended.failure.CopyFrom(to_failure(error))
        elif cancelled is not None:
            ended.status = common_pb2.RUN_STATUS_CANCELLED
            ended.cancel_reason = cancelled
        else:
            ended.output.CopyFrom(encode(value, "value"))
        self.append(run_id, child_ended=ended)
        return self

    def cancel(self) -> Story:
        self.append(run_cancelled=events_pb2.RunCancelled())
        return self

    def go_on(self, steps: dict[str, Callable[..., Any]]) -> Story:
        """Executes steps and lets time pass until nothing happens by itself any more."""
        self.settle()
        for _ in range(MOST_ROUNDS):
            if self.steps:
                id, step = next(iter(self.steps.items()))
                args = decode(step.input)
                try:
                    value = steps[step.name](*args)
                except Exception as error:  # noqa: BLE001 - whatever a test's step raises
                    self.fail(id, error)
                else:
                    self.complete(id, value)
            elif self.timers:
                self.fire(min((due, id) for id, due in self.timers.items())[1])
            else:
                return self
            self.settle()
        raise AssertionError("the run does not come to rest")

    # How it stands

    @property
    def result(self) -> Any:
        """What the run completed with."""
        assert self.ended is not None, f"the run has not ended\n{self.live.stack()}"
        assert self.ended.HasField("run_completed"), self.ended.run_failed.failure.message
        return decode(self.ended.run_completed.output)

    @property
    def failure(self) -> common_pb2.Failure:
        """What the run failed with."""
        assert self.ended is not None, f"the run has not ended\n{self.live.stack()}"
        assert self.ended.HasField("run_failed"), self.ended
        return self.ended.run_failed.failure

    @property
    def kinds(self) -> list[str]:
        """The types of the events that the code has caused."""
        return [str(event.WhichOneof("data")) for event in self.events if event.turn]

    def last(self, kind: str) -> Event:
        return next(each for each in reversed(self.events) if each.WhichOneof("data") == kind)

    # What commands become

    def _create_hook(self, spec: common_pb2.HookSpec) -> None:
        owner = self.taken.get(spec.token)
        if owner is not None:
            conflict = events_pb2.HookConflicted(conflict=owner)
            self.append(spec.hook_id, turn=self.turns, hook_conflict=conflict)
            return
        self.hooks[spec.token] = spec.hook_id
        self.taken[spec.token] = self._owner(spec.token, self.run_id)
        webhook = spec.webhook if spec.HasField("webhook") else None
        created = self._hook_created(spec.token, webhook)
        self.append(spec.hook_id, turn=self.turns, hook_created=created)

    def _dispose_hook(self, command: pb.DisposeHookCommand) -> None:
        token = next((t for t, id in self.hooks.items() if id == command.hook_id), None)
        disposed = events_pb2.HookDisposed(
            cause=events_pb2.DISPOSE_CAUSE_REQUESTED, already_gone=token is None
        )
        if token is not None:
            del self.hooks[token]
            self.taken.pop(token, None)
        self.append(command.hook_id, turn=self.turns, hook_disposed=disposed)

    def _respond_webhook(self, command: pb.RespondWebhookCommand) -> None:
        key = (command.hook_id, command.payload_seq)
        assert 1 <= command.payload_seq <= self.received[command.hook_id]
        said = events_pb2.WebhookResponded(payload_seq=command.payload_seq)
        if key in self.answers:
            said.already_answered = True
        else:
            self.answers[key] = command.response
            said.response.CopyFrom(command.response)
        self.append(command.hook_id, turn=self.turns, webhook_responded=said)

    def _schedule_step(self, command: pb.ScheduleStepCommand) -> None:
        self.steps[command.step_id] = command
        scheduled = events_pb2.StepScheduled(name=command.name, input=command.input)
        self.append(command.step_id, turn=self.turns, step_scheduled=scheduled)

    def _cancel_step(self, command: pb.CancelStepCommand) -> None:
        gone = self.steps.pop(command.step_id, None) is None
        cancelled = events_pb2.StepCancelled(already_ended=gone)
        self.append(command.step_id, turn=self.turns, step_cancelled=cancelled)

    def _start_timer(self, command: pb.StartTimerCommand) -> None:
        if command.WhichOneof("when") == "at":
            due = command.at.ToMilliseconds()
        else:
            due = self.now_ms + 1 + command.after.ToMilliseconds()
        self.timers[command.timer_id] = due
        started = events_pb2.TimerStarted()
        started.fires_at.FromMilliseconds(due)
        self.append(command.timer_id, turn=self.turns, timer_started=started)

    def _cancel_timer(self, command: pb.CancelTimerCommand) -> None:
        gone = self.timers.pop(command.timer_id, None) is None
        cancelled = events_pb2.TimerCancelled(already_fired=gone)
        self.append(command.timer_id, turn=self.turns, timer_cancelled=cancelled)

    def _start_child(self, command: pb.StartChildCommand) -> None:
        refused = command.run_id in self.refused_runs
        if not refused:
            self.children[command.run_id] = command
            self.refused_runs.add(command.run_id)
        started = events_pb2.ChildStarted(workflow=command.workflow, refused=refused)
        self.append(command.run_id, turn=self.turns, child_started=started)

    def _set_attributes(self, command: pb.SetAttributesCommand) -> None:
        attributes = events_pb2.AttributesSet(attributes=command.attributes)
        self.append(turn=self.turns, attributes_set=attributes)

    def _write_chunks(self, command: pb.WriteChunksCommand) -> None:
        written = events_pb2.ChunksWritten(
            namespace=command.namespace, count=len(command.chunks), closed=command.close
        )
        self.append(turn=self.turns, chunks_written=written)

    def _complete_run(self, command: pb.CompleteRunCommand) -> None:
        self.append(turn=self.turns, run_completed=events_pb2.RunCompleted(output=command.output))
        self.ended = self.events[-1]

    def _fail_run(self, command: pb.FailRunCommand) -> None:
        self.append(turn=self.turns, run_failed=events_pb2.RunFailed(failure=command.failure))
        self.ended = self.events[-1]

    def _dispose_outside(self, token: str, cause: int) -> Story:
        id = self.hooks.pop(token)
        self.taken.pop(token, None)
        self.append(id, hook_disposed=events_pb2.HookDisposed(cause=cause))  # type: ignore[arg-type]
        return self

    def _step(self, step: str) -> str:
        if step in self.steps:
            return step
        return next(id for id, command in self.steps.items() if command.name == step)

    def _hook_created(
        self, token: str, webhook: webhook_pb2.Webhook | None = None
    ) -> events_pb2.HookCreated:
        revision = len(self.events) + 1
        return events_pb2.HookCreated(token=token, revision=revision, webhook=webhook)

    def _owner(self, token: str, run_id: str = "owner") -> HookConflict:
        conflict = HookConflict(
            token=token,
            run_id=run_id,
            hook_id="hook-9",
            run_status=common_pb2.RUN_STATUS_RUNNING,
            workflow="other",
            revision=7,
        )
        conflict.claimed_at.FromMilliseconds(START)
        return conflict


def told(execution: Execution) -> object:
    """Everything that an execution tells a worker, but for the warnings."""
    return (
        execution.seen_seq,
        execution.finished,
        execution.awaits_claims,
        execution.forgotten_tasks,
        [command.SerializeToString(deterministic=True) for command in execution.commands()],
    )


def play(workflow: Any, *args: Any, steps: dict[str, Callable[..., Any]] | None = None, **kw: Any):
    """Runs a workflow to where nothing happens by itself any more."""
    return Story(workflow, *args, **kw).go_on(steps or {})
