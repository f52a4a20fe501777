"""Everything that the code of one execution of a run can reach."""

from __future__ import annotations

import asyncio
import contextvars
import traceback
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from hookd.v1 import common_pb2
from hookd.v1 import worker_service_pb2 as pb
from hookd.workflows import places, stacks
from hookd.workflows.children import Children
from hookd.workflows.commands import Commands
from hookd.workflows.context import current_or_none
from hookd.workflows.discard import discard
from hookd.workflows.errors import WorkflowRuleError
from hookd.workflows.failures import to_failure
from hookd.workflows.hook_states import HookStates
from hookd.workflows.loop import WorkflowLoop
from hookd.workflows.matching import mismatch
from hookd.workflows.randomness import Randomness
from hookd.workflows.steps import StepCall, Steps
from hookd.workflows.timers import Timers
from hookd.workflows.times import wire_duration

if TYPE_CHECKING:
    from collections.abc import Callable

    from hookd.v1.events_pb2 import Event
    from hookd.workflows.commands import Pending
    from hookd.workflows.definition import Step, Workflow
    from hookd.workflows.loop import DeadlineHandle

_ENDS = ("run_completed", "run_failed", "run_cancelled")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SECOND = 1_000_000_000
# What a protobuf Duration can hold, about 10,000 years.
_NEVER = 315_576_000_000


class Runtime:
    """The state of an execution, changed by the events of the log, one at a time."""

    def __init__(
        self, workflow: Workflow[..., Any], *, run_id: str, project: str, seed: bytes
    ) -> None:
        self.run_id = run_id
        self.project = project
        self.workflow_name = workflow.workflow_name
        self.webhook_base_url = ""
        self._workflow = workflow
        self.randomness = Randomness(seed)
        self.commands = Commands()
        self.timers = Timers(self.commands)
        self.steps = Steps(self.commands)
        self.children = Children(self.commands, run_id)
        self.hooks = HookStates(self.commands, self.randomness.token)
        # Much of what a loop must have for a type checker is refused by this one.
        make_loop: Any = WorkflowLoop
        self.loop: WorkflowLoop = make_loop(self, self.randomness.salt)
        self.seen_seq = 0
        self.finished = False
        self.discarded = False
        self.forgotten_tasks: list[str] = []
        self.started_at: datetime | None = None
        self._time = 0
        self._input: common_pb2.Payload | None = None
        self._main: asyncio.Task[Any] | None = None
        self._notes: list[dict[str, Any]] = []
        self._incoming: dict[str, Callable[[Event], None]] = {
            "run_created": self._created,
            "run_started": self._start,
            **dict.fromkeys(_ENDS, self._ended_outside),
            "hook_created": self.hooks.created_outside,
            "hook_received": self.hooks.received,
            "hook_disposed": self.hooks.disposed,
            "step_completed": self.steps.ended,
            "step_failed": self.steps.ended,
            "timer_fired": self.timers.fired,
            "child_ended": self.children.ended,
        }

    # What the log tells

    def feed(self, event: Event) -> None:
        """Takes the next event, and lets the code go on as far as it can.

        Raises:
            NonDeterminismError: The code does not do what the log says.
        """
        self.seen_seq = event.seq
        time = event.time
        # Clocks are set back; the time of a run is not.
        self._time = max(self._time, time.seconds * _SECOND + time.nanos)
        self.commands.slice += 1
        kind = event.WhichOneof("data") or "unknown to this version of hookd"
        if event.turn:
            self._echo(kind, event)
        elif (take := self._incoming.get(kind)) is not None and (
            not self.finished or kind in _ENDS
        ):
            take(event)
        if not self.loop.idle:
            self._go_on()

    def _echo(self, kind: str, event: Event) -> None:
        if self.commands.echo(kind, event):
            return
        oldest = self.commands.oldest()
        idle = "it has returned" if self.finished else stacks.standing(self._main)
        raise mismatch(self.run_id, self.workflow_name, oldest, kind, event, idle)

    def _created(self, event: Event) -> None:
        created = event.run_created
        self.webhook_base_url = created.webhook_base_url
        if created.HasField("input"):
            self._input = created.input

    def _start(self, event: Event) -> None:
        self.started_at = self.now
        self.hooks.start()
        try:
            args, kwargs = self._workflow.signature.decode_call(self._input)
        except Exception as error:  # noqa: BLE001 - an annotation may run any code
            self._fail(error)
            return
        self._input = None
        self._main = self.loop.create_task(
            self._workflow.function(*args, **kwargs),
            name=self.workflow_name,
            # None of the worker's context variables: a replay would not have them.
            context=contextvars.Context(),
        )

    def _ended_outside(self, event: Event) -> None:
        self.finished = True
        self.commands.clear()
        self._let_go()

    # What the code does

    def _go_on(self) -> None:
        main = self._main
        if main is None or self.finished:
            return
        try:
            self.loop.run_until_quiet(main)
        except (KeyboardInterrupt, SystemExit) as error:
            self._fail(
                WorkflowRuleError(
                    f"The workflow raised {type(error).__name__}",
                    call=type(error).__name__,
                    hint="return, or raise another exception, to end the run",
                )
            )
        else:
            if main.done():
                self._end(main)

    def _end(self, main: asyncio.Task[Any]) -> None:
        if main.cancelled():
            error: BaseException | None = WorkflowRuleError(
                "The workflow cancelled itself",
                call="CancelledError",
                hint="CancelledError came out of its function, although nobody cancelled the run",
            )
        else:
            error = main.exception()
        if error is None:
            try:
                output = self._workflow.signature.encode_result(main.result())
            except Exception as refused:  # noqa: BLE001 - a value may run any code
                error = refused
            else:
                self._finish(pb.Command(complete_run=pb.CompleteRunCommand(output=output)), "")
                return
        self._fail(error)

    def _fail(self, error: BaseException) -> None:
        command = pb.Command(fail_run=pb.FailRunCommand(failure=to_failure(error)))
        self._finish(command, type(error).__name__)

    def _finish(self, command: pb.Command, name: str) -> None:
        self.commands.give(command, name=name)
        self.finished = True
        for task, place in self.loop.made():
            if task is self._main:
                continue
            if not task.done():
                self.forgotten_tasks.append(f"{task.get_name()}{places.text(place)}")
            elif task._log_traceback:
                # Nobody can ask for it any more.
                self.note(
                    {
                        "message": f"The exception of task {task.get_name()}"
                        f"{places.text(place)} was never retrieved",
                        "exception": task.exception(),
                    }
                )
        self._let_go()

    def _let_go(self) -> None:
        """Drops all that the code has left."""
        suspended = self.loop.abandon()
        self._main = None
        for part in (self.timers, self.steps, self.children, self.hooks):
            part.clear()
        discard(suspended)

    def discard(self) -> None:
        """Drops the code wherever it stands, without running any more of it."""
        if not self.discarded:
            self.discarded = True
            self.commands.clear()
            self._let_go()

    # What the code asks for

    def call_step(
        self, step: Step[..., Any], args: tuple[object, ...], kwargs: dict[str, object]
    ) -> StepCall:
        """Gives what to await for the result of a step."""
        return StepCall(self, step, args, kwargs)

    async def echo_of(self, pending: Pending) -> Event:
        """Waits for the event that a command becomes."""
        return await self.commands.echo_of(pending, self.loop)

    def check_here(self, call: str) -> None:
        """Makes sure that it is this execution whose code is running.

        Raises:
            WorkflowRuleError: It is another, or none.
        """
        if current_or_none() is not self:
            raise WorkflowRuleError(
                f"{call} belongs to run {self.run_id}, or to an execution of it that is over",
                call=call,
                hint="use it in the code of that run alone; "
                "keep what a workflow makes in variables of its function, not in global ones",
            )

    @property
    def now(self) -> datetime:
        """The time of the log."""
        return _EPOCH + timedelta(microseconds=self._time // 1000)

    # What the loop asks for

    def time(self) -> float:
        """Gives the time of the log, in seconds."""
        return self._time / _SECOND

    def start_deadline(self, handle: DeadlineHandle) -> None:
        """Makes the handle ready when its time has come."""
        delay = handle.when() - self.time()
        # One without end needs no timer.
        if delay < _NEVER:
            handle.timer = self.timers.start(
                lambda: self.loop.make_ready(handle), after=wire_duration(delay)
            )

    def cancel_deadline(self, handle: DeadlineHandle) -> None:
        """Takes that back."""
        if handle.timer is not None:
            self.timers.cancel(handle.timer)

    def note(self, context: dict[str, Any]) -> None:
        """Takes what nobody handled. Any thread may call it, and an object that dies."""
        # What is dropped with the code is nobody's mistake.
        if not self.loop.is_closed():
            kept = {key: context.get(key) for key in ("message", "exception")}
            kept["about"] = repr(about) if (about := _about(context)) is not None else ""
            self._notes.append(kept)

    # For the worker

    def take_warnings(self) -> list[str]:
        """Gives what nobody handled since the last time, each as text."""
        notes, self._notes = self._notes, []
        return [_warning(note) for note in notes]

    def stack(self) -> str:
        """Gives where the code stands, as text; any thread may ask."""
        return stacks.stack(self.loop)


def _about(context: dict[str, Any]) -> object:
    for key in ("task", "future", "handle"):
        if key in context:
            return context[key]
    return None


def _warning(note: dict[str, Any]) -> str:
    text = str(note["message"])
    if note["about"]:
        text += f": {note['about']}"
    if note["exception"] is not None:
        lines = traceback.format_exception(note["exception"])
        text += "\n" + "".join(lines).rstrip()
    return text
