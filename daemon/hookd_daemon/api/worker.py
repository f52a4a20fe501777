"""``hookd.v1.WorkerService``."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

from hookd.v1 import worker_service_pb2 as pb

from hookd_daemon.api import tasks, validate
from hookd_daemon.api.backend import Backend
from hookd_daemon.api.commands import commands
from hookd_daemon.api.context import CallContext
from hookd_daemon.core.hooks import duration
from hookd_daemon.core.steps import StepSpec
from hookd_daemon.core.turns import TurnSpec
from hookd_daemon.dispatch.dispatcher import Dispatcher
from hookd_daemon.dispatch.heartbeats import Heartbeats
from hookd_daemon.dispatch.reports import Reports
from hookd_daemon.dispatch.sessions import Offer
from hookd_daemon.dispatch.survey import Survey
from hookd_daemon.errors import InvalidArgumentError

MAX_WORKER_NAME_BYTES = 256
MAX_WORKFLOWS = 1024
MAX_STEPS = 4096
#: How much a worker takes at a time, and so how much it can be at.
MAX_AT_A_TIME = 10_000


class WorkerService:
    """Answers the calls of ``hookd.v1.WorkerService``.

    Args:
        backend: what all handlers share.
        dispatcher: hands out work.
        survey: tells how the queues stand.
    """

    def __init__(self, backend: Backend, dispatcher: Dispatcher, survey: Survey) -> None:
        self._backend = backend
        self._dispatcher = dispatcher
        self._heartbeats = Heartbeats(dispatcher, backend)
        self._reports = Reports(dispatcher, backend)
        self._survey = survey

    async def poll(
        self, request: pb.PollRequest, call: CallContext
    ) -> AsyncIterator[pb.PollResponse]:
        """Streams work to a worker."""
        offer = _offer(request)
        dispatcher = self._dispatcher
        lease_ttl = duration(round(dispatcher.lease_s * 1000))
        with dispatcher.session(offer) as session:
            yield pb.PollResponse(welcome=pb.Welcome(lease_ttl=lease_ttl))
            held = request.held_steps
            for dropped in await self._heartbeats.keep(offer.project, offer.worker_id, held):
                session.send(dropped)
            dispatcher.board.settle(session)
            while (items := await session.next_items()) is not None:
                for item in items:
                    yield tasks.poll_response(item)

    async def complete_turn(
        self, request: pb.CompleteTurnRequest, call: CallContext
    ) -> pb.CompleteTurnResponse:
        """Applies the commands of a turn."""
        project = validate.project(request.project)
        worker_id = validate.identifier("worker_id", request.worker_id)
        if request.version:
            validate.identifier("version", request.version)
        spec = TurnSpec(
            run_id=validate.identifier("run_id", request.run_id),
            incarnation=request.incarnation,
            turn_id=validate.identifier("turn_id", request.turn_id),
            seen_seq=request.seen_seq,
            commands=commands(request.commands, self._backend.settings.max_token_bytes),
            awaits_claims=request.awaits_claims,
            version=request.version,
            take_steps=request.take_steps,
        )
        outcome = await self._reports.complete_turn(call.metadata, project, worker_id, spec)
        for conflict in outcome.conflicts:
            self._backend.note_conflict(spec.run_id, conflict, call.metadata)
        return pb.CompleteTurnResponse(
            events=outcome.events,
            last_seq=outcome.run.record.last_seq,
            goes_on=outcome.goes_on,
            steps=[tasks.step_task(step) for step in outcome.steps],
        )

    async def complete_step(
        self, request: pb.CompleteStepRequest, call: CallContext
    ) -> pb.CompleteStepResponse:
        """Takes the report of an attempt at a step."""
        project = validate.project(request.project)
        worker_id = validate.identifier("worker_id", request.worker_id)
        outcome = await self._reports.complete_step(
            call.metadata, project, worker_id, _step_spec(request), take_turn=request.take_turn
        )
        response = pb.CompleteStepResponse(duplicate=outcome.duplicate)
        if outcome.turn is not None:
            response.turn.CopyFrom(tasks.turn_task(outcome.turn))
        return response

    async def heartbeat(
        self, request: pb.HeartbeatRequest, call: CallContext
    ) -> pb.HeartbeatResponse:
        """Renews the leases of a worker."""
        project = validate.project(request.project)
        worker_id = validate.identifier("worker_id", request.worker_id)
        _check_refs("steps", request.steps)
        validate.count("run_ids", len(request.run_ids), MAX_AT_A_TIME)
        for i, run_id in enumerate(request.run_ids):
            validate.identifier(f"run_ids[{i}]", run_id)
        dropped = await self._heartbeats.keep(project, worker_id, request.steps, request.run_ids)
        return pb.HeartbeatResponse(dropped_steps=[tasks.step_ref(ref) for ref in dropped])

    async def list_queues(
        self, request: pb.ListQueuesRequest, call: CallContext
    ) -> pb.ListQueuesResponse:
        """Lists what waits for workers."""
        project = validate.project(request.project)
        views = await self._survey.queues(project)
        return pb.ListQueuesResponse(queues=[tasks.queue_message(view) for view in views])


def _offer(request: pb.PollRequest) -> Offer:
    """Checks what a worker says about itself."""
    project = validate.project(request.project)
    worker_id = validate.identifier("worker_id", request.worker_id)
    validate.text("name", request.name, MAX_WORKER_NAME_BYTES)
    validate.count("workflows", len(request.workflows), MAX_WORKFLOWS)
    workflows: dict[str, str] = {}
    for i, served in enumerate(request.workflows):
        field = f"workflows[{i}]"
        validate.text(f"{field}.name", served.name, validate.MAX_WORKFLOW_BYTES, least=1)
        if served.version:
            validate.identifier(f"{field}.version", served.version)
        if served.name in workflows:
            raise InvalidArgumentError(f"{field}.name", "is there already")
        workflows[served.name] = served.version
    validate.count("steps", len(request.steps), MAX_STEPS)
    for i, name in enumerate(request.steps):
        validate.text(f"steps[{i}]", name, validate.MAX_WORKFLOW_BYTES, least=1)
    _check_refs("held_steps", request.held_steps)
    return Offer(
        project=project,
        worker_id=worker_id,
        name=request.name,
        workflows=workflows,
        steps=frozenset(request.steps),
        max_turns=_at_a_time("max_turns", request.max_turns),
        max_steps=_at_a_time("max_steps", request.max_steps),
        held_steps=len(request.held_steps),
    )


def _at_a_time(field: str, value: int) -> int:
    if value > MAX_AT_A_TIME:
        raise InvalidArgumentError(field, f"must be at most {MAX_AT_A_TIME}; it is {value}")
    return value


def _check_refs(field: str, refs: Sequence[pb.StepRef]) -> None:
    validate.count(field, len(refs), MAX_AT_A_TIME)
    for i, ref in enumerate(refs):
        _check_ref(f"{field}[{i}]", ref)


def _check_ref(field: str, ref: pb.StepRef) -> None:
    validate.identifier(f"{field}.run_id", ref.run_id)
    validate.identifier(f"{field}.step_id", ref.step_id)
    if not ref.attempt:
        raise InvalidArgumentError(f"{field}.attempt", "must be at least 1; it is 0")


def _step_spec(request: pb.CompleteStepRequest) -> StepSpec:
    _check_ref("step", request.step)
    ref = request.step
    output = failure = None
    match request.WhichOneof("result"):
        case "output":
            output = validate.payload("output", request.output)
        case "failure":
            failure = request.failure
            validate.failure("failure.failure", failure.failure)
            if failure.HasField("retry_after"):
                limit = validate.MAX_DURATION_MS
                validate.duration_ms("failure.retry_after", failure.retry_after, 0, limit)
        case None:
            raise InvalidArgumentError("result", "must be set: output, failure or hand_back")
    return StepSpec(
        run_id=ref.run_id,
        step_id=ref.step_id,
        attempt=ref.attempt,
        incarnation=request.incarnation,
        output=output,
        failure=failure,
        hand_back=request.HasField("hand_back"),
    )
