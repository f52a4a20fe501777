"""Starting a run, with claims in the same step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from hookd.v1.common_pb2 import RUN_STATUS_PENDING, Payload
from hookd.v1.events_pb2 import Event, RunCancelled, RunCreated
from hookd.v1.run_service_pb2 import (
    CONFLICT_POLICY_DELIVER,
    CONFLICT_POLICY_FAIL,
    CONFLICT_POLICY_TAKE_OVER,
    CONFLICT_POLICY_USE_EXISTING,
    START_OUTCOME_ALREADY_STARTED,
    START_OUTCOME_DELIVERED,
    START_OUTCOME_STARTED,
    START_OUTCOME_USED_EXISTING,
    ConflictPolicy,
    StartOutcome,
)

from hookd_daemon.core import keys
from hookd_daemon.core.delivery import Delivery, accept, earlier_delivery, resume_hook
from hookd_daemon.core.ending import CANCELLED, end_run
from hookd_daemon.core.hooks import HookSpec, create_hook
from hookd_daemon.core.limits import require_room_for_run
from hookd_daemon.core.lookup import HookView, conflict_of, load_hook
from hookd_daemon.core.moment import Moment
from hookd_daemon.core.queues import wake
from hookd_daemon.core.runs import RunState, find_run, load_run
from hookd_daemon.core.tokens import conflict_with, owner_run
from hookd_daemon.errors import (
    Conflict,
    HookConflictError,
    HookdError,
    HookNotFoundError,
    InvalidArgumentError,
    RunExistsError,
)
from hookd_daemon.records.v1.records_pb2 import ClaimRecord, RunRecord
from hookd_daemon.store.tx import Tx

FAIL = CONFLICT_POLICY_FAIL
USE_EXISTING = CONFLICT_POLICY_USE_EXISTING
DELIVER = CONFLICT_POLICY_DELIVER
TAKE_OVER = CONFLICT_POLICY_TAKE_OVER


@dataclass(frozen=True, slots=True)
class StartSpec:
    """What a run is started with.

    Attributes:
        run_id: its id.
        workflow: the name of its workflow.
        input: what it works on.
        attributes: names and values for searching.
        claims: hooks to create with it, all or none; their tokens differ.
        policy: what to do when a token is taken.
        payload: for ``DELIVER``, what to deliver.
        payload_id: for ``DELIVER``, its id.
        external: the caller drives the run by itself.
        lease_ttl_ms: the length of its lease; 0 for none.
        digest: tells this start from others, for retries. The policy and the
            payload have no part in it.
        seed: 32 secret random bytes, for what is random in its workflow.
    """

    run_id: str
    workflow: str
    input: Payload
    attributes: Mapping[str, str]
    claims: Sequence[HookSpec]
    policy: ConflictPolicy.ValueType
    payload: Payload
    payload_id: str
    external: bool
    lease_ttl_ms: int
    digest: bytes
    seed: bytes


@dataclass(slots=True)
class Started:
    """What a start came to.

    Attributes:
        outcome: what was done.
        run: the new run, or the owner.
        hooks: the hooks created with the run.
        conflict: the claim that stood in the way.
        superseded: the ids of the runs that were cancelled for it.
        delivery: what became of the payload of ``DELIVER``.
    """

    outcome: StartOutcome.ValueType
    run: RunState
    hooks: list[HookView] = field(default_factory=list)
    conflict: Conflict | None = None
    superseded: Sequence[str] = ()
    delivery: Delivery | None = None


async def start_run(tx: Tx, moment: Moment, project: str, spec: StartSpec) -> Started:
    """Starts a run with its claims, or does what the policy says when one is lost.

    Raises:
        HookConflictError: a token is taken, and the policy has no way on.
        RunExistsError: the id belongs to a run that was started otherwise.
        IdReusedError: the payload id was delivered before, with other bytes.
        HookNotFoundError: the start is a retry with a payload that is new, and
            the run takes no payloads any more.
        LimitExceededError: the project has as much as it may have.
        OverdueError: the time of something has passed.
    """
    known = await find_run(tx, moment, project, spec.run_id)
    if known is not None:
        return await _retried(moment, known, spec)
    if spec.policy == DELIVER:
        delivered = await _delivered_before(tx, moment, project, spec)
        if delivered is not None:
            return delivered
    superseded: list[str] = []
    for wanted in spec.claims:
        claim = None if wanted.token is None else await tx.owner(project, wanted.token)
        if claim is None or wanted.token is None:
            continue
        conflict = await conflict_with(tx, moment, project, wanted.token, claim)
        if spec.policy != TAKE_OVER:
            tx.tally("conflicts")
            return await _met(tx, moment, project, spec, wanted.token, claim, conflict)
        await _supersede(tx, moment, project, wanted.token, spec.run_id, superseded)
    await require_room_for_run(tx, moment.limits, project, len(spec.input.data))
    run = create_run(tx, moment, project, spec)
    run.record.superseded_run_ids.extend(superseded)
    for wanted in spec.claims:
        outcome = await create_hook(run, moment, wanted, by_run=False)
        if isinstance(outcome, HookdError):
            raise outcome
    if spec.claims:
        tx.tally("claims", len(spec.claims))
    delivery = None
    if spec.policy == DELIVER:
        delivery = await _deliver_to_first(run, moment, spec)
    run.save()
    hooks = await _hooks_of_start(run, moment)
    return Started(
        START_OUTCOME_STARTED,
        run,
        hooks,
        superseded=superseded,
        delivery=delivery,
    )


def create_run(
    tx: Tx, moment: Moment, project: str, spec: StartSpec, parent: RunState | None = None
) -> RunState:
    """Makes a run without its claims; its record is to be saved by the caller.

    Args:
        tx: the transaction.
        moment: when.
        project: where.
        spec: what it is started with; no run has its id.
        parent: the run whose workflow starts it.
    """
    record = RunRecord(
        uid=tx.revision(),
        workflow=spec.workflow,
        created_ms=moment.now_ms,
        external=spec.external,
        lease_ttl_ms=spec.lease_ttl_ms,
        request_digest=spec.digest,
        attributes=spec.attributes,
        claim_hook_ids=[claim.hook_id for claim in spec.claims],
        seed=b"" if spec.external else spec.seed,
        traceparent=moment.traceparent,
    )
    run = RunState(tx, project, spec.run_id, record)
    tx.put(
        keys.runs_by_time(project) + keys.age(record.created_ms, record.uid), run.run_id.encode()
    )
    run.set_status(RUN_STATUS_PENDING)
    created = RunCreated(workflow=spec.workflow, input=spec.input)
    if parent is not None:
        record.parent_run_id = created.parent_run_id = parent.run_id
        record.parent_uid = parent.uid
    if not spec.external:
        created.webhook_base_url = moment.webhook_base_url
    run.append(Event(run_created=created), moment)
    if spec.external:
        run.begin(moment)
    else:
        wake(run, moment)
    if spec.lease_ttl_ms:
        run.set_lease(moment)
    tx.tally("runs_started")
    return run


async def _supersede(
    tx: Tx, moment: Moment, project: str, token: str, by: str, superseded: list[str]
) -> None:
    """Takes a token from its owner, cancelling the owner if it is active."""
    claim = await tx.owner(project, token)
    if claim is None:
        return  # it belonged to a run that was cancelled for the token before
    owner = await owner_run(tx, moment, project, token, claim)
    if owner.active:
        reason = f"superseded by run {by}"
        event = Event(run_cancelled=RunCancelled(reason=reason, superseded_by_run_id=by))
        await end_run(owner, moment, CANCELLED, event, cause="superseded")
        superseded.append(owner.run_id)
    held = await tx.owner(project, token)
    if held is not None:
        tx.release(project, token, held)
        tx.tally("releases.superseded")


async def _met(
    tx: Tx,
    moment: Moment,
    project: str,
    spec: StartSpec,
    token: str,
    claim: ClaimRecord,
    conflict: Conflict,
) -> Started:
    """What is answered when a token is taken and its owner stays."""
    owner = await owner_run(tx, moment, project, token, claim)
    if spec.policy == USE_EXISTING:
        return Started(START_OUTCOME_USED_EXISTING, owner, conflict=conflict)
    if spec.policy == DELIVER and owner.active:
        delivery = await accept(owner, moment, token, claim, spec.payload_id, spec.payload)
        owner.save()
        return Started(START_OUTCOME_DELIVERED, owner, conflict=conflict, delivery=delivery)
    raise HookConflictError(conflict)


async def _delivered_before(
    tx: Tx, moment: Moment, project: str, spec: StartSpec
) -> Started | None:
    """The first answer again, when the payload was delivered to an owner before."""
    for wanted in spec.claims:
        if wanted.token is None:
            continue
        delivery = await earlier_delivery(
            tx, moment, project, wanted.token, spec.payload_id, spec.payload
        )
        if delivery is None:
            continue
        # The claim that was met may be gone; the hook still tells about it.
        owner = await load_hook(tx, moment, project, delivery.run_id, delivery.hook_id)
        outcome = START_OUTCOME_DELIVERED
        return Started(outcome, owner.run, conflict=conflict_of(owner), delivery=delivery)
    return None


async def _deliver_to_first(run: RunState, moment: Moment, spec: StartSpec) -> Delivery:
    """Delivers the payload to the first hook that the run was started with."""
    if not spec.claims:
        raise InvalidArgumentError("claims", "DELIVER needs a token to deliver to")
    first = spec.claims[0]
    token = first.generated if first.token is None else first.token
    claim = await run.tx.owner(run.project, token)
    if claim is None:
        raise RuntimeError("a run that was just started lost its token")
    return await accept(run, moment, token, claim, spec.payload_id, spec.payload)


async def _retried(moment: Moment, run: RunState, spec: StartSpec) -> Started:
    """The first answer again, for a run id that is known."""
    if run.record.request_digest != spec.digest:
        raise RunExistsError(run.run_id)
    hooks = await _hooks_of_start(run, moment)
    delivery = None
    if spec.policy == DELIVER and hooks:
        delivery = await _deliver_again(moment, run, hooks[0], spec)
        run = await load_run(run.tx, moment, run.project, run.run_id)
        hooks = await _hooks_of_start(run, moment)
    return Started(
        START_OUTCOME_ALREADY_STARTED,
        run,
        hooks,
        superseded=list(run.record.superseded_run_ids),
        delivery=delivery,
    )


async def _deliver_again(
    moment: Moment, run: RunState, first: HookView, spec: StartSpec
) -> Delivery:
    """Delivers the payload of a retry, which may be new, to the run's own hook and to no other."""
    tx, project, token = run.tx, run.project, first.record.token
    earlier = await earlier_delivery(tx, moment, project, token, spec.payload_id, spec.payload)
    if earlier is not None:
        return earlier
    if first.claim is None or not run.active:
        raise HookNotFoundError.by_token(token)
    return await resume_hook(tx, moment, project, token, spec.payload_id, spec.payload)


async def _hooks_of_start(run: RunState, moment: Moment) -> list[HookView]:
    ids = list(run.record.claim_hook_ids)
    views = [
        await load_hook(run.tx, moment, run.project, run.run_id, hook_id, with_metadata=True)
        for hook_id in ids
    ]
    return views
