"""Completing turns: what the code of a run wants done, in its order, all or none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from hookd.v1.events_pb2 import Event

from hookd_daemon.core.commands import Applied, Command, apply_command
from hookd_daemon.core.moment import Moment
from hookd_daemon.core.queues import dequeue_turn, enqueue_turn
from hookd_daemon.core.runs import RunState, load_run
from hookd_daemon.core.steps import LeasedStep, begin_attempt
from hookd_daemon.core.turn_tasks import LeasedTurn, lease_turn, read_log
from hookd_daemon.errors import Conflict, InvalidArgumentError, StaleTurnError
from hookd_daemon.store.tx import Tx

__all__ = ["LeasedTurn", "TurnOutcome", "TurnSpec", "complete_turn", "lease_turn"]


@dataclass(frozen=True, slots=True)
class TurnSpec:
    """What a worker reports of a turn.

    Attributes:
        run_id: the run.
        incarnation: tells it from an earlier run with its id.
        turn_id: the key of a retry.
        seen_seq: the last event that the code has seen.
        commands: what the code wants done, in its order.
        awaits_claims: the code waits to be told about a hook it creates.
        version: the version of the code.
        take_from: the names of steps that the worker executes.
        take_steps: how many of the steps it schedules it takes at once.
    """

    run_id: str
    incarnation: int
    turn_id: str
    seen_seq: int
    commands: Sequence[Command]
    awaits_claims: bool = False
    version: str = ""
    take_from: frozenset[str] = frozenset()
    take_steps: int = 0


@dataclass(slots=True)
class TurnOutcome:
    """What became of a turn.

    Attributes:
        run: the run.
        events: the events after the position that the code had seen, cut
            where they become too many.
        goes_on: the code can do something with them.
        steps: the steps that the worker is to execute.
        conflicts: the claims that were lost.
        repeated: the turn had been completed before.
    """

    run: RunState
    events: list[Event]
    goes_on: bool
    steps: list[LeasedStep] = field(default_factory=list)
    conflicts: list[Conflict] = field(default_factory=list)
    repeated: bool = False


async def complete_turn(tx: Tx, moment: Moment, project: str, spec: TurnSpec) -> TurnOutcome:
    """Applies the commands of a turn.

    Raises:
        RunNotFoundError: there is no such run.
        RunNotActiveError: it has ended, and this is no retry of what ended it.
        StaleTurnError: another turn was completed after ``seen_seq``.
        InvalidArgumentError: a command cannot be applied to this run.
        IdReusedError: a command makes something that is there already.
    """
    run = await load_run(tx, moment, project, spec.run_id)
    record = run.record
    if run.uid != spec.incarnation:
        raise StaleTurnError(spec.run_id, "this is another run with the id of the one before")
    if spec.turn_id == record.turn_id:
        return await _repeated(run, spec)
    run.require_active()
    if record.external:
        raise InvalidArgumentError("run_id", "is a run that is driven from outside")
    if record.command_seq > spec.seen_seq:
        raise StaleTurnError(
            spec.run_id,
            f"a turn was completed up to event {record.command_seq}; "
            f"this one has seen {spec.seen_seq}",
        )
    if spec.seen_seq > record.last_seq:
        raise StaleTurnError(
            spec.run_id, f"its log ends at {record.last_seq}, before {spec.seen_seq}"
        )
    run.begin(moment)
    record.turn += 1
    record.turn_id = spec.turn_id
    record.seen_seq = spec.seen_seq
    if spec.version:
        record.version = spec.version
    run.turn = record.turn
    applied = Applied()
    for at, command in enumerate(spec.commands):
        if not run.active:
            raise InvalidArgumentError(f"commands[{at}]", "comes after the end of the run")
        await apply_command(run, moment, at, command, applied)
    run.turn = 0
    if spec.commands:
        # An end is the last event: it stands there also when the run has saved itself.
        record.command_seq = record.last_seq
    tx.tally("turns")
    outcome = TurnOutcome(
        run, [], _goes_on(run, spec, lost=bool(applied.conflicts)), conflicts=applied.conflicts
    )
    outcome.steps = _take(run, moment, spec, applied)
    if run.active:
        if outcome.goes_on:
            enqueue_turn(run, moment)
        else:
            dequeue_turn(run)
    run.save()
    outcome.events = await read_log(run, spec.seen_seq)
    return outcome


def _goes_on(run: RunState, spec: TurnSpec, *, lost: bool) -> bool:
    """Whether there is something new for the code, such as a claim that was lost."""
    return run.active and (lost or run.record.wake_seq > spec.seen_seq or spec.awaits_claims)


async def _repeated(run: RunState, spec: TurnSpec) -> TurnOutcome:
    """The first answer again; what has come since is in it, too."""
    events = await read_log(run, run.record.seen_seq)
    # The steps that were leased with the first answer are not in this one: the
    # worker does not know of them, and they are offered again.
    return TurnOutcome(run, events, run.active and bool(run.record.queued), repeated=True)


def _take(run: RunState, moment: Moment, spec: TurnSpec, applied: Applied) -> list[LeasedStep]:
    """Hands the steps that this turn has scheduled to its worker, as far as it wants them."""
    if not run.active:
        return []
    wanted = [
        (step_id, step, event)
        for step_id, (step, event) in applied.steps.items()
        if step.name in spec.take_from
    ]
    return [
        begin_attempt(run, moment, step_id, step, event)
        for step_id, step, event in wanted[: spec.take_steps]
    ]
