"""Steps, as workflow code calls them."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hookd.v1 import worker_service_pb2 as pb
from hookd.workflows import places
from hookd.workflows.failures import from_failure

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping, Sequence

    from hookd.v1.events_pb2 import Event
    from hookd.workflows.commands import Commands, Pending
    from hookd.workflows.definition import Step
    from hookd.workflows.places import Place
    from hookd.workflows.runtime import Runtime


@dataclass(slots=True, eq=False)
class OpenStep:
    """A step without a result."""

    id: str
    name: str
    pending: Pending
    ended: asyncio.Future[Event]


class Steps:
    """The steps of a run that have no result."""

    def __init__(self, commands: Commands) -> None:
        self._commands = commands
        self._open: dict[str, OpenStep] = {}

    def schedule(
        self,
        step: Step[..., Any],
        args: Sequence[object],
        kwargs: Mapping[str, object],
        place: Place | None,
        ended: asyncio.Future[Event],
    ) -> OpenStep:
        """Has a step executed."""
        payload = step.signature.encode_call(args, kwargs)
        id, name = self._commands.next_id("step"), step.step_name
        command = pb.Command(
            schedule_step=pb.ScheduleStepCommand(
                step_id=id, name=name, input=payload, retry=step.retry.to_wire()
            )
        )
        pending = self._commands.give(command, id, name, place=place)
        opened = self._open[id] = OpenStep(id, name, pending, ended)
        return opened

    def cancel(self, step: OpenStep) -> None:
        """Says that nobody needs the result, unless it is there."""
        if self._open.pop(step.id, None) is None or self._commands.withdraw(step.pending):
            return
        command = pb.Command(cancel_step=pb.CancelStepCommand(step_id=step.id))
        self._commands.give(command, step.id, step.name)

    def ended(self, event: Event) -> None:
        """Takes the event that a step has a result."""
        step = self._open.pop(event.correlation_id, None)
        if step is not None and not step.ended.done():
            step.ended.set_result(event)

    def clear(self) -> None:
        """Forgets all steps."""
        self._open.clear()


class StepCall(Coroutine[Any, Any, Any]):
    """A call of a step: what a coroutine is, to be awaited or made a task of, once.

    Nothing happens before that. When who awaits it is cancelled, the step is.

    It is no native coroutine, so that one which waits for its turn when the
    run is put aside can be dropped without a warning; and in a set it has the
    same place in each process.
    """

    def __init__(
        self,
        runtime: Runtime,
        step: Step[..., Any],
        args: tuple[object, ...],
        kwargs: dict[str, object],
    ) -> None:
        self._runtime = runtime
        self._step = step
        self._args = args
        self._kwargs = kwargs
        self._place = places.here()
        self._hash = runtime.loop.next_hash()
        self._running: Generator[Any, Any, Any] | None = None

    @property
    def __name__(self) -> str:
        return self._step.step_name

    def __hash__(self) -> int:
        return self._hash

    def __await__(self) -> Generator[Any, Any, Any]:
        return self._begin()

    def send(self, value: Any) -> Any:
        """Goes on; see Coroutine."""
        return (self._running or self._begin()).send(value)

    def throw(self, *error: Any) -> Any:
        """Raises inside; see Coroutine."""
        return (self._running or self._begin()).throw(*error)

    def close(self) -> None:
        """Ends it; see Coroutine."""
        (self._running or self._begin()).close()

    def _begin(self) -> Generator[Any, Any, Any]:
        if self._running is not None:
            raise RuntimeError(f'this call of the step "{self._step.step_name}" was awaited before')
        self._running = self._run()
        return self._running

    def _run(self) -> Generator[Any, Any, Any]:
        steps, step = self._runtime.steps, self._step
        self._runtime.check_here("a call of a step")
        opened = steps.schedule(
            step, self._args, self._kwargs, self._place, self._runtime.loop.create_future()
        )
        try:
            event = yield from opened.ended
        except asyncio.CancelledError:
            steps.cancel(opened)
            raise
        if event.HasField("step_completed"):
            return step.signature.decode_result(event.step_completed.output)
        failed = event.step_failed
        raise from_failure(failed.failure, step_name=step.step_name, attempt=failed.attempt)

    def __repr__(self) -> str:
        return f"<call of the step {self._step.step_name!r}{places.text(self._place)}>"

    def __del__(self) -> None:
        if self._running is None:
            self._runtime.note(
                {
                    "message": f'A call of the step "{self._step.step_name}"'
                    f"{places.text(self._place)} was never awaited"
                }
            )
