"""Reading hooks: by token, by id, in lists; and giving them up."""

from __future__ import annotations

from dataclasses import dataclass

from hookd.v1.common_pb2 import (
    HOOK_STATUS_ACTIVE,
    HOOK_STATUS_CLOSED,
    HOOK_STATUS_CONFLICTED,
    HOOK_STATUS_DISPOSED,
    HOOK_STATUS_EXPIRED,
    HOOK_STATUS_HELD,
    HookStatus,
    Payload,
)

from hookd_daemon.core import keys
from hookd_daemon.core.ending import release_hook
from hookd_daemon.core.moment import Moment
from hookd_daemon.core.runs import RunState, load_run, read_event
from hookd_daemon.core.tokens import owner_detail, owner_run
from hookd_daemon.errors import Conflict, HookNotFoundError
from hookd_daemon.records.v1.records_pb2 import (
    HOOK_STATE_CONFLICTED,
    HOOK_STATE_DISPOSED,
    HOOK_STATE_EXPIRED,
    HOOK_STATE_UNSPECIFIED,
    ClaimRecord,
    HookRecord,
)
from hookd_daemon.store.keys import end_of
from hookd_daemon.store.tx import Tx

_STATUS_OF_STATE = {
    HOOK_STATE_DISPOSED: HOOK_STATUS_DISPOSED,
    HOOK_STATE_EXPIRED: HOOK_STATUS_EXPIRED,
    HOOK_STATE_CONFLICTED: HOOK_STATUS_CONFLICTED,
}


@dataclass(slots=True)
class HookView:
    """A hook as it stands.

    Attributes:
        run: its run.
        hook_id: its id.
        record: its record.
        claim: the claim by which it holds its token; None when it does not.
        metadata: what its creator attached; None if nothing, or if not read.
    """

    run: RunState
    hook_id: str
    record: HookRecord
    claim: ClaimRecord | None
    metadata: Payload | None = None

    @property
    def status(self) -> HookStatus.ValueType:
        """Where the hook stands."""
        gone = _STATUS_OF_STATE.get(self.record.state)
        if gone is not None:
            return gone
        if self.run.active:
            return HOOK_STATUS_ACTIVE
        if self.claim is not None:
            return HOOK_STATUS_HELD
        return HOOK_STATUS_CLOSED


def conflict_of(owner: HookView) -> Conflict:
    """What was told to whoever wanted the token of a hook, when that held it."""
    hook = owner.record
    detail = owner_detail(owner.run, owner.hook_id, hook.token, hook.revision, hook.created_ms)
    return Conflict(detail, "" if owner.claim is None else owner.claim.traceparent)


async def _claim_of(
    tx: Tx, moment: Moment, run: RunState, hook_id: str, record: HookRecord
) -> ClaimRecord | None:
    """The claim by which a hook holds its token; None when it does not.

    Raises:
        OverdueError: the claim's time has passed, and it has not been ended yet.
    """
    if record.state != HOOK_STATE_UNSPECIFIED:
        return None
    claim = await tx.owner(run.project, record.token)
    if claim is None or claim.run_uid != run.uid or claim.hook_id != hook_id:
        return None
    await owner_run(tx, moment, run.project, record.token, claim)
    return claim


async def load_hook(
    tx: Tx, moment: Moment, project: str, run_id: str, hook_id: str, *, with_metadata: bool = False
) -> HookView:
    """Reads a hook by its id, whatever its status.

    Raises:
        RunNotFoundError: there is no such run.
        HookNotFoundError: the run has no such hook.
        OverdueError: its time has passed, and it has not been ended yet.
    """
    run = await load_run(tx, moment, project, run_id)
    value = await tx.get(run.hook_key(hook_id))
    if value is None:
        raise HookNotFoundError.by_id(run_id, hook_id)
    record = HookRecord.FromString(value)
    claim = await _claim_of(tx, moment, run, hook_id, record)
    view = HookView(run, hook_id, record, claim)
    if with_metadata:
        await _add_metadata(tx, view)
    return view


async def _add_metadata(tx: Tx, view: HookView) -> None:
    if view.record.metadata_digest and view.record.state != HOOK_STATE_CONFLICTED:
        event = await read_event(tx, view.run, view.record.created_seq)
        view.metadata = event.hook_created.metadata


async def find_hook(tx: Tx, moment: Moment, project: str, token: str) -> HookView:
    """Reads the hook that holds a token: an active one, or one that is held.

    Raises:
        HookNotFoundError: the token is free.
        OverdueError: its time has passed, and it has not been ended yet.
    """
    claim = await tx.owner(project, token)
    if claim is None:
        raise HookNotFoundError.by_token(token)
    view = await _view_of_claim(tx, moment, project, token, claim)
    await _add_metadata(tx, view)
    return view


async def _view_of_claim(
    tx: Tx, moment: Moment, project: str, token: str, claim: ClaimRecord
) -> HookView:
    run = await owner_run(tx, moment, project, token, claim)
    value = await tx.get(run.hook_key(claim.hook_id))
    if value is None:
        raise RuntimeError(f"a claim belongs to hook {claim.hook_id}, which is not there")
    return HookView(run, claim.hook_id, HookRecord.FromString(value), claim)


async def dispose_hook(
    tx: Tx, moment: Moment, project: str, run_id: str, hook_id: str
) -> tuple[HookView, bool]:
    """Gives up a hook, and the token if it holds it.

    Returns:
        The hook, and whether there was nothing to give up.

    Raises:
        RunNotFoundError: there is no such run.
        HookNotFoundError: the run has no such hook.
        OverdueError: its time has passed, and it has not been ended yet.
    """
    view = await load_hook(tx, moment, project, run_id, hook_id)
    if view.claim is None:
        return view, True
    release_hook(view.run, moment, hook_id, view.record, view.claim)
    view.claim = None
    view.run.save()
    return view, False


async def list_hooks_of_run(
    tx: Tx, moment: Moment, project: str, run_id: str, after: str, limit: int
) -> list[HookView]:
    """Reads the hooks of a run, by their ids, after one of them.

    Raises:
        RunNotFoundError: there is no such run.
        OverdueError: the time of one has passed, and it has not been ended yet.
    """
    run = await load_run(tx, moment, project, run_id)
    prefix = keys.hooks(run.uid)
    start = prefix + after.encode() + b"\0" if after else prefix
    views = []
    for key, value in await tx.scan(start, end_of(prefix), limit):
        hook_id = key[len(prefix) :].decode()
        record = HookRecord.FromString(value)
        claim = await _claim_of(tx, moment, run, hook_id, record)
        views.append(HookView(run, hook_id, record, claim))
    return views


async def list_hooks_by_token(
    tx: Tx, moment: Moment, project: str, prefix: str, after: str | None, limit: int
) -> list[HookView]:
    """Reads the hooks that hold tokens, by their tokens, after one of them.

    Raises:
        OverdueError: the time of one has passed, and it has not been ended yet.
    """
    claims = await tx.scan_claims(project, prefix, after, limit)
    return [await _view_of_claim(tx, moment, project, token, claim) for token, claim in claims]
