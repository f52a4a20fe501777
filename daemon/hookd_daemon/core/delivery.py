"""Payloads: delivered to a token, read by the hook's owner."""

from __future__ import annotations

from dataclasses import dataclass

from hookd.v1.common_pb2 import Payload
from hookd.v1.events_pb2 import Event, HookReceived

from hookd_daemon.core import keys, topics
from hookd_daemon.core.hooks import digest
from hookd_daemon.core.limits import require_room_for_payload
from hookd_daemon.core.lookup import HookView, load_hook
from hookd_daemon.core.moment import Moment
from hookd_daemon.core.queues import wake
from hookd_daemon.core.runs import RunState, find_run, read_event
from hookd_daemon.core.tokens import owner_run
from hookd_daemon.errors import HookNotFoundError, IdReusedError, shown
from hookd_daemon.records.v1.records_pb2 import (
    ClaimRecord,
    HookRecord,
    PayloadRecord,
    ReceiptRecord,
)
from hookd_daemon.store.keys import end_of
from hookd_daemon.store.tx import Tx

#: As many payloads are read at once as have so many bytes, but one at least.
PAYLOAD_BYTES = 2 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Delivery:
    """A payload that was accepted.

    Attributes:
        run_id: by which run.
        hook_id: by which of its hooks.
        payload_seq: its position among the hook's payloads, from 1.
        duplicate: it had been accepted before this call.
    """

    run_id: str
    hook_id: str
    payload_seq: int
    duplicate: bool


async def resume_hook(
    tx: Tx, moment: Moment, project: str, token: str, payload_id: str, payload: Payload
) -> Delivery:
    """Delivers a payload to the hook that has a token.

    Raises:
        HookNotFoundError: no active hook has it.
        IdReusedError: the payload id was accepted before, with other bytes.
        LimitExceededError: the project keeps as many bytes as it may keep.
        OverdueError: the holder's time has passed.
    """
    earlier = await earlier_delivery(tx, moment, project, token, payload_id, payload)
    if earlier is not None:
        return earlier
    claim = await tx.owner(project, token)
    if claim is None:
        raise HookNotFoundError.by_token(token)
    run = await owner_run(tx, moment, project, token, claim)
    if not run.active:
        raise HookNotFoundError.by_token(token)
    delivery = await accept(run, moment, token, claim, payload_id, payload)
    run.save()
    return delivery


async def earlier_delivery(
    tx: Tx, moment: Moment, project: str, token: str, payload_id: str, payload: Payload
) -> Delivery | None:
    """The delivery of this payload id to this token by a run that is still retained.

    Raises:
        IdReusedError: it was delivered with other bytes.
    """
    value = await tx.get(keys.receipt(project, token, payload_id))
    if value is None:
        return None
    receipt = ReceiptRecord.FromString(value)
    run = await find_run(tx, moment, project, receipt.run_id)
    if run is None or run.uid != receipt.run_uid:
        return None
    if receipt.payload_digest != digest(payload):
        raise IdReusedError(
            f'the payload id {payload_id} was delivered to the token "{shown(token)}" before, '
            "with other content",
            payload_id=payload_id,
            run_id=receipt.run_id,
        )
    return Delivery(receipt.run_id, receipt.hook_id, receipt.payload_seq, duplicate=True)


async def accept(
    run: RunState,
    moment: Moment,
    token: str,
    claim: ClaimRecord,
    payload_id: str,
    payload: Payload,
    told_by: bytes | None = None,
) -> Delivery:
    """Adds a payload to an active hook; the run's record is to be saved by the caller.

    Args:
        run: the hook's run.
        moment: when.
        token: the hook's token.
        claim: the claim by which the hook holds it.
        payload_id: what a retry is known by.
        payload: the payload.
        told_by: what tells it from others with its id; its digest if None.

    Raises:
        LimitExceededError: the project keeps as many bytes as it may keep.
    """
    tx = run.tx
    await require_room_for_payload(tx, moment.limits, run.project, len(payload.data))
    hook_id = claim.hook_id
    hook_key = run.hook_key(hook_id)
    known = await tx.get(hook_key)
    if known is None:
        raise RuntimeError(f"a claim belongs to hook {hook_id}, which is not there")
    hook = HookRecord.FromString(known)
    hook.payload_count += 1
    seq = hook.payload_count
    received = HookReceived(
        payload=payload, payload_id=payload_id, payload_seq=seq, traceparent=moment.traceparent
    )
    event_seq = run.append(Event(correlation_id=hook_id, hook_received=received), moment)
    wake(run, moment)
    tx.put(hook_key, hook.SerializeToString())
    tx.put(
        keys.payloads(run.uid, hook_id) + keys.number(seq),
        PayloadRecord(event_seq=event_seq, payload_id=payload_id).SerializeToString(),
    )
    receipt = ReceiptRecord(
        run_uid=run.uid,
        run_id=run.run_id,
        hook_id=hook_id,
        payload_seq=seq,
        payload_digest=digest(payload) if told_by is None else told_by,
    )
    tx.put(keys.receipt(run.project, token, payload_id), receipt.SerializeToString())
    tx.notify(topics.hook(run.uid, hook_id))
    tx.tally("resumes")
    return Delivery(run.run_id, hook_id, seq, duplicate=False)


async def read_payloads(
    tx: Tx, moment: Moment, project: str, run_id: str, hook_id: str, after: int, limit: int
) -> tuple[HookView, list[Event]]:
    """Reads payloads of a hook after a position, and how the hook stands.

    Returns:
        The hook, and the ``hook_received`` events in order.

    Raises:
        RunNotFoundError: there is no such run.
        HookNotFoundError: the run has no such hook.
    """
    view = await load_hook(tx, moment, project, run_id, hook_id)
    prefix = keys.payloads(view.run.uid, hook_id)
    pairs = await tx.scan(prefix + keys.number(after) + b"\0", end_of(prefix), limit)
    events: list[Event] = []
    size = 0
    for _, value in pairs:
        event = await read_event(tx, view.run, PayloadRecord.FromString(value).event_seq)
        size += len(event.hook_received.payload.data)
        if events and size > PAYLOAD_BYTES:
            break
        events.append(event)
    return view, events
