"""Creating hooks: claims that win, claims that lose, and retries of both."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from google.protobuf.duration_pb2 import Duration
from hookd.v1.common_pb2 import Payload
from hookd.v1.events_pb2 import Event, HookConflicted
from hookd.v1.webhook_pb2 import Webhook

from hookd_daemon._native import encode_plain_claim
from hookd_daemon.core import limits, topics
from hookd_daemon.core.moment import Moment
from hookd_daemon.core.runs import RunState, find_run, read_event
from hookd_daemon.core.timers import set_timer
from hookd_daemon.core.tokens import conflict_with, ttl_timer
from hookd_daemon.errors import (
    Conflict,
    HookConflictError,
    HookdError,
    HookNotFoundError,
    IdReusedError,
    LimitExceededError,
    RunNotActiveError,
    RunNotFoundError,
)
from hookd_daemon.records.v1.records_pb2 import (
    HOOK_STATE_CONFLICTED,
    HOOK_STATE_DISPOSED,
    HOOK_STATE_EXPIRED,
    ClaimRecord,
    HookRecord,
)
from hookd_daemon.store.tx import Tx


@dataclass(slots=True)
class HookSpec:
    """What the creator of a hook says about it.

    Attributes:
        hook_id: its id in the run.
        token: the token it asks for; None for the generated one.
        generated: the token it gets when it asks for none.
        metadata: what is attached for whoever looks it up; None for nothing.
        ttl_ms: the hook disposes itself after this time; 0 for never.
        hold_after_ms: the token stays taken so long after the run's end.
        webhook: what makes it reachable by a URL; None when it is not.
    """

    hook_id: str
    token: str | None
    generated: str = ""
    metadata: Payload | None = None
    ttl_ms: int = 0
    hold_after_ms: int = 0
    webhook: Webhook | None = None

    @property
    def size(self) -> int:
        """Bytes that are kept for whoever looks the hook up, or sends it requests."""
        size = 0 if self.metadata is None else len(self.metadata.data)
        return size if self.webhook is None else size + len(self.webhook.response.body)


@dataclass(slots=True)
class Claimed:
    """A hook that is there.

    Attributes:
        hook_id: its id in the run.
        token: its token.
        revision: the claim's fencing number.
        existed: it was there before this call.
        run: its run.
        created_ms: when it was created, in milliseconds since 1970.
    """

    hook_id: str
    token: str
    revision: int
    existed: bool
    run: RunState
    created_ms: int


#: A claim has won, or why it has not. Errors are values here, because what a
#: lost claim wrote must be committed.
Outcome = Claimed | HookdError


async def create_hooks(
    tx: Tx, moment: Moment, project: str, wanted: Sequence[tuple[str, HookSpec]]
) -> list[Outcome]:
    """Creates hooks, one after the other, each for the run with the given id.

    Returns:
        An outcome for each, in order: ``HookConflictError``,
        ``RunNotFoundError``, ``RunNotActiveError``, ``IdReusedError`` or
        ``HookNotFoundError`` (this very hook was there and is gone) or
        ``LimitExceededError`` for those that are not there.
    """
    runs: dict[str, RunState | None] = {}
    outcomes: list[Outcome] = []
    for run_id, spec in wanted:
        try:
            run = runs[run_id]
        except KeyError:
            run = runs[run_id] = await find_run(tx, moment, project, run_id)
        if run is None:
            outcomes.append(RunNotFoundError(run_id))
        else:
            outcomes.append(await create_hook(run, moment, spec))
    for run in runs.values():
        if run is not None and run.grown:
            run.save()
    tally_claims(tx, outcomes)
    return outcomes


def tally_claims(tx: Tx, outcomes: Sequence[Outcome]) -> None:
    """Counts the new claims, and the conflicts: also one that a retry is told again."""
    won = sum(1 for outcome in outcomes if type(outcome) is Claimed and not outcome.existed)
    lost = sum(1 for outcome in outcomes if type(outcome) is HookConflictError)
    if won:
        tx.tally("claims", won)
    if lost:
        tx.tally("conflicts", lost)
    for outcome in outcomes:
        if type(outcome) is LimitExceededError:
            tx.tally(f"refused.{outcome.limit}")


async def create_hook(
    run: RunState, moment: Moment, spec: HookSpec, *, by_run: bool = True
) -> Outcome:
    """Creates a hook of a run; the run's record is to be saved by the caller.

    ``by_run`` is False when the run's starter claims for it, and nobody works
    on the run yet.
    """
    tx, uid, project = run.tx, run.uid, run.project
    hook_key = run.hook_key(spec.hook_id)
    known = await tx.get(hook_key)
    if known is not None:
        return await _retried(run, spec, HookRecord.FromString(known))
    if not run.active:
        return RunNotActiveError(run.run_id, run.record.status)
    token = spec.generated if spec.token is None else spec.token
    size = spec.size
    refusal = await limits.refused_claim(tx, moment.limits, project, token, size)
    if refusal is not None:
        return refusal
    if by_run and run.begin(moment):
        run.save()  # who loses to it in this same transaction is told its status
    revision = tx.revision()
    event, hook, claim = _records(run, moment, spec, token, revision)
    holder = await tx.claim(project, token, uid, revision, claim)
    if holder is not None:
        conflict = await conflict_with(tx, moment, project, token, holder)
        lost = HookRecord.FromString(hook)
        lost.state, lost.revision = HOOK_STATE_CONFLICTED, 0
        run.append(
            Event(
                correlation_id=spec.hook_id,
                hook_conflict=HookConflicted(conflict=conflict.detail),
            ),
            moment,
        )
        tx.put(hook_key, lost.SerializeToString())
        return HookConflictError(conflict)
    run.append_encoded(event)
    if size:
        run.keep(size)
    tx.put(hook_key, hook)
    if spec.ttl_ms:
        made = ClaimRecord.FromString(claim)
        set_timer(tx, made.expires_ms, ttl_timer(project, token, made))
    tx.notify(topics.token(project, token))
    return Claimed(spec.hook_id, token, revision, False, run, moment.now_ms)


def _records(
    run: RunState, moment: Moment, spec: HookSpec, token: str, revision: int
) -> tuple[bytes, bytes, bytes]:
    """The event, the hook and the claim that a claim writes if it wins."""
    seq, now = run.record.last_seq + 1, moment.now_ms
    generated = spec.token is None
    plain = encode_plain_claim(
        run.uid, run.run_id, spec.hook_id, token, generated, revision, seq, now
    )
    special = spec.ttl_ms or spec.hold_after_ms or moment.traceparent or run.turn
    if not special and spec.metadata is None and spec.webhook is None:
        return plain
    event, hook, claim = (
        Event.FromString(plain[0]),
        HookRecord.FromString(plain[1]),
        ClaimRecord.FromString(plain[2]),
    )
    claim.traceparent = moment.traceparent
    event.turn = run.turn
    if spec.metadata is not None:
        event.hook_created.metadata.CopyFrom(spec.metadata)
        hook.metadata_digest = digest(spec.metadata)
    if spec.ttl_ms:
        event.hook_created.ttl.CopyFrom(duration(spec.ttl_ms))
        hook.ttl_ms = spec.ttl_ms
        claim.expires_ms = now + spec.ttl_ms
    if spec.hold_after_ms:
        event.hook_created.hold_after.CopyFrom(duration(spec.hold_after_ms))
        hook.hold_after_ms = claim.hold_after_ms = spec.hold_after_ms
    if spec.webhook is not None:
        event.hook_created.webhook.CopyFrom(spec.webhook)
        hook.webhook.CopyFrom(spec.webhook)
    return event.SerializeToString(), hook.SerializeToString(), claim.SerializeToString()


async def _retried(run: RunState, spec: HookSpec, hook: HookRecord) -> Outcome:
    """The first answer again, for a hook id that the run has used before."""
    same_token = hook.generated if spec.token is None else spec.token == hook.token
    if (
        not same_token
        or spec.ttl_ms != hook.ttl_ms
        or spec.hold_after_ms != hook.hold_after_ms
        or digest(spec.metadata) != hook.metadata_digest
        or spec.webhook != (hook.webhook if hook.HasField("webhook") else None)
    ):
        return IdReusedError(
            f"run {run.run_id} has used the hook id {spec.hook_id} before, with another "
            "token, ttl, hold_after, metadata or webhook",
            run_id=run.run_id,
            hook_id=spec.hook_id,
        )
    if hook.state == HOOK_STATE_CONFLICTED:
        event = await read_event(run.tx, run, hook.created_seq)
        return HookConflictError(Conflict(event.hook_conflict.conflict))
    if hook.state in (HOOK_STATE_DISPOSED, HOOK_STATE_EXPIRED):
        # Never "success": whoever reads that would believe to hold the token.
        how = "disposed" if hook.state == HOOK_STATE_DISPOSED else "expired"
        return HookNotFoundError.gone(run.run_id, spec.hook_id, hook.token, how)
    return Claimed(spec.hook_id, hook.token, hook.revision, True, run, hook.created_ms)


def digest(payload: Payload | None) -> bytes:
    """What tells one payload from another; empty for none. BLAKE2b, 16 bytes."""
    if payload is None:
        return b""
    kind = payload.content_type.encode()
    return hashlib.blake2b(
        len(kind).to_bytes(4, "big") + kind + payload.data, digest_size=16
    ).digest()


def duration(milliseconds: int) -> Duration:
    """A duration as the API has it."""
    return Duration(seconds=milliseconds // 1000, nanos=milliseconds % 1000 * 1_000_000)
