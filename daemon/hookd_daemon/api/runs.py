"""``hookd.v1.RunService``."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import AsyncIterator, Sequence

from hookd.v1 import run_service_pb2 as pb
from hookd.v1.common_pb2 import WAIT_KIND_STEP, WAIT_KIND_TURN, Failure, Payload, Wait

from hookd_daemon.api import messages, paging, validate
from hookd_daemon.api.backend import Backend, Patience, random_text
from hookd_daemon.api.context import CallContext
from hookd_daemon.api.specs import hook_spec
from hookd_daemon.core import reading, topics
from hookd_daemon.core.ending import cancel_run, complete_run, fail_run
from hookd_daemon.core.hooks import HookSpec
from hookd_daemon.core.moment import Moment
from hookd_daemon.core.reading import RunFilter, RunView, view_run
from hookd_daemon.core.runs import RunState
from hookd_daemon.core.starting import DELIVER, FAIL, Started, StartSpec, start_run
from hookd_daemon.core.waiting import get_run_with_waits
from hookd_daemon.dispatch.survey import Survey
from hookd_daemon.errors import HookConflictError, InvalidArgumentError, RunNotFoundError
from hookd_daemon.logs import get_logger
from hookd_daemon.store.tx import Tx

log = get_logger(__name__)

#: How many events a stream reads at a time.
EVENTS_AT_ONCE = 256


class RunService:
    """Answers the calls of ``hookd.v1.RunService``.

    Args:
        backend: what all handlers share.
        survey: knows which workers are there.
    """

    def __init__(self, backend: Backend, survey: Survey) -> None:
        self._backend = backend
        self._survey = survey

    async def start_run(
        self, request: pb.StartRunRequest, call: CallContext
    ) -> pb.StartRunResponse:
        """Starts a run, with its claims."""
        backend = self._backend
        project = validate.project(request.project)
        spec = _start_spec(request, backend.settings.max_token_bytes)
        try:
            started, view = await backend.run(_start, call.metadata, project, spec)
        except HookConflictError as error:
            backend.metrics.conflicts += 1  # nothing was committed, so nothing was counted
            backend.note_conflict(spec.run_id, error.conflict, call.metadata)
            raise
        response = pb.StartRunResponse(
            outcome=started.outcome,
            run=messages.run_message(view),
            hooks=[messages.hook_message(hook, backend.webhook_base_url) for hook in started.hooks],
            superseded_run_ids=started.superseded,
        )
        if started.conflict is not None:
            response.conflict.CopyFrom(started.conflict.detail)
            backend.note_conflict(spec.run_id, started.conflict, call.metadata)
        for superseded in started.superseded:
            log.info("run superseded", project=project, run_id=superseded, by_run_id=spec.run_id)
        if started.delivery is not None:
            response.payload_seq = started.delivery.payload_seq
            response.payload_duplicate = started.delivery.duplicate
        return response

    async def get_run(self, request: pb.GetRunRequest, call: CallContext) -> pb.GetRunResponse:
        """Reads a run."""
        waits: list[Wait] = []
        if not request.with_waits:
            view = await self._read(call, request.project, request.run_id)
        else:
            project = validate.project(request.project)
            validate.identifier("run_id", request.run_id)
            view, waits = await self._backend.run(get_run_with_waits, None, project, request.run_id)
            for wait in waits:
                self._add_workers(project, request.run_id, wait)
        seed = view.run.record.seed if request.with_seed else b""
        return pb.GetRunResponse(run=messages.run_message(view), waits=waits, seed=seed)

    def _add_workers(self, project: str, run_id: str, wait: Wait) -> None:
        """Adds what only those know who hand out work."""
        survey = self._survey
        if wait.kind == WAIT_KIND_TURN:
            wait.unserved = not survey.serves_workflow(project, wait.name)
        elif wait.kind == WAIT_KIND_STEP:
            wait.unserved = not survey.serves_step(project, wait.name)
            wait.attempt = survey.attempt(project, run_id, wait.correlation_id)

    async def _read(self, call: CallContext, project: str, run_id: str) -> RunView:
        project = validate.project(project)
        validate.identifier("run_id", run_id)
        return await self._backend.run(reading.get_run, None, project, run_id)

    async def list_runs(
        self, request: pb.ListRunsRequest, call: CallContext
    ) -> pb.ListRunsResponse:
        """Lists runs, newest first."""
        project = validate.project(request.project)
        limit = validate.page_size(request.page_size, 50)
        before = None
        if request.HasField("created_before"):
            before = validate.timestamp_ms("created_before", request.created_before)
        wanted = RunFilter(
            statuses=sorted({validate.status("statuses", s) for s in request.statuses}),
            workflow=validate.text("workflow", request.workflow, validate.MAX_WORKFLOW_BYTES),
            since_ms=validate.timestamp_ms("created_after", request.created_after),
            before_ms=before,
        )
        filters = repr((project, wanted)).encode()
        after = paging.position_of(filters, request.page_token)
        views, end = await self._backend.run(reading.list_runs, None, project, wanted, after, limit)
        return pb.ListRunsResponse(
            runs=[messages.run_message(view, brief=True) for view in views],
            next_page_token=paging.page_token(filters, end),
        )

    async def cancel_run(
        self, request: pb.CancelRunRequest, call: CallContext
    ) -> pb.CancelRunResponse:
        """Cancels a run."""
        project = validate.project(request.project)
        validate.identifier("run_id", request.run_id)
        validate.text("reason", request.reason, validate.MAX_TEXT_BYTES)
        view, already = await self._backend.run(
            _cancel, call.metadata, project, request.run_id, request.reason
        )
        return pb.CancelRunResponse(run=messages.run_message(view), already_cancelled=already)

    async def complete_run(
        self, request: pb.CompleteRunRequest, call: CallContext
    ) -> pb.CompleteRunResponse:
        """Ends a run with an output."""
        project = validate.project(request.project)
        validate.identifier("run_id", request.run_id)
        validate.payload("output", request.output)
        view, already = await self._backend.run(
            _complete, call.metadata, project, request.run_id, request.output
        )
        return pb.CompleteRunResponse(run=messages.run_message(view), already_completed=already)

    async def fail_run(self, request: pb.FailRunRequest, call: CallContext) -> pb.FailRunResponse:
        """Ends a run with an error."""
        project = validate.project(request.project)
        validate.identifier("run_id", request.run_id)
        failure = validate.failure("failure", request.failure)
        view, already = await self._backend.run(
            _fail, call.metadata, project, request.run_id, failure
        )
        return pb.FailRunResponse(run=messages.run_message(view), already_failed=already)

    async def await_run(
        self, request: pb.AwaitRunRequest, call: CallContext
    ) -> pb.AwaitRunResponse:
        """Waits for a run's end."""
        patience = Patience(validate.wait_seconds(request.wait))
        view = await self._read(call, request.project, request.run_id)
        uid = view.run.uid
        if view.run.active and patience.left():
            with (
                call.long_wait(),
                self._backend.store.subscribe(topics.run_ended(uid)) as ended,
            ):
                view = await self._read(call, request.project, request.run_id)
                while view.run.active and await ended.wait(patience.left()):
                    view = await self._read(call, request.project, request.run_id)
            if view.run.uid != uid:
                raise RunNotFoundError(request.run_id)  # removed, and its id is another run's
        return pb.AwaitRunResponse(run=messages.run_message(view))

    async def keep_alive(
        self, request: pb.KeepAliveRequest, call: CallContext
    ) -> pb.KeepAliveResponse:
        """Renews a lease."""
        project = validate.project(request.project)
        validate.identifier("run_id", request.run_id)
        run = await self._backend.run(reading.keep_alive, None, project, request.run_id)
        if not run.record.lease_ttl_ms:
            raise InvalidArgumentError("run_id", f"run {request.run_id} has no lease")
        response = pb.KeepAliveResponse()
        messages.set_time(response.lease_expires_at, run.record.lease_until_ms)
        return response

    async def list_events(
        self, request: pb.ListEventsRequest, call: CallContext
    ) -> pb.ListEventsResponse:
        """Reads a part of a log."""
        project = validate.project(request.project)
        validate.identifier("run_id", request.run_id)
        limit = validate.page_size(request.page_size, 100)
        run, events = await self._backend.run(
            reading.list_events, None, project, request.run_id, request.after_seq, limit
        )
        return pb.ListEventsResponse(
            events=events, last_seq=run.record.last_seq, run_status=run.record.status
        )

    async def watch_run(
        self, request: pb.WatchRunRequest, call: CallContext
    ) -> AsyncIterator[pb.WatchRunResponse]:
        """Streams a log until the run's last event."""
        project = validate.project(request.project)
        run_id = validate.identifier("run_id", request.run_id)
        view = await self._read(call, request.project, run_id)
        call.accepted()
        after = request.after_seq
        with self._backend.store.subscribe(topics.run_log(view.run.uid)) as grown:
            while True:
                run, events = await self._backend.run(
                    reading.list_events, None, project, run_id, after, EVENTS_AT_ONCE
                )
                if run.uid != view.run.uid:
                    raise RunNotFoundError(run_id)  # removed, and its id is another run's
                for event in events:
                    after = event.seq
                    yield pb.WatchRunResponse(event=event)
                if after < run.record.last_seq:
                    continue
                if not run.active:
                    return
                await grown.wait(None)


def _start_spec(request: pb.StartRunRequest, max_token_bytes: int) -> StartSpec:
    """Checks a start, and fills in what the caller left to the daemon."""
    if request.run_id:
        validate.identifier("run_id", request.run_id)
    validate.text("workflow", request.workflow, validate.MAX_WORKFLOW_BYTES, least=1)
    validate.payload("input", request.input)
    validate.attributes("attributes", request.attributes)
    policy = request.on_conflict or FAIL
    if policy not in pb.ConflictPolicy.values():
        raise InvalidArgumentError("on_conflict", f"{policy} is not a conflict policy")
    claims = _claims(request, max_token_bytes)
    if policy == DELIVER:
        if not claims:
            raise InvalidArgumentError("claims", "DELIVER needs a token to deliver to")
        validate.payload("payload", request.payload)
        validate.text("payload_id", request.payload_id, validate.MAX_PAYLOAD_ID_BYTES)
    elif request.HasField("payload") or request.payload_id:
        raise InvalidArgumentError("payload", "goes only with on_conflict DELIVER")
    lease_ms = 0
    if request.HasField("lease_ttl"):
        lease_ms = validate.duration_ms(
            "lease_ttl", request.lease_ttl, validate.MIN_LEASE_MS, validate.MAX_LEASE_MS
        )
        if not request.external:
            raise InvalidArgumentError("lease_ttl", "goes only with an external run")
    return StartSpec(
        run_id=request.run_id or f"run_{random_text()}",
        workflow=request.workflow,
        input=request.input,
        attributes=request.attributes,
        claims=claims,
        policy=policy,
        payload=request.payload,
        payload_id=request.payload_id or random_text(),
        external=request.external,
        lease_ttl_ms=lease_ms,
        digest=_start_digest(request),
        seed=secrets.token_bytes(32),
    )


def _claims(request: pb.StartRunRequest, max_token_bytes: int) -> Sequence[HookSpec]:
    validate.count("claims", len(request.claims), validate.MAX_CLAIMS)
    claims = []
    for i, hook in enumerate(request.claims):
        try:
            claims.append(hook_spec(hook, max_token_bytes, hook_id=f"claim-{i + 1}"))
        except InvalidArgumentError as error:
            raise error.within(f"claims[{i}]") from None
    tokens = [claim.token for claim in claims if claim.token is not None]
    if len(set(tokens)) < len(tokens):
        raise InvalidArgumentError("claims", "two claims name the same token")
    if len({claim.hook_id for claim in claims}) < len(claims):
        raise InvalidArgumentError("claims", "two claims have the same hook_id")
    return claims


def _start_digest(request: pb.StartRunRequest) -> bytes:
    """Tells a start from others; the policy and its payload have no part in it."""
    content = pb.StartRunRequest()
    content.CopyFrom(request)
    for field in ("project", "run_id", "on_conflict", "payload", "payload_id"):
        content.ClearField(field)
    raw = content.SerializeToString(deterministic=True)
    return hashlib.blake2b(raw, digest_size=16).digest()


async def _start(tx: Tx, moment: Moment, project: str, spec: StartSpec) -> tuple[Started, RunView]:
    started = await start_run(tx, moment, project, spec)
    return started, await view_run(started.run)


async def _viewed(ended: tuple[RunState, bool]) -> tuple[RunView, bool]:
    return await view_run(ended[0]), ended[1]


async def _cancel(
    tx: Tx, moment: Moment, project: str, run_id: str, reason: str
) -> tuple[RunView, bool]:
    return await _viewed(await cancel_run(tx, moment, project, run_id, reason))


async def _complete(
    tx: Tx, moment: Moment, project: str, run_id: str, output: Payload
) -> tuple[RunView, bool]:
    return await _viewed(await complete_run(tx, moment, project, run_id, output))


async def _fail(
    tx: Tx, moment: Moment, project: str, run_id: str, failure: Failure
) -> tuple[RunView, bool]:
    return await _viewed(await fail_run(tx, moment, project, run_id, failure))
