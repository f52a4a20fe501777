"""Runs that a workflow starts."""

from __future__ import annotations

import asyncio
import hashlib
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from hookd import convert, validate
from hookd.durations import Seconds, seconds
from hookd.enums import RunStatus
from hookd.errors import (
    DeadlineExceededError,
    InvalidArgumentError,
    RunCancelledError,
    RunExistsError,
    RunFailedError,
)
from hookd.payload import decode
from hookd.requests import UNSET, call_signature, run_input, workflow_name
from hookd.run import Run
from hookd.v1 import worker_service_pb2 as pb
from hookd.workflows.owners import no_transport

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hookd.v1.common_pb2 import Payload
    from hookd.v1.events_pb2 import ChildEnded, Event
    from hookd.workflows.commands import Commands, Pending
    from hookd.workflows.loop import WorkflowLoop
    from hookd.workflows.runtime import Runtime
    from hookd.workflows.values import CallSignature

_MOST_ID = 128
_ID = re.compile(r"[!-~]{1,128}")
_MOST_NAME_BYTES = 256


@dataclass(slots=True, eq=False)
class ChildState:
    """A run that was started, and who waits for its end."""

    ended: ChildEnded | None = None
    waiters: list[asyncio.Future[None]] = field(default_factory=list)

    async def end(self, loop: WorkflowLoop) -> ChildEnded:
        """Waits for its end."""
        while self.ended is None:
            waiter = loop.create_future()
            self.waiters.append(waiter)
            await waiter
        return self.ended


class Children:
    """The runs that a run has started and that have not ended."""

    def __init__(self, commands: Commands, run_id: str) -> None:
        self._commands = commands
        self._run_id = run_id
        self._open: dict[str, ChildState] = {}

    def next_run_id(self) -> str:
        """Gives the id of the next child, which belongs to this run and its place in it."""
        suffix = "." + self._commands.next_id("child")
        if len(self._run_id) + len(suffix) <= _MOST_ID:
            return self._run_id + suffix
        digest = hashlib.sha256(self._run_id.encode()).hexdigest()[:32]
        return f"{self._run_id[: _MOST_ID - len(suffix) - 33]}.{digest}{suffix}"

    def start(self, command: pb.StartChildCommand) -> tuple[ChildState, Pending]:
        """Starts a run."""
        state = ChildState()

        def started(event: Event) -> None:
            if not event.child_started.refused:
                self._open[command.run_id] = state

        pending = self._commands.give(
            pb.Command(start_child=command), command.run_id, command.workflow, on_echo=started
        )
        return state, pending

    def ended(self, event: Event) -> None:
        """Takes the event that a child has ended."""
        state = self._open.pop(event.correlation_id, None)
        if state is not None:
            state.ended = event.child_ended
            for waiter in state.waiters:
                if not waiter.done():
                    waiter.set_result(None)
            state.waiters.clear()

    def clear(self) -> None:
        """Forgets all children."""
        self._open.clear()


class ChildRun(Run):
    """A run that this workflow has started; of its methods these two can be used here."""

    def __init__(
        self,
        runtime: Runtime,
        run_id: str,
        state: ChildState,
        signature: CallSignature | None = None,
    ) -> None:
        super().__init__(no_transport(runtime.project), run_id)
        self._signature = signature
        self._runtime = runtime
        self._state = state

    async def status(self) -> RunStatus:
        """Tells where the run stands, as far as this run's log tells: RUNNING, or how it ended."""
        self._runtime.check_here("status()")
        ended = self._state.ended
        return RunStatus.RUNNING if ended is None else convert.run_status(ended.status)

    async def return_value(self, timeout: Seconds | None = None) -> Any:
        """Waits until the run has ended and gives what it completed with.

        Args:
            timeout: How long to wait at most: a durable timer.

        Raises:
            RunFailedError: The run failed.
            RunCancelledError: The run was cancelled.
            DeadlineExceededError: The run has not ended within ``timeout``.
        """
        self._runtime.check_here("return_value()")
        if timeout is None:
            ended = await self._state.end(self._runtime.loop)
        else:
            limit = seconds(timeout, "timeout")
            try:
                async with asyncio.timeout(limit):
                    ended = await self._state.end(self._runtime.loop)
            except TimeoutError:
                raise DeadlineExceededError(
                    f"Run {self.run_id} has not ended within {limit:g} s"
                ) from None
        match convert.run_status(ended.status):
            case RunStatus.COMPLETED:
                return self._value(ended.output if ended.HasField("output") else None)
            case RunStatus.CANCELLED:
                raise RunCancelledError(ended.cancel_reason, run_id=self.run_id)
            case _:
                failure = convert.failure(ended.failure)
                raise RunFailedError(
                    failure.type, failure.message, failure.details, run_id=self.run_id
                )

    def _value(self, output: Payload | None) -> Any:
        if output is None:
            return None
        return decode(output) if self._signature is None else self._signature.decode_result(output)


async def start_child(
    runtime: Runtime,
    workflow: object,
    args: tuple[object, ...],
    kwargs: Mapping[str, object],
    *,
    input: object = UNSET,
    run_id: str | None = None,
    attributes: Mapping[str, str] | None = None,
    cancel_with_parent: bool = True,
) -> ChildRun:
    """Starts a run from the code of a workflow, and waits until it is started.

    Raises:
        RunExistsError: The run id is in use by another run.
        InvalidArgumentError: An argument is wrong.
    """
    name = workflow_name(workflow)
    if len(name.encode()) > _MOST_NAME_BYTES:
        raise InvalidArgumentError.of("workflow", f"must be at most {_MOST_NAME_BYTES} bytes")
    if run_id is not None and not _ID.fullmatch(validate.text(run_id, "run_id")):
        raise InvalidArgumentError.of(
            "run_id", f"must be 1 to {_MOST_ID} visible ASCII characters, not {run_id!r}"
        )
    command = pb.StartChildCommand(
        run_id=runtime.children.next_run_id() if run_id is None else run_id,
        workflow=name,
        input=run_input(workflow, args, kwargs, input),
        attributes=validate.attributes(attributes),
        cancel_with_parent=cancel_with_parent,
    )
    state, pending = runtime.children.start(command)
    event = await runtime.echo_of(pending)
    if event.child_started.refused:
        raise RunExistsError(command.run_id)
    return ChildRun(runtime, command.run_id, state, call_signature(workflow))
