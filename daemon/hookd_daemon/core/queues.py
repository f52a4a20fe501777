"""Queues: the runs whose code can go on, and the steps to execute, by their names.

An entry stays in its queue while a worker is at it: who works on what is not
known here. It leaves when there is nothing left to do.
"""

from __future__ import annotations

from dataclasses import dataclass

from hookd.v1.worker_service_pb2 import (
    QUEUE_KIND_STEP,
    QUEUE_KIND_WORKFLOW,
    QueueKind,
)

from hookd_daemon.core import keys, topics
from hookd_daemon.core.moment import Moment
from hookd_daemon.core.runs import RunState
from hookd_daemon.records.v1.records_pb2 import QueueRecord, StepRecord
from hookd_daemon.store.keys import end_of
from hookd_daemon.store.tx import Tx

WORKFLOW = QUEUE_KIND_WORKFLOW
STEP = QUEUE_KIND_STEP


@dataclass(frozen=True, slots=True)
class Entry:
    """Something in a queue.

    Attributes:
        project: where its run is.
        kind: ``WORKFLOW`` for a run whose code can go on, ``STEP`` for a step.
        name: the workflow's, or the step's.
        number: its place; a later entry has a greater one.
        run_id: its run.
        run_uid: names the run's records.
        step_id: the step; empty for a turn.
        since_ms: since when it waits, in milliseconds since 1970.
        version: for a turn, the version of the code that has begun the run;
            empty when none has.
    """

    project: str
    kind: QueueKind.ValueType
    name: str
    number: int
    run_id: str
    run_uid: int
    step_id: str
    since_ms: int
    version: str


def _put(
    tx: Tx, project: str, kind: QueueKind.ValueType, name: str, number: int, record: QueueRecord
) -> None:
    key = keys.queue(project, kind, name) + keys.number(number)
    tx.put(key, record.SerializeToString())
    tx.notify(topics.queue(project, kind, name))


def enqueue_turn(run: RunState, moment: Moment) -> None:
    """Says that the code of a run can go on, unless that was said before."""
    record = run.record
    if record.queued:
        return
    record.queued = run.tx.revision()
    entry = QueueRecord(
        run_id=run.run_id, run_uid=run.uid, since_ms=moment.now_ms, version=record.version
    )
    _put(run.tx, run.project, WORKFLOW, record.workflow, record.queued, entry)


def dequeue_turn(run: RunState) -> None:
    """Says that the code of a run has nothing to do."""
    record = run.record
    if record.queued:
        prefix = keys.queue(run.project, WORKFLOW, record.workflow)
        run.tx.delete(prefix + keys.number(record.queued))
        record.queued = 0


def wake(run: RunState, moment: Moment) -> None:
    """Says that the last event of a run is one that its code can do something with."""
    if run.active and not run.record.external:
        run.record.wake_seq = run.record.last_seq
        enqueue_turn(run, moment)


def enqueue_step(run: RunState, moment: Moment, step_id: str, step: StepRecord) -> None:
    """Says that a step is to be executed; its record is to be saved by the caller."""
    step.queued = run.tx.revision()
    entry = QueueRecord(run_id=run.run_id, run_uid=run.uid, step_id=step_id, since_ms=moment.now_ms)
    _put(run.tx, run.project, STEP, step.name, step.queued, entry)


def dequeue_step(run: RunState, step: StepRecord) -> None:
    """Says that a step is not to be executed now; its record is to be saved by the caller."""
    if step.queued:
        prefix = keys.queue(run.project, STEP, step.name)
        run.tx.delete(prefix + keys.number(step.queued))
        step.queued = 0


def entry_of_turn(run: RunState) -> Entry:
    """The entry of a run that is queued."""
    record = run.record
    return Entry(
        run.project, WORKFLOW, record.workflow, record.queued, run.run_id, run.uid, "", 0,
        record.version,
    )  # fmt: skip


def entry_of_step(run: RunState, step_id: str, step: StepRecord) -> Entry:
    """The entry of a step that is queued."""
    return Entry(
        run.project, STEP, step.name, step.queued, run.run_id, run.uid, step_id, step.leased_ms, ""
    )


def drop_entry(tx: Tx, entry: Entry) -> None:
    """Removes an entry that has outlived what it stands for."""
    tx.delete(keys.queue(entry.project, entry.kind, entry.name) + keys.number(entry.number))


async def read_queue(
    tx: Tx, project: str, kind: QueueKind.ValueType, name: str, after: int, limit: int
) -> list[Entry]:
    """Reads a queue in its order.

    Args:
        tx: the transaction.
        project: where.
        kind: what it holds.
        name: its name.
        after: only entries with a greater number.
        limit: how many at most.
    """
    prefix = keys.queue(project, kind, name)
    entries = []
    for key, value in await tx.scan(prefix + keys.number(after) + b"\0", end_of(prefix), limit):
        record = QueueRecord.FromString(value)
        entries.append(
            Entry(
                project,
                kind,
                name,
                int.from_bytes(key[len(prefix) :], "big"),
                record.run_id,
                record.run_uid,
                record.step_id,
                record.since_ms,
                record.version,
            )
        )
    return entries


async def read_queue_names(
    tx: Tx, project: str | None
) -> list[tuple[str, QueueKind.ValueType, str]]:
    """Reads which queues are not empty: their projects, kinds and names, in order.

    Args:
        tx: the transaction.
        project: only queues of this project; all if None.
    """
    start = keys.QUEUE if project is None else keys.queues_of(project)
    end = end_of(start)
    found: list[tuple[str, QueueKind.ValueType, str]] = []
    while True:
        pairs = await tx.scan(start, end, 1)
        if not pairs:
            return found
        owner, kind, name, _ = keys.split_queue_key(pairs[0][0])
        found.append((owner, kind, name))
        # To the first key behind this queue.
        start = end_of(keys.queue(owner, kind, name))
