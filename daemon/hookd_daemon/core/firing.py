"""What timers do when their time has come, and the removal of old runs."""

from __future__ import annotations

from hookd.v1.common_pb2 import Failure
from hookd.v1.events_pb2 import Event, RunFailed

from hookd_daemon.core import keys, topics, usage
from hookd_daemon.core.ending import FAILED, end_run, release_hook
from hookd_daemon.core.moment import Moment
from hookd_daemon.core.run_timers import fire_run_timer
from hookd_daemon.core.runs import RunState
from hookd_daemon.core.steps import retry_step
from hookd_daemon.core.timers import set_timer
from hookd_daemon.records.v1.records_pb2 import (
    HOOK_STATE_UNSPECIFIED,
    TIMER_KIND_HOLD,
    TIMER_KIND_LEASE,
    TIMER_KIND_RETENTION,
    TIMER_KIND_RUN_TIMER,
    TIMER_KIND_STEP_RETRY,
    TIMER_KIND_TTL,
    GarbageRecord,
    HookRecord,
    PayloadRecord,
    ReceiptRecord,
    RunRecord,
    TimerRecord,
)
from hookd_daemon.store.keys import end_of
from hookd_daemon.store.tx import Tx

#: The type of the failure of a run whose lease lapsed.
LEASE_EXPIRED = "LEASE_EXPIRED"


async def fire_timer(tx: Tx, moment: Moment, key: bytes | None, timer: TimerRecord) -> str:
    """Does what a timer is for, if it is still due.

    Args:
        tx: the transaction.
        moment: when.
        key: the timer's key, to remove it; None when a call met the thing
            before its timer fired.
        timer: the timer.

    Returns:
        What came of it, in a few words; empty when it was not due any more.
    """
    if key is not None:
        tx.delete(key)
    value = await tx.get(keys.run(timer.project, timer.run_id))
    if value is None:
        return ""
    run = RunState(tx, timer.project, timer.run_id, RunRecord.FromString(value))
    if run.uid != timer.run_uid:
        return ""
    return await _ACTIONS[timer.kind](run, moment, timer)


async def _lapse_lease(run: RunState, moment: Moment, timer: TimerRecord) -> str:
    deadline = run.lease_deadline(moment)
    if not run.active or deadline is None:
        return ""
    if deadline > moment.now_ms:
        set_timer(run.tx, deadline, timer)
        return ""
    failure = Failure(
        type=LEASE_EXPIRED,
        message=f"the lease of {run.record.lease_ttl_ms} ms was not kept alive",
    )
    event = Event(run_failed=RunFailed(failure=failure))
    await end_run(run, moment, FAILED, event, cause="lease_expired")
    return "lease lapsed"


async def _expire_hook(run: RunState, moment: Moment, timer: TimerRecord) -> str:
    if not run.active:
        return ""
    claim = await run.tx.owner(run.project, timer.token)
    value = await run.tx.get(run.hook_key(timer.hook_id))
    if claim is None or claim.revision != timer.revision or value is None:
        return ""
    hook = HookRecord.FromString(value)
    if hook.state != HOOK_STATE_UNSPECIFIED or claim.expires_ms > moment.now_ms:
        return ""
    release_hook(run, moment, timer.hook_id, hook, claim, expired=True)
    run.save()
    return "hook expired"


async def _end_hold(run: RunState, moment: Moment, timer: TimerRecord) -> str:
    claim = await run.tx.owner(run.project, timer.token)
    if claim is None or claim.revision != timer.revision:
        return ""
    if not claim.held_until_ms or claim.held_until_ms > moment.now_ms:
        return ""
    run.tx.release(run.project, timer.token, claim)
    run.tx.tally("releases.hold_ended")
    return "hold ended"


async def _remove_run(run: RunState, moment: Moment, timer: TimerRecord) -> str:
    """Makes a run unknown at once; its other records go later, bit by bit."""
    if run.active:
        return ""
    record = run.record
    for token, claim in await run.tx.claims_of(run.project, run.uid):
        # Its hold ends with this very millisecond.
        run.tx.release(run.project, token, claim)
        run.tx.tally("releases.hold_ended")
    age = keys.age(record.created_ms, record.uid)
    run.tx.delete(keys.run(run.project, run.run_id))
    run.tx.delete(keys.runs_by_time(run.project) + age)
    run.tx.delete(keys.runs_by_status(run.project, record.status) + age)
    if record.payload_bytes:
        run.tx.add(keys.usage(run.project, usage.PAYLOAD_BYTES), -record.payload_bytes)
    garbage = GarbageRecord(project=run.project)
    run.tx.put(keys.garbage(run.uid), garbage.SerializeToString())
    run.tx.notify(topics.GARBAGE)
    return "run removed"


_ACTIONS = {
    TIMER_KIND_LEASE: _lapse_lease,
    TIMER_KIND_TTL: _expire_hook,
    TIMER_KIND_HOLD: _end_hold,
    TIMER_KIND_RETENTION: _remove_run,
    TIMER_KIND_RUN_TIMER: fire_run_timer,
    TIMER_KIND_STEP_RETRY: retry_step,
}


async def collect_garbage(tx: Tx, begin: bytes, limit: int) -> bytes | None:
    """Removes at most about ``limit`` records of a run that is gone.

    Args:
        tx: the transaction.
        begin: the key from which on to look for such a run. What is gone before
            it would have to be passed over again each time: RocksDB keeps a mark
            of every key that was deleted until it compacts.
        limit: how many records.

    Returns:
        Where to go on; None when there is nothing from ``begin`` on.
    """
    pairs = await tx.scan(begin, end_of(keys.GARBAGE), 1)
    if not pairs:
        return None
    key, value = pairs[0]
    uid = keys.uid_of(key)
    if await _drop_receipts(tx, GarbageRecord.FromString(value).project, uid, limit):
        return key
    for table in (keys.EVENT, keys.CHUNK, keys.STREAM, keys.STEP, keys.RUN_TIMER, keys.CHILD):
        prefix = table + keys.number(uid)
        found = await tx.scan(prefix, end_of(prefix), limit)
        for old, _ in found:
            tx.delete(old)
        if found:
            return key
    tx.delete(key)
    return key + b"\0"


async def _drop_receipts(tx: Tx, project: str, uid: int, limit: int) -> bool:
    """Removes payloads, what tells their retries, and then their hook; True if any."""
    hooks = await tx.scan(keys.hooks(uid), end_of(keys.hooks(uid)), limit)
    dropped = 0
    for hook_key, hook_value in hooks:
        hook_id = hook_key[len(keys.hooks(uid)) :].decode()
        hook = HookRecord.FromString(hook_value)
        prefix = keys.payloads(uid, hook_id)
        payloads = await tx.scan(prefix, end_of(prefix), limit) if hook.payload_count else []
        for payload_key, payload_value in payloads:
            payload_id = PayloadRecord.FromString(payload_value).payload_id
            receipt_key = keys.receipt(project, hook.token, payload_id)
            receipt = await tx.get(receipt_key)
            # A later run may have accepted the same id for the same token.
            if receipt is not None and ReceiptRecord.FromString(receipt).run_uid == uid:
                tx.delete(receipt_key)
            tx.delete(payload_key)
        dropped += len(payloads) + 1
        if len(payloads) < limit:
            tx.delete(hook_key)
        if dropped >= limit:
            break
    return bool(hooks)
