"""Durable timers: sleeping, and the deadlines that asyncio sets."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from hookd.durations import Seconds, seconds
from hookd.v1 import worker_service_pb2 as pb
from hookd.workflows.context import current
from hookd.workflows.times import wire_duration, wire_time

if TYPE_CHECKING:
    from collections.abc import Callable

    from google.protobuf.duration_pb2 import Duration
    from google.protobuf.timestamp_pb2 import Timestamp

    from hookd.v1.events_pb2 import Event
    from hookd.workflows.commands import Commands, Pending


@dataclass(slots=True, eq=False)
class Timer:
    """A timer that has not fired."""

    id: str
    fire: Callable[[], None]
    pending: Pending


class Timers:
    """The timers of a run that have not fired."""

    def __init__(self, commands: Commands) -> None:
        self._commands = commands
        self._open: dict[str, Timer] = {}

    def start(
        self,
        fire: Callable[[], None],
        *,
        after: Duration | None = None,
        at: Timestamp | None = None,
    ) -> Timer:
        """Starts a timer.

        Args:
            fire: Called when it fires.
            after: When it fires, from now on. That is counted by the daemon: a
                time in which no worker was there is not a part of it.
            at: When it fires.
        """
        id = self._commands.next_id("timer")
        command = pb.Command(start_timer=pb.StartTimerCommand(timer_id=id, after=after, at=at))
        timer = self._open[id] = Timer(id, fire, self._commands.give(command, id))
        return timer

    def cancel(self, timer: Timer) -> None:
        """Takes a timer back, unless it has fired."""
        if self._open.pop(timer.id, None) is None or self._commands.withdraw(timer.pending):
            return
        command = pb.Command(cancel_timer=pb.CancelTimerCommand(timer_id=timer.id))
        self._commands.give(command, timer.id)

    def fired(self, event: Event) -> None:
        """Takes the event that a timer has fired."""
        timer = self._open.pop(event.correlation_id, None)
        if timer is not None:
            timer.fire()

    def clear(self) -> None:
        """Forgets all timers."""
        self._open.clear()


async def sleep(duration: Seconds | datetime) -> None:
    """Waits; the run goes on when the time has come, whatever happens to its worker.

    Only in the code of a workflow.

    Args:
        duration: How long: seconds, a timedelta, or text as "1h30m", "500ms",
            "2 days". Or until when: a datetime with a time zone. Nothing is
            waited for when that is over, or when it is 0.

    Raises:
        InvalidArgumentError: It is nothing of these.
        OutsideWorkflowError: No workflow's code is running here.
    """
    runtime = current("sleep()", "elsewhere there is asyncio.sleep()")
    after = at = None
    if isinstance(duration, datetime):
        at = wire_time(duration, "duration")
        over = duration <= runtime.now
    else:
        length = seconds(duration, "duration")
        after = wire_duration(length)
        over = not length
    future: asyncio.Future[None] = runtime.loop.create_future()

    def fire() -> None:
        if not future.done():
            future.set_result(None)

    if over:
        # Others have their turn, as with asyncio.sleep(0).
        runtime.loop.call_soon(fire)
        await future
        return
    timer = runtime.timers.start(fire, after=after, at=at)
    try:
        await future
    except asyncio.CancelledError:
        runtime.timers.cancel(timer)
        raise
