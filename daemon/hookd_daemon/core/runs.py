"""A run inside a transaction: its record and its log."""

from __future__ import annotations

from hookd.v1.common_pb2 import RUN_STATUS_PENDING, RUN_STATUS_RUNNING, RunStatus
from hookd.v1.events_pb2 import Event, RunStarted

from hookd_daemon.core import keys, timers, topics, usage
from hookd_daemon.core.moment import Moment
from hookd_daemon.core.overdue import OverdueError
from hookd_daemon.errors import RunNotActiveError, RunNotFoundError, status_name
from hookd_daemon.records.v1.records_pb2 import TIMER_KIND_LEASE, RunRecord, TimerRecord
from hookd_daemon.store.tx import Tx

ACTIVE = (RUN_STATUS_PENDING, RUN_STATUS_RUNNING)


class RunState:
    """A run that a transaction has read and may change.

    Attributes:
        project: where it runs.
        run_id: its id.
        record: its record; ``save`` writes it.
        uid: names the run's records.
        active: True when the run has not ended.
        grown: True when its log has grown in this transaction.
        turn: the turn whose commands are applied, for their events; 0 for none.
    """

    __slots__ = (
        "_events",
        "_hooks",
        "active",
        "grown",
        "project",
        "record",
        "run_id",
        "turn",
        "tx",
        "uid",
    )

    def __init__(self, tx: Tx, project: str, run_id: str, record: RunRecord) -> None:
        self.tx = tx
        self.project = project
        self.run_id = run_id
        self.record = record
        self.uid = record.uid
        self.active = record.status in ACTIVE
        self.grown = False
        self.turn = 0
        self._events = keys.events(record.uid)
        self._hooks = keys.hooks(record.uid)

    def hook_key(self, hook_id: str) -> bytes:
        """The key of a hook of this run."""
        return self._hooks + hook_id.encode()

    def require_active(self) -> None:
        """Raises RunNotActiveError when the run has ended."""
        if not self.active:
            raise RunNotActiveError(self.run_id, self.record.status)

    def append(self, event: Event, moment: Moment) -> int:
        """Adds an event to the log, giving it its position and time; returns the position."""
        event.seq = self.record.last_seq + 1
        event.time.FromMilliseconds(moment.now_ms)
        if self.turn:
            event.turn = self.turn
        size = usage.payload_bytes(event)
        if size:
            self.keep(size)
        self.append_encoded(event.SerializeToString())
        return event.seq

    def append_encoded(self, event: bytes) -> None:
        """Adds an event that has the next position, its time and its turn already."""
        record = self.record
        seq = record.last_seq + 1
        record.last_seq = seq
        self.grown = True
        self.tx.put(self._events + seq.to_bytes(8, "big"), event)

    def keep(self, size: int) -> None:
        """Counts bytes of payloads that are stored until the run is removed."""
        self.record.payload_bytes += size
        self.tx.add(keys.usage(self.project, usage.PAYLOAD_BYTES), size)

    def begin(self, moment: Moment) -> bool:
        """Notes that somebody works on the run; True when it was pending until now."""
        if self.record.status != RUN_STATUS_PENDING:
            return False
        self.set_status(RUN_STATUS_RUNNING)
        self.record.started_ms = moment.now_ms
        self.append(Event(run_started=RunStarted()), moment)
        return True

    def set_status(self, status: RunStatus.ValueType) -> None:
        """Changes the status, in the list of runs by status, too."""
        record = self.record
        age = keys.age(record.created_ms, record.uid)
        if record.status:
            self.tx.delete(keys.runs_by_status(self.project, record.status) + age)
            self.tx.tally(f"runs.{status_name(record.status)}", -1)
        self.tx.put(keys.runs_by_status(self.project, status) + age, self.run_id.encode())
        self.tx.tally(f"runs.{status_name(status)}")
        change = (status in ACTIVE) - (record.status in ACTIVE)
        if change:
            self.tx.add(keys.usage(self.project, usage.ACTIVE_RUNS), change)
        record.status = status
        self.active = status in ACTIVE

    def save(self) -> None:
        """Writes the record, and wakes who watches the log."""
        self.write()
        self.tx.notify(topics.run_log(self.record.uid))

    def write(self) -> None:
        """Writes the record of a run whose log has not grown."""
        self.tx.put(keys.run(self.project, self.run_id), self.record.SerializeToString())

    def lease_deadline(self, moment: Moment) -> int | None:
        """When the lease lapses, in milliseconds since 1970; None without a lease."""
        ttl = self.record.lease_ttl_ms
        if not ttl:
            return None
        return max(self.record.lease_until_ms, moment.booted_ms + ttl)

    def lease_timer(self) -> TimerRecord:
        """The timer that ends the run when its lease lapses."""
        return TimerRecord(
            kind=TIMER_KIND_LEASE, project=self.project, run_id=self.run_id, run_uid=self.uid
        )

    def set_lease(self, moment: Moment) -> None:
        """Begins a lease; the timer is moved on when it finds the lease kept alive."""
        self.record.lease_until_ms = moment.now_ms + self.record.lease_ttl_ms
        timers.set_timer(self.tx, self.record.lease_until_ms, self.lease_timer())


async def find_run(tx: Tx, moment: Moment, project: str, run_id: str) -> RunState | None:
    """Reads a run; None when there is none.

    Raises:
        OverdueError: its lease has lapsed and the run has not been ended yet.
    """
    value = await tx.get(keys.run(project, run_id))
    if value is None:
        return None
    run = RunState(tx, project, run_id, RunRecord.FromString(value))
    if run.active:
        deadline = run.lease_deadline(moment)
        if deadline is not None and deadline <= moment.now_ms:
            raise OverdueError(run.lease_timer())
        run.record.lease_until_ms = deadline or 0
    return run


async def load_run(tx: Tx, moment: Moment, project: str, run_id: str) -> RunState:
    """Reads a run.

    Raises:
        RunNotFoundError: there is none.
        OverdueError: its lease has lapsed and the run has not been ended yet.
    """
    run = await find_run(tx, moment, project, run_id)
    if run is None:
        raise RunNotFoundError(run_id)
    return run


async def read_event(tx: Tx, run: RunState, seq: int) -> Event:
    """Reads an event of a run's log that is there."""
    value = await tx.get(keys.events(run.uid) + keys.number(seq))
    if value is None:
        raise RuntimeError(f"the log of run {run.run_id} has no event {seq}")
    return Event.FromString(value)
