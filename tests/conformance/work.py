"""A worker that calls the transaction functions themselves, with the time in its hand."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from hookd.v1.common_pb2 import Failure, Payload, RunStatus
from hookd.v1.events_pb2 import Event, RetryPolicy
from hookd.v1.run_service_pb2 import CONFLICT_POLICY_FAIL
from hookd.v1.worker_service_pb2 import (
    CompleteRunCommand,
    QueueKind,
    ScheduleStepCommand,
    StepFailure,
)
from hookd_daemon.core.commands import Command
from hookd_daemon.core.firing import fire_timer
from hookd_daemon.core.moment import Moment
from hookd_daemon.core.overdue import OverdueError
from hookd_daemon.core.queues import STEP, WORKFLOW, Entry, read_queue
from hookd_daemon.core.reading import get_run, list_events
from hookd_daemon.core.starting import StartSpec, start_run
from hookd_daemon.core.steps import (
    LeasedStep,
    Parked,
    StepOutcome,
    StepSpec,
    complete_step,
    lease_step,
)
from hookd_daemon.core.timers import next_timers
from hookd_daemon.core.turns import (
    LeasedTurn,
    TurnOutcome,
    TurnSpec,
    complete_turn,
    lease_turn,
)
from hookd_daemon.store.tx import Store

P = "project"
LEASE_MS = 5_000
END = CompleteRunCommand(output=Payload(data=b"done"))


def step(step_id: str, name: str = "work", *, retries: int = 3) -> ScheduleStepCommand:
    """Schedules a step."""
    return ScheduleStepCommand(
        step_id=step_id,
        name=name,
        input=Payload(data=step_id.encode()),
        retry=RetryPolicy(max_retries=retries),
    )


def failure(kind: str = "ValueError", *, final: bool = False) -> StepFailure:
    """The report of an attempt that failed."""
    return StepFailure(failure=Failure(type=kind, message="no"), final=final)


class Work:
    """A store, the time, and what a worker does.

    Attributes:
        now: milliseconds since 1970; tests move it on.
        booted: when the daemon began.
    """

    def __init__(self, store: Store) -> None:
        self.store = store
        self.now = 1_000_000
        self.booted = 0
        self.turns = 0

    @property
    def moment(self) -> Moment:
        """The moment of a call."""
        return Moment(self.now, self.booted)

    async def call(self, fn: Callable[..., Awaitable[Any]], *args: Any) -> Any:
        """Runs a function as the backend does."""
        while True:
            try:
                return await self.store.transact(fn, self.moment, P, *args)
            except OverdueError as overdue:
                await self.store.transact(fire_timer, self.moment, None, overdue.timer)

    async def start(self, run_id: str = "r", workflow: str = "flow") -> None:
        """Starts a run for workers."""
        spec = StartSpec(
            run_id=run_id,
            workflow=workflow,
            input=Payload(data=b"in"),
            attributes={},
            claims=(),
            policy=CONFLICT_POLICY_FAIL,
            payload=Payload(),
            payload_id="",
            external=False,
            lease_ttl_ms=0,
            digest=run_id.encode(),
            seed=bytes(32),
        )
        await self.call(start_run, spec)

    async def queue(self, kind: QueueKind.ValueType, name: str) -> list[Entry]:
        """What is in a queue."""
        return await self.store.transact(read_queue, P, kind, name, 0, 10_000)

    async def turn(self, workflow: str = "flow", after: int = 0) -> LeasedTurn | None:
        """Takes the first turn of a workflow; None when there is none."""
        for entry in await self.queue(WORKFLOW, workflow):
            leased: LeasedTurn | None = await self.call(lease_turn, entry, after)
            if leased is not None:
                return leased
        return None

    async def complete(
        self, turn: LeasedTurn, *commands: Command, seen: int | None = None, **more: Any
    ) -> TurnOutcome:
        """Completes a turn that has seen all the events it was given."""
        self.turns += 1
        spec = TurnSpec(
            run_id=turn.run.run_id,
            incarnation=turn.run.uid,
            turn_id=more.pop("turn_id", f"turn-{self.turns}"),
            seen_seq=turn.run.record.last_seq if seen is None else seen,
            commands=commands,
            **more,
        )
        outcome: TurnOutcome = await self.call(complete_turn, spec)
        return outcome

    async def step(self, name: str = "work") -> LeasedStep | Parked | None:
        """Takes the first step of a name; None when there is none."""
        for entry in await self.queue(STEP, name):
            leased: LeasedStep | Parked | None = await self.call(lease_step, entry, LEASE_MS)
            if leased is not None:
                return leased
        return None

    async def taken(self, name: str = "work") -> LeasedStep:
        """Takes the first step of a name, which has to be there."""
        leased = await self.step(name)
        assert isinstance(leased, LeasedStep)
        return leased

    async def report(self, leased: LeasedStep, **what: Any) -> StepOutcome:
        """Reports how an attempt went."""
        spec = StepSpec(
            run_id=leased.run.run_id,
            step_id=leased.step_id,
            attempt=what.pop("attempt", leased.record.attempt),
            incarnation=leased.run.uid,
            **what,
        )
        outcome: StepOutcome = await self.call(complete_step, spec)
        return outcome

    async def sweep(self) -> int:
        """Fires the timers that are due; returns how many."""
        due, _ = await self.store.transact(next_timers, b"", self.now, 10_000)
        for key, timer in due:
            await self.store.transact(fire_timer, self.moment, key, timer)
        return len(due)

    async def log(self, run_id: str = "r") -> list[Event]:
        """The log of a run."""
        events: list[Event] = (await self.call(list_events, run_id, 0, 10_000))[1]
        assert [event.seq for event in events] == list(range(1, len(events) + 1))
        return events

    async def kinds(self, run_id: str = "r") -> list[str]:
        """The kinds of the events in a log."""
        return [event.WhichOneof("data") or "" for event in await self.log(run_id)]

    async def status(self, run_id: str = "r") -> RunStatus.ValueType:
        """How a run stands."""
        view = await self.call(get_run, run_id)
        status: RunStatus.ValueType = view.run.record.status
        return status
