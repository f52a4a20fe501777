"""Requests to webhooks: which hook one is for, its delivery, and what its sender is answered."""

from __future__ import annotations

from dataclasses import dataclass

from hookd.v1.common_pb2 import Payload
from hookd.v1.webhook_pb2 import HttpResponse, Webhook

from hookd_daemon.core import keys
from hookd_daemon.core.delivery import accept
from hookd_daemon.core.moment import Moment
from hookd_daemon.core.runs import find_run, read_event
from hookd_daemon.core.tokens import owner_run
from hookd_daemon.records.v1.records_pb2 import HookRecord, PayloadRecord, ReceiptRecord
from hookd_daemon.store.tx import Tx


@dataclass(frozen=True, slots=True)
class Target:
    """A hook that takes requests, or has taken them.

    Attributes:
        run_id: its run.
        run_uid: names the run's records.
        hook_id: its id.
        revision: of its claim.
        webhook: how it takes them.
    """

    run_id: str
    run_uid: int
    hook_id: str
    revision: int
    webhook: Webhook


@dataclass(frozen=True, slots=True)
class Delivered:
    """A request that was delivered.

    Attributes:
        target: to which hook.
        payload_seq: its position among the hook's payloads.
        told_by: what tells it from others with its id.
        duplicate: it had been delivered before this call.
        reached: requests reach the hook; a payload may also have come to one
            that they do not.
    """

    target: Target
    payload_seq: int
    told_by: bytes
    duplicate: bool
    reached: bool = True


async def find_webhook(tx: Tx, moment: Moment, project: str, token: str) -> Target | None:
    """The active hook with a token, if requests reach it; None for all others alike.

    Raises:
        OverdueError: the holder's time has passed, and it has not been ended yet.
    """
    claim = await tx.owner(project, token)
    if claim is None:
        return None
    run = await owner_run(tx, moment, project, token, claim)
    value = await tx.get(run.hook_key(claim.hook_id))
    if value is None or not run.active:
        return None
    hook = HookRecord.FromString(value)
    if not hook.HasField("webhook"):
        return None
    return Target(run.run_id, run.uid, claim.hook_id, claim.revision, hook.webhook)


async def find_delivered(
    tx: Tx, moment: Moment, project: str, token: str, payload_id: str
) -> Delivered | None:
    """The delivery of this payload id to this token by a run that is still retained.

    Also one that came by another way than a request: what tells it is no
    digest that a request has.

    Raises:
        OverdueError: the run's lease has lapsed, and it has not been ended yet.
    """
    value = await tx.get(keys.receipt(project, token, payload_id))
    if value is None:
        return None
    receipt = ReceiptRecord.FromString(value)
    run = await find_run(tx, moment, project, receipt.run_id)
    if run is None or run.uid != receipt.run_uid:
        return None
    known = await tx.get(run.hook_key(receipt.hook_id))
    if known is None:
        return None
    hook = HookRecord.FromString(known)
    target = Target(run.run_id, run.uid, receipt.hook_id, hook.revision, hook.webhook)
    return Delivered(
        target,
        receipt.payload_seq,
        receipt.payload_digest,
        duplicate=True,
        reached=hook.HasField("webhook"),
    )


async def deliver_request(
    tx: Tx,
    moment: Moment,
    project: str,
    token: str,
    target: Target,
    payload_id: str,
    told_by: bytes,
    payload: Payload,
) -> Delivered | None:
    """Delivers a request to the hook that it was verified for, and to no other.

    Args:
        tx: the transaction.
        moment: when.
        project: whose token.
        token: the token.
        target: the hook.
        payload_id: what a retry is known by.
        told_by: what tells it from others with this id.
        payload: the payload.

    Returns:
        The delivery, or the one before; None when the token has another owner,
        or none, by now.

    Raises:
        LimitExceededError: the project keeps as many bytes as it may keep.
        OverdueError: the holder's time has passed, and it has not been ended yet.
    """
    earlier = await find_delivered(tx, moment, project, token, payload_id)
    if earlier is not None:
        return earlier
    claim = await tx.owner(project, token)
    if claim is None or claim.revision != target.revision:
        return None
    run = await owner_run(tx, moment, project, token, claim)
    if not run.active:
        return None
    done = await accept(run, moment, token, claim, payload_id, payload, told_by)
    run.save()
    return Delivered(target, done.payload_seq, told_by, duplicate=False)


async def read_response(
    tx: Tx, moment: Moment, project: str, target: Target, payload_seq: int
) -> tuple[HttpResponse | None, bool]:
    """What the run has said that the sender of a payload is answered.

    Returns:
        The response, or None; and whether the run can still say one.

    Raises:
        OverdueError: the run's lease has lapsed, and it has not been ended yet.
    """
    run = await find_run(tx, moment, project, target.run_id)
    if run is None or run.uid != target.run_uid:
        return None, False
    value = await tx.get(keys.payloads(run.uid, target.hook_id) + keys.number(payload_seq))
    if value is None:
        return None, False
    seq = PayloadRecord.FromString(value).response_seq
    if not seq:
        return None, run.active
    return (await read_event(tx, run, seq)).webhook_responded.response, run.active
